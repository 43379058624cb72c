"""Search backends: each turns its own API into hits and our errors."""
