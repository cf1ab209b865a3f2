"""Cells: segment nuclei and cells into label images and a table with one row per cell.

input    results/images/{plate}.zarr, results/images/{plate}.parquet; with Cellpose, its weights
output   results/cells/{plate}.zarr       OME-Zarr HCS plate of label images
         results/cells/{plate}.parquet    one row per cell: centre, bounding box, areas, flags
"""


rule cells:
    input:
        zarr=stored_plate("images"),
        intensity="<results>/images/{plate}.parquet",
        weights=cell_weights,
    output:
        zarr=stored_plate("cells"),
        table="<results>/cells/{plate}.parquet",
    log:
        "<logs>/cells/{plate}.log",
    benchmark:
        "<benchmarks>/cells/{plate}.tsv"
    conda:
        "../../envs/cells.yaml"
    container:
        image("../../envs/cells.yaml")
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(240),
        gpu=1 if networked else 0,
    params:
        options=lookup("cells", within=config),
        code=code("cells", "lib/wellspring/cells/nuclei.npz"),
    script:
        "../scripts/cells.py"
