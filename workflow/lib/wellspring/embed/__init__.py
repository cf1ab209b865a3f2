"""One vector per view of a plate."""
