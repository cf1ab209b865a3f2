"""Ingest: read profiles of other tools into a table like that of `embed`, for encoders of kind table.

input    a table of CellProfiler, JUMP, pycytominer or DeepProfiler, results/index/{plate}.parquet
output   results/embed/{encoder}/{plate}.parquet    one row per well, site or cell, with named features
"""


rule ingest:
    input:
        table=foreign_table,
        index="<results>/index/{plate}.parquet",
    output:
        "<results>/embed/{encoder}/{plate}.parquet",
    log:
        "<logs>/ingest/{encoder}/{plate}.log",
    benchmark:
        "<benchmarks>/ingest/{encoder}/{plate}.tsv"
    wildcard_constraints:
        encoder=one_of(foreign),
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
    params:
        plate="{plate}",
        encoder=encoder_of,
        lost_wells=lookup("index/lost_wells", within=config),
        code=code("ingest"),
    script:
        "../scripts/ingest.py"
