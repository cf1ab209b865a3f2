"""The steps of an alignment, one module each, in any order by the list `fit.steps` of the config.

Each module has two pure functions, `fit(frame, *, controls, options) -> State` and `apply(frame, state) -> frame`. Both
take profiles (table `profile`). `apply` returns the same wells with the features of the fit, float64; a well without a
profile stays, with null features. A state is frozen, refers to features by name, has notes on the fit, and is stored as
arrays in the .npz file of the alignment.

`wellspring.align.alignment` runs the list. Each step documents its handling of values that are not finite.
"""
