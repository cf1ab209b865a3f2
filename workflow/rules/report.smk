"""Report: write one page with all results; rule `verdict` then fails if a plate was left out, and names it.

input    tables of all stages; logs and benchmarks of their jobs, if present
output   results/report/index.html     self-contained page
         results/report/hits.csv       one row per treatment; hits.xlsx has this and the tables below as sheets
         results/report/similar.csv    one row per treatment and similar treatment
         results/report/changes.csv    one row per treatment and changed feature
         results/report/curves.csv     one row per compound with several doses; its wells are in responses.csv
         results/report/verdict.tsv    one row per plate; written only if every plate is kept
"""


rule report:
    input:
        index=of_plates("<results>/index/{plate}.parquet"),
        audit=of_plates("<results>/index/{plate}.audit.parquet"),
        survey=if_imaged(of_plates("<results>/survey/{plate}.parquet")),
        views=if_imaged(of_plates("<results>/survey/{plate}.npy")),
        illumination=if_imaged(collect("<results>/illumination/{optics}.npz", optics=sorted(set(plates["optics"])))),
        intensity=if_seeing(of_plates("<results>/images/{plate}.parquet")),
        images=branch(segmented and not stored, then=of_plates(stored_plate("images")), otherwise=[]),
        labels=branch(segmented and not stored, then=of_plates(stored_plate("cells")), otherwise=[]),
        cells=branch(segmented, then=of_plates("<results>/cells/{plate}.parquet"), otherwise=[]),
        crops=if_cropped(of_plates("<results>/crops/{plate}.npy")),
        crop_tables=if_cropped(of_plates("<results>/crops/{plate}.parquet")),
        cards=collect("<results>/train/{encoder}/encoder.json", encoder=learned),
        history=collect("<results>/train/{encoder}/history.parquet", encoder=learned),
        features=collect("<results>/fit/{encoder}.features.parquet", encoder=encoders),
        tables=collect("<results>/profile/{encoder}/{plate}.normalised.parquet", encoder=encoders, plate=plates.index),
        fits=collect("<results>/fit/{encoder}.npz", encoder=encoders),
        aligned=collect("<results>/align/{encoder}.parquet", encoder=encoders),
        consensus=collect("<results>/align/{encoder}.consensus.parquet", encoder=encoders),
        per_item=collect("<results>/evaluate/{encoder}.items.parquet", encoder=encoders),
        summary=collect("<results>/evaluate/{encoder}.summary.parquet", encoder=encoders),
        cell_tests=if_single_cells("<results>/evaluate/{encoder}.cells.parquet"),
        chosen_cells=if_single_cells("<results>/evaluate/{encoder}.chosen.parquet"),
    output:
        page=report(
            "<results>/report/index.html",
            caption="../report/page.rst",
            category="Report",
            labels={"figure": "the page"},
        ),
        metrics=report(
            "<results>/report/metrics.csv",
            caption="../report/metrics.rst",
            category="Metrics",
            labels={"figure": "metrics"},
        ),
        hits=report(
            "<results>/report/hits.csv",
            caption="../report/hits.rst",
            category="Hits",
            labels={"figure": "hits"},
        ),
        similar="<results>/report/similar.csv",
        changes="<results>/report/changes.csv",
        curves="<results>/report/curves.csv",
        responses="<results>/report/responses.csv",
        workbook="<results>/report/hits.xlsx",
        failures="<results>/report/failures.tsv",
        map=report(
            "<results>/report/map.svg",
            caption="../report/map.rst",
            category="Profiles",
            labels={"figure": "embedding map"},
        ),
        plates=report(
            "<results>/report/plates.svg",
            caption="../report/plates.rst",
            category="Plates",
            labels={"figure": "heatmaps"},
        ),
    log:
        "<logs>/report/report.log",
    benchmark:
        "<benchmarks>/report/report.tsv"
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(30),
    params:
        plates=plates.index.tolist(),
        encoders=encoders,
        sheet=plates.to_dict("records"),
        channels=lookup("channels", within=config),
        options=lookup("report", within=config),
        evaluate=lookup("evaluate", within=config),
        concentration=lookup("index/columns/concentration", within=config, default=None),
        seed=lookup("seed", within=config),
        benchmarks=workflow.pathvars.apply("<benchmarks>"),
        logs=workflow.pathvars.apply("<logs>"),
        code=code("report", *sorted(REPORT_TEMPLATES.iterdir()), *REPORT_WORDING),
    script:
        "../scripts/report.py"


rule verdict:
    input:
        tables=collect("<results>/profile/{encoder}/{plate}.normalised.parquet", encoder=encoders, plate=plates.index),
        page="<results>/report/index.html",
    output:
        "<results>/report/verdict.tsv",
    log:
        "<logs>/report/verdict.log",
    benchmark:
        "<benchmarks>/report/verdict.tsv"
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(10),
    params:
        plates=plates.index.tolist(),
        code=code("verdict", *REPORT_WORDING),
    script:
        "../scripts/verdict.py"
