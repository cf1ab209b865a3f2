"""Evaluate: score biological signal and batch effects at each level, with confidence intervals and chance levels.

input    results/profile/{encoder}/{plate}.aggregated.parquet, .normalised.parquet, results/align/{encoder}.parquet
output   results/evaluate/{encoder}.items.parquet      one row per metric, level and item
         results/evaluate/{encoder}.summary.parquet    one row per metric and level
         results/evaluate/{encoder}.cells.parquet      with profile.single_cell: one row per treatment, of its cells
         results/evaluate/{encoder}.chosen.parquet     the cells that the report pictures
"""


rule evaluate:
    input:
        aggregated=of_plates("<results>/profile/{encoder}/{plate}.aggregated.parquet"),
        normalised=of_plates("<results>/profile/{encoder}/{plate}.normalised.parquet"),
        aligned="<results>/align/{encoder}.parquet",
    output:
        per_item="<results>/evaluate/{encoder}.items.parquet",
        summary="<results>/evaluate/{encoder}.summary.parquet",
    log:
        "<logs>/evaluate/{encoder}.log",
    benchmark:
        "<benchmarks>/evaluate/{encoder}.tsv"
    conda:
        fitting("../../envs/core.yaml")
    container:
        image(fitting("../../envs/core.yaml"))
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(120),
    params:
        encoder="{encoder}",
        options=lookup("evaluate", within=config),
        fit=lookup("fit", within=config),
        heldout=heldout_of,
        seed=lookup("seed", within=config),
        code=code("evaluate"),
    script:
        "../scripts/evaluate.py"


rule cell_tests:
    input:
        cells=of_plates("<results>/profile/{encoder}/{plate}.cells.parquet"),
        distributions=of_plates("<results>/profile/{encoder}/{plate}.distributions.parquet"),
        normalised=of_plates("<results>/profile/{encoder}/{plate}.normalised.parquet"),
    output:
        tests="<results>/evaluate/{encoder}.cells.parquet",
        chosen="<results>/evaluate/{encoder}.chosen.parquet",
    log:
        "<logs>/cell_tests/{encoder}.log",
    benchmark:
        "<benchmarks>/cell_tests/{encoder}.tsv"
    wildcard_constraints:
        encoder=one_of(celled),
    conda:
        "../../envs/core.yaml"
    container:
        image("../../envs/core.yaml")
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(60),
    params:
        options=lookup("evaluate", within=config),
        seed=lookup("seed", within=config),
        code=code("cell_tests"),
    script:
        "../scripts/cell_tests.py"
