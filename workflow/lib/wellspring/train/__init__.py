"""Self-supervised training of encoders on the plates of role `fit`.

A training goes through these modules in this order:

1. `launch` starts one process, or several by torchrun, from a `job.Job`.
2. `worker` is one process: it opens the training set (`data`, `sources`), calls `run`, and writes the files.
3. `settings` turns the config entry into typed settings, without nulls.
4. `run` trains one encoder. `build` makes the objects: backbone, objective (`simclr` or `sslprofiler`, from `networks`
   and `losses`) and sampler (`sampler`).
5. `loop` makes the steps. `reading` gives it the batches, `augment` (with `geometry`, `colour`, `noise`) their views,
   `schedules` the rates of each step; `checkpoint` and `journal` keep its state and its history, `watch` and
   `retrieval_watch` warn of a collapse.

The images of a step and their augmentation depend on the seed and the step alone, and every schedule is an array
indexed by the step. The state between two steps is the networks, the optimiser and the teacher's centre. Therefore a
resumed run equals an uninterrupted one.
"""
