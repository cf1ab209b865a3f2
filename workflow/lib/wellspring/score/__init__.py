"""Evaluate a table of profiles of any tool, without a screen: the command `wellspring score`."""
