"""The stages of the workflow, in their order. Other lists of stages are made from this one or checked against it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A stage: the name of its rule, script, log and results folder."""

    name: str
    configured: bool = True
    """Whether the config has a section of that name."""

    on_demand: bool = False
    """Whether it runs only on request."""


STAGES = (
    Stage("simulate", configured=False),
    Stage("index"),
    Stage("survey"),
    Stage("illumination"),
    Stage("images"),
    Stage("cells"),
    Stage("crops"),
    Stage("pack", configured=False),
    Stage("train"),
    Stage("embed"),
    Stage("measure"),
    Stage("ingest", configured=False),
    Stage("profile"),
    Stage("single_cells", configured=False),
    Stage("fit"),
    Stage("align", configured=False),
    Stage("consensus", configured=False),
    Stage("evaluate"),
    Stage("cell_tests", configured=False),
    Stage("report"),
    Stage("verdict", configured=False),
    Stage("export", on_demand=True),
    Stage("weights", configured=False, on_demand=True),
    Stage("check", configured=False, on_demand=True),
)
RULES = tuple(stage.name for stage in STAGES)
# Sections of the config, in the order of their description: `encoders` is between training and embedding.
SECTIONS = tuple(
    section
    for stage in STAGES
    if stage.configured
    for section in ([stage.name, "encoders"] if stage.name == "train" else [stage.name])
)
