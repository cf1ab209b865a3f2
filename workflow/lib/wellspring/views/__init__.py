"""What an encoder looks at: tiles and cells of a field, scaled to floats, binned fields, packed crops."""
