"""Ways to judge hits."""
