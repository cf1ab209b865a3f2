"""The steps of an alignment, one module each, in any order by the list `fit.steps` of the config.

Each module has two pure functions, `fit(frame, *, controls, options) -> State` and `apply(frame, state) -> frame`. In
flow profiles (table `profile`), out flow the same wells with what the step makes of their features, float64, and only
of the features that it was fitted on. A well without a profile stays, its features null. A state is frozen, knows its
features by name, says in `notes` what a reader must know, and goes into the one .npz of the alignment as arrays.

`wellspring.align.alignment` runs the list; how a value that is not finite is taken stands with each step.
"""
