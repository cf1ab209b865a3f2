"""Export: write results in the formats of other tools. On demand: `snakemake export`.

input    profiles of all levels, results/index, flat fields
output   results/export/{encoder}.h5ad    AnnData per encoder: aligned profiles; earlier levels are layers
         results/export/cells/{encoder}/{plate}.h5ad    with profile.single_cell: AnnData of the plate's cells
         results/export/gallery           folders in the layout of the Cell Painting Gallery
         results/export/plates/{plate}.zarr    OME-Zarr plate for viewers: linked pixels, and labels in each field
         results/export/rocrate           RO-Crate of the run: report, profiles, config, versions, digests
         results/export/models/{encoder}  trained network for BioImage.IO, Hugging Face, ONNX Runtime, PyTorch
"""


rule export:
    input:
        index=of_plates("<results>/index/{plate}.parquet"),
        illumination=if_imaged(collect("<results>/illumination/{optics}.npz", optics=sorted(set(plates["optics"])))),
        weights=collect("<results>/train/{encoder}/encoder.safetensors", encoder=learned),
        cards=if_exported("models", collect("<results>/train/{encoder}/encoder.json", encoder=trained)),
        intensity=if_exported("models", of_plates("<results>/images/{plate}.parquet")),
        aggregated=collect(
            "<results>/profile/{encoder}/{plate}.aggregated.parquet", encoder=encoders, plate=plates.index
        ),
        normalised=collect(
            "<results>/profile/{encoder}/{plate}.normalised.parquet", encoder=encoders, plate=plates.index
        ),
        features=collect("<results>/fit/{encoder}.features.parquet", encoder=encoders),
        aligned=collect("<results>/align/{encoder}.parquet", encoder=encoders),
        consensus=collect("<results>/align/{encoder}.consensus.parquet", encoder=encoders),
        images=if_exported("plates", if_segmented(of_plates(stored_plate("images")))),
        labels=if_exported("plates", if_segmented(of_plates(stored_plate("cells")))),
        scores=if_exported("models", collect("<results>/evaluate/{encoder}.summary.parquet", encoder=trained)),
        cells=if_exported("anndata", cells_of_plates("<results>/profile/{encoder}/{plate}.cells.parquet")),
        cell_tests=if_exported("anndata", if_single_cells("<results>/evaluate/{encoder}.cells.parquet")),
        summary=if_exported("rocrate", collect("<results>/evaluate/{encoder}.summary.parquet", encoder=encoders)),
        report=if_exported(
            "rocrate",
            collect(
                "<results>/report/{file}",
                file=["index.html", "hits.csv", "hits.xlsx", "similar.csv", "changes.csv", "curves.csv"]
                + ["responses.csv", "metrics.csv", "failures.tsv"],
            ),
        ),
    output:
        anndata=if_exported("anndata", collect("<results>/export/{encoder}.h5ad", encoder=encoders)),
        cells=if_exported("anndata", cells_of_plates("<results>/export/cells/{encoder}/{plate}.h5ad")),
        gallery=if_exported("gallery", directory("<results>/export/gallery")),
        plates=if_exported("plates", if_segmented(collect(stored_plate("export/plates"), plate=plates.index))),
        crate=if_exported("rocrate", directory("<results>/export/rocrate")),
        models=if_exported("models", directory("<results>/export/models")),
    log:
        "<logs>/export/export.log",
    benchmark:
        "<benchmarks>/export/export.tsv"
    conda:
        "../../envs/export.yaml"
    container:
        image("../../envs/export.yaml")
    threads: 1
    resources:
        mem_mb=scaled(16000),
        runtime=scaled(60),
    params:
        sheet=plates.to_dict("records"),
        encoders=lookup("encoders", within=config),
        options=lookup("export", within=config),
        embed=if_exported("models", config["embed"]),
        quantiles=if_exported("models", [settings.images.low, settings.images.high]),
        masked=if_exported("models", settings.crops.neighbours == "masked"),
        title=lookup("report/title", within=config),
        config=if_exported("rocrate", config),
        code=code("export"),
    script:
        "../scripts/export.py"
