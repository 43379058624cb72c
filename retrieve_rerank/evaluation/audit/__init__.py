"""What an approximate index loses against exact search."""
