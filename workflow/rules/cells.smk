"""Cells: label images of nuclei and cells, and one row per cell.

input    results/images/{plate}.zarr, results/images/{plate}.parquet; weights, for networks
output   results/cells/{plate}.zarr       an HCS plate of label images
         results/cells/{plate}.parquet    one row per cell: centre, box, areas, flags
"""


rule cells:
    input:
        zarr="<results>/images/{plate}.zarr/zarr.json",
        intensity="<results>/images/{plate}.parquet",
        weights=cell_weights,
    output:
        zarr="<results>/cells/{plate}.zarr/zarr.json",
        table="<results>/cells/{plate}.parquet",
    log:
        "<logs>/cells/{plate}.log",
    benchmark:
        "<benchmarks>/cells/{plate}.tsv"
    conda:
        "../../envs/cells.yaml"
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(240),
        gpu=1 if networked else 0,
    params:
        options=lookup("cells", within=config),
        code=code("cells"),
    script:
        "../scripts/cells.py"
