"""Align: apply the fitted alignment to each plate; rule `consensus` joins plates and averages each treatment.

input    results/profile/{encoder}/{plate}.normalised.parquet, results/fit/{encoder}.npz
output   results/align/{encoder}/{plate}.parquet         one row per well, aligned
         results/align/{encoder}.parquet                 all kept plates
         results/align/{encoder}.consensus.parquet       one row per treatment
"""


rule align:
    input:
        profile="<results>/profile/{encoder}/{plate}.normalised.parquet",
        state="<results>/fit/{encoder}.npz",
    output:
        "<results>/align/{encoder}/{plate}.parquet",
    log:
        "<logs>/align/{encoder}/{plate}.log",
    benchmark:
        "<benchmarks>/align/{encoder}/{plate}.tsv"
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(30),
    params:
        code=code("align"),
    script:
        "../scripts/align.py"


rule consensus:
    input:
        profiles=of_plates("<results>/align/{encoder}/{plate}.parquet"),
    output:
        joined="<results>/align/{encoder}.parquet",
        consensus="<results>/align/{encoder}.consensus.parquet",
    log:
        "<logs>/consensus/{encoder}.log",
    benchmark:
        "<benchmarks>/consensus/{encoder}.tsv"
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(30),
    params:
        options=profile_options,
        code=code("consensus"),
    script:
        "../scripts/consensus.py"
