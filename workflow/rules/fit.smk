"""Fit: fit the alignment steps in order, on the plates whose role is `fit`.

input    results/profile/{encoder}/{plate}.normalised.parquet
output   results/fit/{encoder}.npz                 the fitted transform
         results/fit/{encoder}.features.parquet    one row per feature: kept or dropped, and the reason
"""


rule fit:
    input:
        profiles=of_plates("<results>/profile/{encoder}/{plate}.normalised.parquet", fitted),
    output:
        state="<results>/fit/{encoder}.npz",
        features="<results>/fit/{encoder}.features.parquet",
    log:
        "<logs>/fit/{encoder}.log",
    benchmark:
        "<benchmarks>/fit/{encoder}.tsv"
    conda:
        fitting("../../envs/core.yaml")
    container:
        image(fitting("../../envs/core.yaml"))
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(60),
    params:
        encoder="{encoder}",
        options=lookup("fit", within=config),
        features=lookup("profile/features", within=config),
        code=code("fit"),
    script:
        "../scripts/fit.py"
