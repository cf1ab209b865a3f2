"""Embedding: one vector per view (tile or cell) of a plate, by a network."""
