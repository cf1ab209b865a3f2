"""What an encoder sees: tiles and cells of a field, scaling to floats, binned fields, packed crops."""
