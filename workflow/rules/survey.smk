"""Survey: read every raw image once, measure its quality and decide exclusions.

input    results/index/{plate}.parquet, the plate's raw images, the exclusion list (survey.exclusions)
output   results/survey/{plate}.parquet        one row per plane: status, quality, verdict and reason
         results/survey/{plate}.npy            one binned image per plane, in the order of the table
         results/survey/{plate}.excluded.tsv   one row per excluded site, in the format of survey.exclusions
"""


rule survey:
    input:
        index="<results>/index/{plate}.parquet",
        exclusions=listed_exclusions,
        raw=if_stored(raw_images),
    output:
        table="<results>/survey/{plate}.parquet",
        views="<results>/survey/{plate}.npy",
        excluded="<results>/survey/{plate}.excluded.tsv",
    log:
        "<logs>/survey/{plate}.log",
    benchmark:
        "<benchmarks>/survey/{plate}.tsv"
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(120),
    params:
        root=of_sheet("images"),
        options=survey_options,
        pixels=pixel_rules,
        exclusions=digest_of_exclusions,
        code=code("survey"),
    script:
        "../scripts/survey.py"
