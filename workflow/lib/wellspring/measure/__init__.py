"""Hand-made features of cells (cp_measure): what is measured of a field, and how a plate is gone through."""
