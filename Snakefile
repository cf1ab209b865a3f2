"""Wellspring: raw high-content-screening plates to evaluated per-well morphological profiles.

Data flows one way. One rule file a stage, in the order of the flow; rule, script, log and benchmark bear the stage's name:

simulate       the demo screen's raw plates, with planted truth           results/demo/PLATE
index          which planes there are, whose wells they are               results/index
survey         one read of every raw image: quality and binned views      results/survey
illumination   flat and dark field of one light path                      results/illumination
images         corrected pixels as an OME-Zarr HCS plate                  results/images
cells          optional: label images and one row a cell                  results/cells
crops          optional: the training sample of cells, packed             results/crops
train          a self-supervised encoder                                  results/train
embed          one row a view (tile or cell)                              results/embed
measure        the same of a classical encoder: hand-made features        results/embed
ingest         the same of a table that another tool made                 results/embed
profile        one row a well: aggregated, normalised in its plate        results/profile
fit            alignment and feature selection, on the plates that fit    results/fit
align          each plate through what was fitted; consensus joins them   results/align
evaluate       does it hold biology, does it hold nuisance                results/evaluate
report         one page a person opens; verdict fails on a bad plate      results/report
export         on demand: AnnData, folders of the Cell Painting Gallery   results/export
weights        on demand: Cellpose's weights, on a machine with a network results/weights
check          on demand: whether the screen can run, before any job      a table on the terminal

Rerun a stage and what follows it with `snakemake -R embed`; run up to one with `snakemake --until embed`.
"""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


pathvars:
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/index.smk"
include: "workflow/rules/survey.smk"
include: "workflow/rules/illumination.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/cells.smk"
include: "workflow/rules/crops.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/ingest.smk"
include: "workflow/rules/profile.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/check.smk"


# These are of the process that a person starts, never of a job, a dry run or a workflow that takes this one as a module.
onstart:
    claim_results()


onsuccess:
    note_failures()


onerror:
    note_failures()


rule all:
    default_target: True
    input:
        "<results>/report/index.html",
        "<results>/report/verdict.tsv",
