"""A small shop over SQLite, in Django."""
