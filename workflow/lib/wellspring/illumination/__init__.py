"""The light path: binned views in, flat and dark field of each channel out, and how even they make other fields."""
