"""Vendors' folders in, one table of planes out; a module a layout. No reader opens pixels."""
