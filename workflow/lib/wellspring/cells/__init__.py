"""Cells: segmentation by thresholds or Cellpose, the table of cells, and flags of unusual ones."""
