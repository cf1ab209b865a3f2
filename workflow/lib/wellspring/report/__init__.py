"""The report: tables and pictures of a screen in, one self-contained page out.

`gather` reads what the stages wrote; `metrics` and `words` turn it into rows and sentences, `biology`, `scatter`,
`plates`, `pictures` and `training` into figures; `page` renders the template. `verdict` states which plates were left
out and stops a run that has not accepted it.
"""
