"""The description of the config: complete, and the shipped page has not drifted from the schemas."""

from wellspring.screen import sheet
from wellspring.screen.config import SECTIONS, schema
from wellspring.screen.config_readme import describe, keys


def test_config_readme_has_not_drifted(root):
    made = describe()
    assert (root / "config" / "README.md").read_text() == made, (
        "run: python -m wellspring.screen.config_readme > config/README.md"
    )


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
