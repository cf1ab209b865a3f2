"""Pack: take ready-made crops of cells, instead of the stages from survey to crops (`crops.given`).

input    the plate's table of crops, and its crops; results/index/{plate}.parquet
output   results/crops/{plate}.npy         (N, C, Y, X) uint16, all cells
         results/crops/{plate}.parquet     one row per crop
         results/images/{plate}.parquet    robust intensity scale per channel
"""


rule pack:
    input:
        crops=table_of_crops,
        index="<results>/index/{plate}.parquet",
    output:
        array="<results>/crops/{plate}.npy",
        table="<results>/crops/{plate}.parquet",
        intensity="<results>/images/{plate}.parquet",
    log:
        "<logs>/pack/{plate}.log",
    benchmark:
        "<benchmarks>/pack/{plate}.tsv"
    wildcard_constraints:
        plate=one_of(ready),
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(120),
    params:
        root=of_sheet("images"),
        batch=of_sheet("batch"),
        options=keys_of_crops,
        code=code("pack"),
    script:
        "../scripts/pack.py"
