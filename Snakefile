"""The workflow is workflow/Snakefile; this file lets `snakemake` run in the clone's root."""

workflow.include("workflow/Snakefile", overwrite_default_target=True)
