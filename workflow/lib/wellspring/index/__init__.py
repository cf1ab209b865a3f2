"""The planes of a plate and the wells they belong to; `readers` has one module per file layout."""
