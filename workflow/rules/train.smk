"""Train: train a self-supervised encoder on all plates of role `fit`; with 0 steps, only build it.

input    results/crops/{plate}.npy, .parquet    for encoders of cells
         results/images/{plate}.zarr            for encoders of tiles
         results/images/{plate}.parquet         intensity scale per channel
         results/index/{plate}.parquet          if wells of a treatment are matched
         the file of encoders.NAME.weights      if the encoder starts from weights
output   results/train/{encoder}/encoder.safetensors, encoder.json, history.parquet

The checkpoint in the same folder is not an output, so a killed training resumes from it; it is removed at the end.
The folder `tensorboard` is not an output either.
"""


rule train:
    input:
        intensity=if_trained(of_plates("<results>/images/{plate}.parquet", fitted)),
        images=if_trained(if_view("tile", stored_plate("images"), fitted)),
        crops=if_trained(if_view("cell", "<results>/crops/{plate}.npy", fitted)),
        crop_tables=if_trained(if_view("cell", "<results>/crops/{plate}.parquet", fitted)),
        wells=if_labelled(of_plates("<results>/index/{plate}.parquet", fitted)),
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
    container:
        image("../../envs/torch.yaml")
    # Data loaders per GPU: an eighth of a node with 8 GPUs and 64 cores.
    threads: per_gpu(8)
    resources:
        # Per node: cached fields and prefetched batches. Per GPU: a process with its CUDA context.
        mem_mb=scaled(per_gpu(16000, beside=16000)),
        runtime=scaled(1440),
        gpu=gpus_of_job,
        gres=gpus_of_node,
        nodes=nodes,
    params:
        name="{encoder}",
        encoder=encoder_of,
        source=source_of_network,
        channels=channels_of,
        options=lookup("train", within=config),
        seed=lookup("seed", within=config),
        code=code("train"),
    script:
        "../scripts/train.py"
