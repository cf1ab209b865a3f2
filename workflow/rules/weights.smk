"""Weights: Cellpose's, fetched where there is a network. Not part of a run: `snakemake weights`, on a login node.

output   results/weights/cellpose         the file, which may be moved anywhere
         results/weights/cellpose.yaml    the lines of the config that name it, printed as well, and its licence
"""


rule weights:
    output:
        file="<results>/weights/cellpose",
        lines="<results>/weights/cellpose.yaml",
    log:
        "<logs>/weights/weights.log",
    benchmark:
        "<benchmarks>/weights/weights.tsv"
    localrule: True
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(120),
    params:
        source=lookup("cells/cellpose/source", within=config),
        code=code("weights"),
    script:
        "../scripts/weights.py"
