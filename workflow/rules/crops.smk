"""Crops: squares around a random sample of cells, packed for training.

input    results/images/{plate}.zarr, results/cells/{plate}.parquet
output   results/crops/{plate}.npy        (N, C, Y, X) uint16, up to `crops.cells_per_well` cells per well
         results/crops/{plate}.parquet    one row per crop
"""


rule crops:
    input:
        zarr=stored_plate("images"),
        cells="<results>/cells/{plate}.parquet",
        labels=if_masked(stored_plate("cells")),
        intensity=if_masked("<results>/images/{plate}.parquet"),
    output:
        array="<results>/crops/{plate}.npy",
        table="<results>/crops/{plate}.parquet",
    log:
        "<logs>/crops/{plate}.log",
    benchmark:
        "<benchmarks>/crops/{plate}.tsv"
    wildcard_constraints:
        plate=one_of(pictured),
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(120),
    params:
        options=lookup("crops", within=config),
        batch=of_sheet("batch"),
        seed=lookup("seed", within=config),
        code=code("crops"),
    script:
        "../scripts/crops.py"
