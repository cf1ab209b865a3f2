"""One row per well: aggregated, normalised within its plate; consensus profiles per treatment."""
