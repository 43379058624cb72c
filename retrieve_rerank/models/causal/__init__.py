"""Language models, and what they say of a token."""
