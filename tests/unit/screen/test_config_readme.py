"""The page config/README.md: every key and column, and well-formed tables. Drift: see test_config_sections."""

from wellspring.screen import sheet
from wellspring.screen.config import schema
from wellspring.screen.config_readme import describe, keys
from wellspring.screen.stages import SECTIONS


def test_every_key_and_column_is_there():
    page = describe()
    for section in SECTIONS:
        spec = schema()["properties"][section]
        for name, _ in keys(spec.get("additionalProperties") or spec if section == "encoders" else spec):
            assert f"`{name}`" in page, f"{section}.{name}"
    for column in sheet.columns():
        assert f"| `{column}` |" in page


def test_every_line_of_a_table_has_as_many_cells_as_its_head():
    width = 0
    for line in describe().splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = line.replace("\\|", "").count("|")
        width = width or cells
        assert cells == width, line
