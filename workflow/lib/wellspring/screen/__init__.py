"""What a person wrote: config, plate sheet, platemaps, exclusion lists, names of wells."""
