"""Profile: aggregate views to one profile per well, and normalise on the plate's negative controls.

input    results/embed/{encoder}/{plate}.parquet, results/index/{plate}.parquet, results/survey/{plate}.parquet
output   results/profile/{encoder}/{plate}.aggregated.parquet, .normalised.parquet
         results/profile/{encoder}/{plate}.normaliser.npz    the fitted centre and scale of each feature
         results/profile/{encoder}/{plate}.cells.parquet     with profile.single_cell: one row per cell, normalised
         results/profile/{encoder}/{plate}.distributions.parquet    one row per well: the distribution of its cells
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
    container:
        image("../../envs/core.yaml")
    # One thread reads vectors while the other aggregates them.
    threads: 2
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(30),
    params:
        encoder="{encoder}",
        views=view,
        by_time=by_time,
        options=profile_options,
        code=code("profile"),
    script:
        "../scripts/profile.py"


rule single_cells:
    input:
        embed="<results>/embed/{encoder}/{plate}.parquet",
        normalised="<results>/profile/{encoder}/{plate}.normalised.parquet",
    output:
        cells="<results>/profile/{encoder}/{plate}.cells.parquet",
        distributions="<results>/profile/{encoder}/{plate}.distributions.parquet",
    log:
        "<logs>/single_cells/{encoder}/{plate}.log",
    benchmark:
        "<benchmarks>/single_cells/{encoder}/{plate}.tsv"
    wildcard_constraints:
        encoder=one_of(celled),
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(60),
    params:
        encoder="{encoder}",
        options=profile_options,
        seed=lookup("seed", within=config),
        code=code("single_cells"),
    script:
        "../scripts/single_cells.py"
