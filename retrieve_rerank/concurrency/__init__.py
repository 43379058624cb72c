"""Time and threads: deadlines, work in threads and event loops of its own."""
