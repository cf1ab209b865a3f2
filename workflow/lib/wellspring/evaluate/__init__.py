"""Evaluation of profiles: from profile tables at several levels to items (one row each) and a summary."""
