"""Synthetic screens with known effects: the demo screen's images, and feature tables without images."""
