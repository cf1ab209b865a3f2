"""Survey: one read of every raw image.

input    results/index/{plate}.parquet, the plate's raw images
output   results/survey/{plate}.parquet    one row a plane: status, quality, verdict and reason
         results/survey/{plate}.npy        one binned view a plane, in the table's order
"""


rule survey:
    input:
        index="<results>/index/{plate}.parquet",
    output:
        table="<results>/survey/{plate}.parquet",
        views="<results>/survey/{plate}.npy",
    log:
        "<logs>/survey/{plate}.log",
    benchmark:
        "<benchmarks>/survey/{plate}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(120),
    params:
        root=of_sheet("images"),
        options=lookup("survey", within=config),
        code=code("survey"),
    script:
        "../scripts/survey.py"
