"""Export of results in the formats of other tools: AnnData files and folders of the Cell Painting Gallery."""
