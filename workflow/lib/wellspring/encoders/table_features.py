"""Rules for which columns of a foreign table are features, by their names and types.

The first rule that finds a column is used:

1. `asked`: regular expressions of the config, matched from the start of a name.
2. `compartments`: names that begin with Cells, Cytoplasm or Nuclei, as `pycytominer.infer_cp_features` has it, or that
   hold a CellProfiler module after another object (`Organoids_AreaShape_Area`, `Mean_Nuclei_AreaShape_Area`). Where
   other numbers outnumber such names by far, the next rules decide.
3. `families`: numbered names of one stem (`efficientnet_0`, `efficientnet_1`), if they are most of the numeric columns;
   a stem that names a position or a count (`bbox`, `centroid`) is none.
4. `numeric`: numeric columns that are not known metadata.

Positions, counts, times and row numbers of objects describe the image or the acquisition. No rule takes them, unless a
regular expression mentions them (`Cells_Location_`).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from wellspring.screen import not_a_table

COMPARTMENTS = ("Cells", "Cytoplasm", "Nuclei")
_MODULES = (
    "AreaShape|Intensity|Texture|Granularity|RadialDistribution|Correlation|Neighbors|ObjectSkeleton|Colocalization"
)
_CELLPROFILER = re.compile(rf"(?!Image_|Metadata_)(?:(?:Mean|Median|StDev)_)?[A-Za-z0-9]+_(?:{_MODULES})_")
FEW = 4  # other numeric columns per name of CellProfiler, above which a few such names do not choose the features
# Of an object: where it lies, which number it has, how many others it belongs to, how long it took.
_OF_OBJECT = re.compile(
    r"(?:^|_)(?:Location|Parent|Children|Count|ExecutionTime|ModuleError)_|(?:^|_)Count$|(?:^|_)(?:Object|Image|Table)_?Number(?:_|$)"
    r"|(?:^|_)Number_Object_Number|(?:^|_)Group_(?:Index|Number|Length)|AreaShape_Center_|AreaShape_BoundingBoxM(?:in|ax)imum_"
    r"|(?:^|_)Cent(?:er|re|roid)_[XYZ](?:_|$)|Neighbors_(?:First|Second)ClosestObjectNumber"
)
# CellProfiler's prefixes of what describes an image: with `Image_`, and without it in tables of images.
_PREFIXES = re.compile(
    r"(?:Image_)?(?i:Metadata)_|Image_|Experiment_|(?:Frame|Series|Scaling|Threshold|ImageQuality|ImageSet)_"
)
_WORDS = """
plate barcode well site field fov tile view plane row col column edge x y z t dose doses conc concentration
concentrations molarity um nm mg ug ng per ml liter mmoles micromolar compound treatment batch run replicate rep repl
day days hour hours hrs minutes time times timepoint timestamp date passage seed index idx id ids rowid rownumber
unnamed level number no nr count counts n ncells nuclei cells control label labels class target cluster split fold
weight width height depth pixelsize exposure quadrant kmeans leiden louvain
"""
_KNOWN = frozenset(_WORDS.split())
# Quality of sequenced wells, as scanpy, Seurat and tables of DRUG-seq call it; their counts are known by that word.
_SEQUENCED = re.compile(
    r"(?:log1p_)?(?:n_|sum_|total_)?(?:umis?|genes|reads)|lib(?:rary)?_size|size_factors?|(?:pct|percent|frac(?:tion)?)_.*"
    r"(?:mt|mito|ribo|rrna|counts?.*)|(?:mt|mito|ribo)_(?:pct|percent|frac(?:tion)?|ratio)|ncount_.*|nfeature_.*|doublet_.*"
)
# Words that make metadata of a longer name: anywhere (`dose_in_uM`), last (`cell_count`), first (`centroid-0`).
_ANYWHERE = frozenset({"dose", "doses", "conc", "concentration", "barcode", "replicate"})
_ANYWHERE |= {"time", "times", "hours", "timepoint", "timestamp", "execution", "elapsed", "duration", "acquisition"}
_ANYWHERE |= {"count", "counts", "hash", "md5", "sha1", "sha256", "checksum", "uuid", "guid"}
_LAST = frozenset({"id", "idx", "index", "row", "col", "column", "number", "num", "time"})
_FIRST = frozenset(
    {"unnamed", "centroid", "center", "centre", "pos", "position", "coord", "coordinate", "bbox", "n", "num", "qc"}
)
# With an axis, words of positions anywhere (`Nuclei - Position X [\u00b5m]`), or objects alone (`nucleus_x`).
_AXES = frozenset("xyz")
_PLACES = frozenset({"position", "pos", "centroid", "center", "centre", "cg", "stage", "location", "bounding", "bbox"})
_PLACES |= {"coord", "coordinate"}
_OBJECTS = frozenset({"nucleus", "nuclei", "cell", "cells", "object", "objects", "image", "well", "site", "field"})
_UNIT = re.compile(r"\s*[\[(][^\])]*[\])]")  # `Height [\u00b5m]`

_STEMS = frozenset({"x", "t", "y", "z", "n", ""})  # of numbered features, although known metadata on their own
_FAMILY = re.compile(r"(.*?)[_\-. ]?(\d+)")


@dataclass(frozen=True)
class Choice:
    """The features of a table.

    Attributes
    ----------
    names
        The columns, in the order of the file.
    rule
        `asked`, `compartments`, `families` or `numeric`.
    left
        The numeric columns that are not features, in the order of the file.
    text
        The columns that are neither keys nor numbers.
    """

    names: tuple[str, ...]
    rule: str
    left: tuple[str, ...]
    text: tuple[str, ...]

    @property
    def origin(self) -> dict[str, object]:
        """What the provenance records: rule, number of features, and the numeric columns that were not used."""
        return {"rule": self.rule, "features": len(self.names), "not_features": list(self.left)}


def choose(form: pa.Schema, *, keys: Collection[str], patterns: Sequence[str] = (), where: object) -> Choice:
    """Return the features of a table.

    Parameters
    ----------
    form
        Names and types of the columns.
    keys
        Columns of plate, well, site and view.
    patterns
        Regular expressions; without any, the rules for names decide.
    where
        The file, for messages.

    Raises
    ------
    ValueError
        A pattern is not a regular expression or matches nothing; a column that a rule takes by its name holds text; or
        no column is left.

    Examples
    --------
    >>> form = pa.schema([("plate", pa.string()), ("dose", pa.float64()), ("f_0", pa.float64()), ("f_1", pa.float64())])
    >>> choose(form, keys=["plate"], where="a.csv")
    Choice(names=('f_0', 'f_1'), rule='numeric', left=('dose',), text=())
    """
    names = [name for name in form.names if name not in set(keys)]
    numeric = [name for name in names if is_number(form.field(name).type)]
    if patterns:
        rule, taken = "asked", _asked(names, patterns, where)
    else:
        rule, taken = _ruled(names, numeric)
    about = [name for name in taken if re.match("(?i:metadata)_", name)]
    if about:
        raise ValueError(
            f"{where}: columns Metadata_* are never features, found {about[:10]} in `features`: rename them"
        )
    words = {name: str(form.field(name).type) for name in taken if name not in set(numeric)}
    if words:
        raise ValueError(
            f"{where}: expected numbers in the features, found text in {dict(list(words.items())[:10])} (choose others "
            "by `features`, or call the columns Metadata_NAME)"
        )
    if not taken:
        hint = not_a_table.of_header(form.names)
        raise ValueError(
            f"{where}: expected columns of features, found none among {names[:10]}; features are numeric columns that "
            f"are neither called Metadata_* nor known metadata, or those that `features` lists{hint}"
        )
    mine = set(taken)
    left = tuple(name for name in numeric if name not in mine)
    return Choice(tuple(taken), rule, left, tuple(name for name in names if name not in {*mine, *left}))


def named_as_features(form: pa.Schema, *, keys: Collection[str], patterns: Sequence[str], where: object) -> list[str]:
    """Return the columns of text or truth values whose names are those of features: they must hold numbers.

    Without patterns and CellProfiler's names, these are columns of the stem of three or more numeric ones.
    """
    names = [name for name in form.names if name not in set(keys)]
    words = [name for name in names if is_word(form.field(name).type) or pa.types.is_boolean(form.field(name).type)]
    if patterns:
        taken = set(_asked(names, patterns, where))
        return [name for name in words if name in taken]
    numbers = [name for name in names if is_number(form.field(name).type)]
    measured = _compartments(names, numbers)
    if measured:
        return [name for name in words if name in set(measured)]
    numeric = families_of([name for name in numbers if not _PREFIXES.match(name)])
    return [name for name in words if name in set(families_of([*numeric, name]))] if numeric else []


def unnamed_words(form: pa.Schema, *, keys: Collection[str]) -> list[str]:
    """Return the columns that hold no numbers and whose names are not those of metadata."""
    names = [name for name in form.names if name not in set(keys) and not is_metadata(name)]
    return [name for name in names if not is_number(form.field(name).type)]


def ruled(form: pa.Schema, *, keys: Collection[str]) -> tuple[str, list[str]]:
    """Return the rule by which `choose` takes features without patterns, and the columns that it takes."""
    names = [name for name in form.names if name not in set(keys)]
    return _ruled(names, [name for name in names if is_number(form.field(name).type)])


def is_word(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds text."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def is_number(kind: pa.DataType) -> bool:
    """Return whether a column of this type may be a feature; a column of nulls may."""
    tests = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal, pa.types.is_null)
    return any(test(kind) for test in tests)


def describes_object(name: str) -> bool:
    """Return whether a name is that of a position, count, time or row number of CellProfiler."""
    return bool(_OF_OBJECT.search(name))


def is_metadata(name: str) -> bool:
    """Return whether a numeric column is known metadata by its name.

    Examples
    --------
    >>> [name for name in ("Unnamed: 0", "Metadata_dose", "Number of Objects", "PC1", "area") if is_metadata(name)]
    ['Unnamed: 0', 'Metadata_dose', 'Number of Objects']
    """
    if not name.strip() or _PREFIXES.match(name) or describes_object(name):
        return True
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _UNIT.sub("", name))
    words = [word for word in re.split(r"[\W_]+", spaced.lower()) if word]
    if _counted(words) or _at_place(words) or _SEQUENCED.fullmatch("_".join(re.findall(r"[a-z0-9]+", name.lower()))):
        return True
    if not words or "".join(words) in _KNOWN or words[-1] in _LAST or words[0] in _FIRST or _ANYWHERE & set(words):
        return True
    return all(word in _KNOWN or word.isdigit() for word in words) and not words[0].isdigit()


def _counted(words: Sequence[str]) -> bool:
    """Return whether a name is that of a count: `Number of Objects`, `total cells`."""
    return {"number", "of"} <= set(words) or (words[:1] == ["total"] and words[-1] in _OBJECTS)


def _at_place(words: Sequence[str]) -> bool:
    """Return whether a name is that of a coordinate of an object, a stage or a box around it."""
    axes = _AXES & set(words)
    return bool(axes) and (bool(_PLACES & set(words)) or set(words) - axes <= _OBJECTS)


def _asked(names: Sequence[str], patterns: Sequence[str], where: object) -> list[str]:
    taken = set[str]()
    for pattern in patterns:
        try:
            test = re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"{where}: expected regular expressions in `features`, found {pattern!r}: {error}"
            ) from error
        mine = [name for name in names if test.match(name)]
        if not mine:
            raise ValueError(f"{where}: no feature matches {pattern!r} from its start (`features`); found {names[:10]}")
        # `Cells_` asks for the measurements of cells; `Cells_Location_` asks for their positions.
        named = _OF_OBJECT.search(pattern) or pattern in names
        taken.update(name for name in mine if named or not describes_object(name))
    return [name for name in names if name in taken]


def _ruled(names: Sequence[str], numeric: Sequence[str]) -> tuple[str, list[str]]:
    measured = _compartments(names, numeric)
    if measured:
        return "compartments", measured
    candidates = [name for name in numeric if not _PREFIXES.match(name) and not describes_object(name)]
    families = families_of(candidates)
    if families and len(families) * 2 > len(candidates):
        return "families", families
    return "numeric", [name for name in candidates if not is_metadata(name)]


def _compartments(names: Sequence[str], numeric: Sequence[str]) -> list[str]:
    """Return the columns with names of CellProfiler's measurements; none where other numbers outnumber them by far."""
    measured = [name for name in names if _of_cellprofiler(name) and not describes_object(name)]
    others = [name for name in numeric if not _of_cellprofiler(name) and not is_metadata(name)]
    return measured if len(others) <= FEW * len(measured) else []


def _of_cellprofiler(name: str) -> bool:
    return name.startswith(tuple(f"{one}_" for one in COMPARTMENTS)) or bool(_CELLPROFILER.match(name))


def families_of(names: Sequence[str]) -> list[str]:
    """Return the names of stems that have at least three numbers each; a stem may be empty (`0`, `1`, `2`)."""
    stems: Mapping[str, list[str]] = {}
    found = dict(stems)
    for name in names:
        parts = _FAMILY.fullmatch(name)
        if parts and parts[1].lower().rstrip("_-. :") not in _KNOWN - _STEMS and not _placed(parts[1]):
            found.setdefault(parts[1], []).append(name)
    mine = {name for group in found.values() if len(group) > 2 for name in group}
    return [name for name in names if name in mine]


def _placed(stem: str) -> bool:
    """Return whether the stem of numbered columns names a position or a count, as `bbox-0` and `cell_count_1` do."""
    words = [word for word in re.split(r"[\W_]+", stem.lower()) if word]
    return bool(words) and (words[0] in _FIRST - _STEMS or words[-1] in _LAST or bool(_ANYWHERE & set(words)))
