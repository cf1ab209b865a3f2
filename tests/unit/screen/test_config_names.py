"""Names that the config's schema lists are those of the code that uses them, neither more nor fewer."""

from dataclasses import fields

import numpy as np
import pytest
from scipy import ndimage

from wellspring.cells import flags, table
from wellspring.evaluate.metrics import FAMILIES, METRICS, chosen
from wellspring.screen import config, config_checks
from wellspring.screen.sections import Evaluate


def spec(section, *keys):
    found = config.schema()["properties"][section]
    for key in keys:
        found = found[key]
    return found


def test_metrics_of_the_schema_are_those_of_the_evaluation():
    (_, listed) = spec("evaluate", "properties", "metrics", "anyOf")
    assert set(listed["items"]["enum"]) == {*FAMILIES, *(metric.name for metric in METRICS)}
    assert len(listed["items"]["enum"]) == len(set(listed["items"]["enum"]))
    for name in listed["items"]["enum"]:
        assert chosen(config.default(Evaluate, metrics=[name]).metrics), name


def test_flags_of_the_schema_are_those_that_cells_have():
    nuclei = np.zeros((90, 130), dtype=np.uint32)
    for number in range(1, 11):  # nuclei of 10 x 10 px in two rows
        row, column = divmod(number - 1, 5)
        nuclei[row * 40 + 12 : row * 40 + 22, column * 25 + 5 : column * 25 + 15] = number
    nuclei[12:22, 5:15], nuclei[15:18, 8:11] = 0, 1  # small
    nuclei[50:72, 5:22] = 6  # large
    nuclei[0:10, 120:130] = 11  # at the border
    cells = nuclei.copy()
    cells[80:88, 100:110] = 12  # without a nucleus
    dna = np.where(nuclei > 0, 600.0, 100.0)
    dna[nuclei == 2], dna[nuclei == 3] = 140.0, 6000.0
    smooth = ndimage.gaussian_filter(dna, 4)
    dna[45:, 100:125] = smooth[45:, 100:125]  # blurs nucleus 10
    found = flags.flag(table.table(nuclei, cells, dna=dna, diameter=11.3, small=0.4, large=2.0))
    named = {flag for text in found["Metadata_Flags"] for flag in text.split(";") if flag}
    assert named == set(spec("embed", "properties", "leave_out", "items", "enum"))


def test_strengths_of_the_schema_are_those_of_a_recipe():
    augment = pytest.importorskip("wellspring.train.augment")
    overrides = spec("encoders", "additionalProperties", "properties", "augmentation", "properties", "overrides")
    assert overrides["propertyNames"]["enum"] == [field.name for field in fields(augment.Recipe)]


def test_default_channels_are_those_of_the_schema_and_are_reported_by_the_check_only():
    keys = spec("cells", "properties")
    listed = {f"cells.{name}": keys[name]["default"] for name in ("nuclei", "cytoplasm")}
    assert {name: list(found) for name, found in config_checks.DEFAULT_CHANNELS.items()} == {
        "cells.nuclei": [listed["cells.nuclei"]],
        "cells.cytoplasm": listed["cells.cytoplasm"],
    }
    written = {"channels": ["Hoechst", "AGP"], "encoders": {"simclr": {"kind": "simclr"}}}
    found = config.typed(config.resolve(written))
    assert [text.split(":")[0] for text in config_checks.unknown_channels(found)] == ["cells.nuclei", "cells.cytoplasm"]
    tables = {"encoders": {"jump": {"kind": "table", "files": "{plate}.parquet"}}}
    assert not list(config_checks.unknown_channels(config.typed(config.resolve(tables))))
