"""The command line, `rr`: one module per command, imported when called."""
