"""Ways to put hits into a better order."""
