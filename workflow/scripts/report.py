"""Rule report: read the tables of the screen, and write the page, its figures and the list of hits."""

from typing import TYPE_CHECKING

from wellspring.io.made import claim
from wellspring.io.tables import atomic
from wellspring.report import gather, page
from wellspring.report.takeaway import files, run
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    params = snakemake.params
    names = {name: list(params[name]) for name in ("plates", "encoders", "channels", "sheet")}
    folders = {name: params[name] for name in ("benchmarks", "logs")}
    options = sections.read(sections.Report, params.options)
    evaluate = sections.read(sections.Evaluate, params.evaluate)
    screen = gather.gather(
        dict(snakemake.input.items()), **names, **folders, seed=params.seed, shared=evaluate.replicates_share
    )
    taken = run.takeaway(screen, report=options, evaluate=evaluate, concentration=params.concentration)
    report = page.build(screen, options=options, taken=taken)
    for name in ("page", "metrics", "failures", "map", "plates"):
        with atomic(snakemake.output[name]) as path:
            path.write_text(getattr(report, name), encoding="utf-8")
    for name, table in taken.tables().items():
        files.write_csv(table, snakemake.output[name])
    files.write_workbook(taken.tables(), snakemake.output.workbook)
