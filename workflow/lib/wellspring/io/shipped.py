"""Paths of the files that the workflow ships: schemas, templates, presets, recipes. No other module computes them."""

from pathlib import Path

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
