"""A file a command; its function has its name. What is slow to import is imported inside."""
