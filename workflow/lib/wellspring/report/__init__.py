"""The report: one self-contained page of a screen's tables and pictures.

`gather` reads what the stages wrote; `metrics` and `overview` turn it into rows and sentences, `biology`, `scatter`,
`plates`, `pictures` and `training` into figures; `page` renders the template. `plate_verdicts` lists the
plates that were left out and ends a run in an error until the plate sheet accepts them.
"""
