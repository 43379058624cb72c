"""Every file that people bring: documents, records, tables, folders, JSON lines."""
