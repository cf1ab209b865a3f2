"""Nuclei and cells: corrected fields in, label images and one row a cell out; by thresholds or by networks."""
