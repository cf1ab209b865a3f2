"""What a screening scientist takes away: hits, look-alikes, changed features and dose-response curves, as tables."""
