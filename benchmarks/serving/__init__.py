"""The server under load, beside others."""
