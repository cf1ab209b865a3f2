"""Export: write results in the formats of other tools. On demand: `snakemake export`.

input    profiles of all levels, results/index, flat fields
output   results/export/{encoder}.h5ad    AnnData per encoder: aligned profiles; earlier levels are layers
         results/export/gallery           folders in the layout of the Cell Painting Gallery
"""


rule export:
    input:
        index=of_plates("<results>/index/{plate}.parquet"),
        illumination=if_imaged(collect("<results>/illumination/{optics}.npz", optics=sorted(set(plates["optics"])))),
        weights=collect("<results>/train/{encoder}/encoder.safetensors", encoder=learned),
        aggregated=collect(
            "<results>/profile/{encoder}/{plate}.aggregated.parquet", encoder=encoders, plate=plates.index
        ),
        normalised=collect(
            "<results>/profile/{encoder}/{plate}.normalised.parquet", encoder=encoders, plate=plates.index
        ),
        features=collect("<results>/fit/{encoder}.features.parquet", encoder=encoders),
        aligned=collect("<results>/align/{encoder}.parquet", encoder=encoders),
        consensus=collect("<results>/align/{encoder}.consensus.parquet", encoder=encoders),
    output:
        anndata=if_exported("anndata", collect("<results>/export/{encoder}.h5ad", encoder=encoders)),
        gallery=if_exported("gallery", directory("<results>/export/gallery")),
    log:
        "<logs>/export/export.log",
    benchmark:
        "<benchmarks>/export/export.tsv"
    conda:
        "../../envs/export.yaml"
    threads: 1
    resources:
        mem_mb=scaled(16000),
        runtime=scaled(60),
    params:
        sheet=plates.to_dict("records"),
        encoders=lookup("encoders", within=config),
        options=lookup("export", within=config),
        code=code("export"),
    script:
        "../scripts/export.py"
