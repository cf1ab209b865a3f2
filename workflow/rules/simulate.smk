"""Simulate: write the raw plates of the demo screen, a simulation with known truth.

input    resources/demo/screen.yaml
output   results/demo/{plate}          TIFF images and platemap.csv; one archive where jobs share no folder

It writes plates of the demo screen only, because Snakemake deletes this folder before the rule runs.
"""


rule simulate:
    output:
        simulated_plate(),
    log:
        "<logs>/simulate/{plate}.log",
    benchmark:
        "<benchmarks>/simulate/{plate}.tsv"
    wildcard_constraints:
        plate=one_of(demo),
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(10),
    params:
        screen=demo_screen,
        seed=lookup("seed", within=config),
        code=code("simulate"),
    script:
        "../scripts/simulate.py"
