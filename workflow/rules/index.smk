"""Index: list the planes of a plate and join them with its platemap.

input    the plate's folder and its platemap
output   results/index/{plate}.parquet          one row per expected plane
         results/index/{plate}.audit.parquet    one row per well: planes found, expected, duplicate and missing
"""


rule index:
    input:
        images=raw_images,
        platemap=plate_map,
    output:
        table="<results>/index/{plate}.parquet",
        audit="<results>/index/{plate}.audit.parquet",
    log:
        "<logs>/index/{plate}.log",
    benchmark:
        "<benchmarks>/index/{plate}.tsv"
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(30),
    params:
        sheet=sheet_row,
        channels=lookup("channels", within=config),
        options=lookup("index", within=config),
        normalised_on=lookup("profile/normalise_on", within=config),
        code=code("index"),
    script:
        "../scripts/index.py"
