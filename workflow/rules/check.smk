"""Check: whether the screen can run. Not part of a run: `snakemake check`, before anything is submitted.

input    config, sheet, platemaps, the folders of images and one image of each channel; weights, disk and GPU
output   none: a table on the terminal, and an error where something can not run. Its log is among Snakemake's records, so
         that it works, and leaves nothing, where results can not be written
"""


rule check:
    log:
        ".snakemake/check.log",
    localrule: True
    conda:
        "../../envs/core.yaml"
    # Reading folders of 17,280 files each; plates are checked in parallel.
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
