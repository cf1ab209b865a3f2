"""Self-supervised training: views of fit plates flow in, the weights of an encoder and its history flow out.

A training step is a function of (seed, step): which images it sees and how they are augmented come from generators
seeded by the two, and every schedule is an array indexed by the step. What must be remembered between steps is only
the networks, the optimiser and the teacher's centre; so a resumed run equals an uninterrupted one.

- `sampler` which items a step sees; `data` their pixels; `augment` (with `geometry`, `colour`, `noise`) their views.
- `simclr`, `sslprofiler` the two objectives, from `networks` and `losses`; `schedules` their settings by step.
- `loop` the steps; `checkpoint` how they survive a kill; `watch` the figures that show a collapse.
"""
