"""Cells: segmentation by thresholds, a small network or Cellpose, the table of cells, and flags of unusual ones."""
