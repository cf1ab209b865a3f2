"""Evaluation of profiles: in flow profile tables at several levels, out flow items (one row each) and a summary."""
