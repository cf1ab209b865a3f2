"""Alignment across plates: a list of steps, fitted and applied."""
