"""Profile: aggregate views to one profile per well, and normalise on the plate's negative controls.

input    results/embed/{encoder}/{plate}.parquet, results/index/{plate}.parquet, results/survey/{plate}.parquet
output   results/profile/{encoder}/{plate}.aggregated.parquet, .normalised.parquet
         results/profile/{encoder}/{plate}.normaliser.npz    the fitted centre and scale of each feature
"""


rule profile:
    input:
        embed="<results>/embed/{encoder}/{plate}.parquet",
        index="<results>/index/{plate}.parquet",
        survey=branch(seen, then="<results>/survey/{plate}.parquet", otherwise=[]),
        cells=branch(segmented, then="<results>/cells/{plate}.parquet", otherwise=[]),
    output:
        aggregated="<results>/profile/{encoder}/{plate}.aggregated.parquet",
        normalised="<results>/profile/{encoder}/{plate}.normalised.parquet",
        normaliser="<results>/profile/{encoder}/{plate}.normaliser.npz",
    log:
        "<logs>/profile/{encoder}/{plate}.log",
    benchmark:
        "<benchmarks>/profile/{encoder}/{plate}.tsv"
    conda:
        "../../envs/core.yaml"
    # One thread reads vectors while the other aggregates them.
    threads: 2
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(30),
    params:
        encoder="{encoder}",
        views=view,
        by_time=by_time,
        options=lookup("profile", within=config),
        code=code("profile"),
    script:
        "../scripts/profile.py"
