"""Reading documents from files, folders and standard input."""
