"""Readers of vendors' folders, one module per layout; each returns a table of planes without opening pixels."""
