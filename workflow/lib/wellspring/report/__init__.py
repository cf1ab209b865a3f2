"""The report: one self-contained page of a screen's tables and pictures.

`gather` reads the stages' outputs; `metrics` and `overview` turn them into rows and sentences, `biology`, `scatter`,
`plates`, `pictures` and `training` into figures; `page` renders the template. `plate_verdicts` lists the
plates that were left out and ends a run in an error until the plate sheet accepts them.
"""
