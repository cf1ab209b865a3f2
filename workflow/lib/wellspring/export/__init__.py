"""Results in the forms that other tools read: tables of the workflow flow in, AnnData and gallery folders flow out."""
