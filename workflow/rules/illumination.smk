"""Illumination: estimate the flat and dark field of each light path.

input    results/survey/{plate}.parquet, .npy    of each plate with this light path
         files of illumination.given             with `illumination.method: given`
         the same of other light paths           of the same microscope, or small plates of the batch
output   results/illumination/{optics}.npz       flat and dark field per channel, evenness before and after
"""


rule illumination:
    input:
        surveys=of_light_path("<results>/survey/{plate}.parquet"),
        views=of_light_path("<results>/survey/{plate}.npy"),
        given=given_flat_fields,
        surveys_beside=beside("<results>/survey/{plate}.parquet"),
        views_beside=beside("<results>/survey/{plate}.npy"),
    output:
        "<results>/illumination/{optics}.npz",
    log:
        "<logs>/illumination/{optics}.log",
    benchmark:
        "<benchmarks>/illumination/{optics}.tsv"
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(60),
    params:
        channels=panel_of_light,
        options=lookup("illumination", within=config),
        aliases=lookup("index/channels", within=config),
        beside=beside("{optics}"),
        code=code("illumination"),
    script:
        "../scripts/illumination.py"
