"""Train: a self-supervised encoder, from all plates of role `fit`; one without steps is built from its weights alone.

input    results/crops/{plate}.npy, .parquet    for an encoder that looks at cells
         results/images/{plate}.zarr            for an encoder that looks at tiles
         results/images/{plate}.parquet         intensity scale per channel
         the file of encoders.NAME.weights      where an encoder starts from one
output   results/train/{encoder}/encoder.safetensors, encoder.json, history.parquet

The checkpoint beside them is not an output, so that a killed run resumes from it; it is removed at the end. The folder
`tensorboard`, with the curves of a run, is not an output either.
"""


rule train:
    input:
        intensity=if_trained(of_plates("<results>/images/{plate}.parquet", fitted)),
        images=if_trained(if_view("tile", "<results>/images/{plate}.zarr/zarr.json", fitted)),
        crops=if_trained(if_view("cell", "<results>/crops/{plate}.npy", fitted)),
        crop_tables=if_trained(if_view("cell", "<results>/crops/{plate}.parquet", fitted)),
        start=encoder_weights,
    output:
        weights="<results>/train/{encoder}/encoder.safetensors",
        card="<results>/train/{encoder}/encoder.json",
        history="<results>/train/{encoder}/history.parquet",
    log:
        "<logs>/train/{encoder}.log",
    benchmark:
        "<benchmarks>/train/{encoder}.tsv"
    wildcard_constraints:
        encoder=one_of(learned),
    conda:
        "../../envs/torch.yaml"
    # Of each node: readers that keep a GPU fed, a share of a node of 8 GPUs and 64 cores.
    threads: per_gpu(8)
    resources:
        # Of each node: fields that are kept and batches ahead; and by GPU a process with its CUDA context.
        mem_mb=scaled(per_gpu(16000, beside=16000)),
        runtime=scaled(1440),
        gpu=gpus_of_job,
        gres=gpus_of_node,
        nodes=nodes,
    params:
        name="{encoder}",
        encoder=encoder_of,
        source=source_of_network,
        channels=lookup("channels", within=config),
        options=lookup("train", within=config),
        seed=lookup("seed", within=config),
        code=code("train"),
    script:
        "../scripts/train.py"
