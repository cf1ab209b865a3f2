"""Wells by their number in file names, as some exports of Cellomics have them."""

import numpy as np
import pytest
import tifffile

from wellspring.index.readers import pattern

PATTERN = r".*_(?P<well{}>\d+)f(?P<site>\d+)d(?P<channel>\d)\.TIF"


@pytest.mark.parametrize(
    ("size", "rows", "columns"), [(24, "ABCD", 6), (96, "ABCDEFGH", 12), (384, "ABCDEFGHIJKLMNOP", 24)]
)
def test_numbers_count_along_the_rows(tmp_path, size, rows, columns):
    names = [f"{row}{column:02d}" for row in rows for column in range(1, columns + 1)]  # in the order of reading
    assert len(names) == size
    for number in (1, columns, columns + 1, size):
        tifffile.imwrite(tmp_path / f"AS_09047_{number:03d}f01d0.TIF", np.full((4, 6), number, np.uint16))
    found = pattern.planes(tmp_path, plate="P1", pattern=PATTERN.format(size))
    for row in found.to_dict("records"):
        assert row["well"] == names[int(tifffile.imread(tmp_path / row["path"])[0, 0]) - 1]
    assert sorted(found["well"]) == sorted(names[number - 1] for number in (1, columns, columns + 1, size))


@pytest.mark.parametrize("number", ["000", "097"])
def test_a_number_that_the_plate_does_not_have_is_refused(tmp_path, number):
    (tmp_path / f"AS_{number}f01d0.TIF").touch()
    with pytest.raises(ValueError, match=rf"AS_{number}f01d0.TIF: well {int(number)}: expected a number from 1 to 96"):
        pattern.planes(tmp_path, plate="P1", pattern=PATTERN.format(96))


def test_a_pattern_without_a_well_names_the_groups():
    with pytest.raises(ValueError, match=r"a group well, or row and column, or a number as well1536, found \['site'\]"):
        pattern.compile_pattern(r"(?P<site>\d+)\.tif")
