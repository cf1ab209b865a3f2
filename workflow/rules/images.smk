"""Images: correct the illumination and store the pixels as an OME-Zarr HCS plate.

input    results/index/{plate}.parquet, results/survey/{plate}.parquet, results/illumination/{optics}.npz, raw images
output   results/images/{plate}.zarr       NGFF 0.5 HCS plate: one array (C, Y, X) uint16 per field, without excluded sites
         results/images/{plate}.parquet    robust intensity scale per channel
"""


rule images:
    input:
        index="<results>/index/{plate}.parquet",
        survey="<results>/survey/{plate}.parquet",
        illumination=illumination_of,
        raw=if_stored(raw_images),
    output:
        zarr=stored_plate("images"),
        intensity="<results>/images/{plate}.parquet",
    log:
        "<logs>/images/{plate}.log",
    benchmark:
        "<benchmarks>/images/{plate}.tsv"
    wildcard_constraints:
        plate=one_of(pictured),
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(240),
    params:
        root=of_sheet("images"),
        channels=panel_of,
        options=lookup("images", within=config),
        pixels=pixel_rules,
        code=code("images"),
    script:
        "../scripts/images.py"
