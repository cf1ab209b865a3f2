"""Weights: download Cellpose's weights. On demand: `snakemake weights`, on a machine with a network.

output   results/weights/cellpose         the file; it may be moved
         results/weights/cellpose.yaml    the config lines that name it, also printed, and its licence
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
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(120),
    params:
        source=lookup("cells/cellpose/source", within=config),
        code=code("weights"),
    script:
        "../scripts/weights.py"
