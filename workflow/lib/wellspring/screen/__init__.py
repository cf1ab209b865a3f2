"""The user's input: config, plate sheet, platemaps, exclusion lists, names of wells."""
