"""The files that the workflow ships: schemas, templates, presets, recipes. No other module computes their paths."""

from pathlib import Path
from typing import Any

import yaml

LIBRARY = Path(__file__).resolve().parents[2]  # the folder on the import path, workflow/lib
WORKFLOW = LIBRARY.parent
CLONE = WORKFLOW.parent
CONFIG_SCHEMAS = WORKFLOW / "schemas" / "config"
TABLE_SCHEMAS = WORKFLOW / "schemas" / "tables"
SHEET_SCHEMA = WORKFLOW / "schemas" / "plates.yaml"
REPORT_TEMPLATES = LIBRARY / "wellspring" / "report" / "templates"
REPORT_WORDING = sorted((LIBRARY / "wellspring" / "report").glob("wording*.py"))
ENCODER_PRESETS = CLONE / "resources" / "encoders"
DATASET_RECIPES = CLONE / "resources" / "datasets"


def read_yaml(path: Path) -> Any:
    """Return the content of a shipped YAML file, by libyaml where PyYAML has it: ten times as fast at each start."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
