"""Measure: compute classical features of nuclei, cells and cytoplasm, for encoders of kind classical.

input    results/images/{plate}.zarr, results/images/{plate}.parquet, results/cells/{plate}.zarr, results/cells/{plate}.parquet
output   results/embed/{encoder}/{plate}.parquet    one row per cell, with named features
"""


rule measure:
    input:
        images=stored_plate("images"),
        intensity="<results>/images/{plate}.parquet",
        labels=stored_plate("cells"),
        cells="<results>/cells/{plate}.parquet",
    output:
        "<results>/embed/{encoder}/{plate}.parquet",
    log:
        "<logs>/measure/{encoder}/{plate}.log",
    benchmark:
        "<benchmarks>/measure/{encoder}/{plate}.tsv"
    wildcard_constraints:
        encoder=one_of(classical),
    conda:
        "../../envs/cells.yaml"
    container:
        image("../../envs/cells.yaml")
    # 150 cells per second and core (benchmarks/measure.py): 13 core-hours for 384 wells of 9 fields of 2,000 cells.
    threads: 4
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(240),
    params:
        options=lookup("measure", within=config),
        leave_out=lookup("embed/leave_out", within=config),
        code=code("measure"),
    script:
        "../scripts/measure.py"
