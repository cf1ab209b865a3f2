"""Which planes a plate has, and which wells they belong to; `readers` has a module per file layout."""
