"""Check: test whether the screen can run, before any job. On demand: `snakemake check`.

input    config, sheet, platemaps, folders of images, one image per channel; weights, disk and GPU
output   none: prints a table, and ends in an error if the screen cannot run

The log is in `.snakemake`, so the check also works if the results folder is not writable.
"""


rule check:
    log:
        ".snakemake/check.log",
    localrule: True
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    # Plates are checked in parallel; a folder may have 17,280 files.
    threads: 4
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(30),
    params:
        sheet=plates.to_dict("records"),
        simulated=simulated,
        results=workflow.pathvars.apply("<results>"),
        options=config,
    script:
        "../scripts/check.py"
