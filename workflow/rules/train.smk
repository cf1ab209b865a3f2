"""Train: a self-supervised encoder, from all plates of role `fit`.

input    results/crops/{plate}.npy, .parquet    for an encoder that looks at cells
         results/images/{plate}.zarr            for an encoder that looks at tiles
         results/images/{plate}.parquet         intensity scale a channel
output   results/train/{encoder}/encoder.safetensors, encoder.json, history.parquet

The checkpoint beside them is no output, so that a killed run resumes from it; it is removed at the end.
"""


rule train:
    input:
        intensity=of_plates("<results>/images/{plate}.parquet", fitted),
        images=if_view("tile", "<results>/images/{plate}.zarr/zarr.json", fitted),
        crops=if_view("cell", "<results>/crops/{plate}.npy", fitted),
        crop_tables=if_view("cell", "<results>/crops/{plate}.parquet", fitted),
    output:
        weights="<results>/train/{encoder}/encoder.safetensors",
        card="<results>/train/{encoder}/encoder.json",
        history="<results>/train/{encoder}/history.parquet",
    log:
        "<logs>/train/{encoder}.log",
    benchmark:
        "<benchmarks>/train/{encoder}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=scaled(32000),
        runtime=scaled(1440),
        gpu=1,
    params:
        name="{encoder}",
        encoder=encoder_of,
        channels=lookup("channels", within=config),
        options=lookup("train", within=config),
        seed=lookup("seed", within=config),
        code=code("train"),
    script:
        "../scripts/train.py"
