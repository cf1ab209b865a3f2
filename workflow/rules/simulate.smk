"""Simulate: the raw plates of the demo screen, with planted truth.

input    resources/demo/screen.yaml
output   results/demo/{plate}          TIFF images and platemap.csv

It writes only there and only plates of the demo screen: Snakemake deletes this folder before the rule runs.
"""


rule simulate:
    input:
        screen=workflow.source_path("../../resources/demo/screen.yaml"),
    output:
        directory("<results>/demo/{plate}"),
    log:
        "<logs>/simulate/{plate}.log",
    benchmark:
        "<benchmarks>/simulate/{plate}.tsv"
    wildcard_constraints:
        plate="|".join(demo),
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(10),
    params:
        seed=lookup("seed", within=config),
        code=code("wellspring.simulate.plate"),
    script:
        "../scripts/simulate.py"
