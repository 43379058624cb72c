"""What is on disk: model folders and what they hold, and what a name resolves to."""
