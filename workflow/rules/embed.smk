"""Embed: one embedding per view (tile or cell) of a plate, for encoders that are networks.

input    results/train/{encoder}/encoder.safetensors, encoder.json
         results/images/{plate}.zarr, results/images/{plate}.parquet, results/cells/{plate}.parquet
         results/crops/{plate}.npy, results/crops/{plate}.parquet    of ready-made cells, instead
output   results/embed/{encoder}/{plate}.parquet    one row per view, with its embedding
"""


rule embed:
    input:
        weights="<results>/train/{encoder}/encoder.safetensors",
        card="<results>/train/{encoder}/encoder.json",
        images=if_imaged(stored_plate("images")),
        intensity="<results>/images/{plate}.parquet",
        cells=if_imaged(branch(view, cases={"cell": "<results>/cells/{plate}.parquet", "tile": []})),
        labels=if_imaged(branch(view, cases={"cell": if_masked(stored_plate("cells")), "tile": []})),
        crops=if_ready("<results>/crops/{plate}.npy"),
        crop_table=if_ready("<results>/crops/{plate}.parquet"),
    output:
        "<results>/embed/{encoder}/{plate}.parquet",
    log:
        "<logs>/embed/{encoder}/{plate}.log",
    benchmark:
        "<benchmarks>/embed/{encoder}/{plate}.tsv"
    wildcard_constraints:
        encoder=one_of(learned),
    conda:
        "../../envs/torch.yaml"
    container:
        image("../../envs/torch.yaml")
    threads: 1
    resources:
        mem_mb=scaled(16000),
        runtime=scaled(120),
        gpu=1,
    params:
        options=lookup("embed", within=config),
        source=source_of_network,
        code=code("embed"),
    script:
        "../scripts/embed.py"
