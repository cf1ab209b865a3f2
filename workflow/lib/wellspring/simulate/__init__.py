"""Synthetic screens with a planted truth: the demo screen's images, and feature tables without images."""
