"""What rules need and no notebook does: digests, wildcards, ownership, failures, preflight, disk space, log."""
