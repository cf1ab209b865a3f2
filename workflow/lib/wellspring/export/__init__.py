"""Export of results in the formats of other tools: AnnData, Cell Painting Gallery, OME-Zarr, RO-Crate, models."""
