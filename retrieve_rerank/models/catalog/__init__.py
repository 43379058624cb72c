"""What vendors' services are called, and how they want to be asked: data."""
