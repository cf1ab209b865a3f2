"""Quality of every raw image, and one binned view of it."""
