"""Profiles in a notebook: read, normalise, align, consensus, evaluate and report tables, also those of other software.

A table has one row per well, columns `Metadata_*`, and numeric features in all other columns. Columns that this
workflow adds (verdict, role, perturbation) are filled in where a table of other software lacks them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wellspring.align import alignment as aligning
from wellspring.align.alignment import Alignment
from wellspring.api.complete import complete
from wellspring.encoders.table_columns import as_numbers, whole
from wellspring.encoders.table_format import is_parquet, open_source
from wellspring.evaluate import run
from wellspring.evaluate.populations import Population
from wellspring.io import tables
from wellspring.profile import consensus as joining
from wellspring.profile import normalise as normalising
from wellspring.screen import config, sections

KIND = "Metadata_pert_type"


def read_profiles(path: str | Path) -> pd.DataFrame:
    r"""Read a table of profiles of this or of other software, as rule `ingest` and `wellspring score` read it.

    Parameters
    ----------
    path
        Parquet, Feather, Arrow or CSV (comma, semicolon or tab; UTF-8 or UTF-16; also gzip, bzip2 or zstd). The format
        is recognised by content.

    Returns
    -------
    pandas.DataFrame
        One row per well: `Metadata_*` columns, and features. Metadata in a CSV file is read as text: `007` keeps its
        zeros, `NA` and `#3` are names, and an empty cell is None. Metadata columns that are numeric in the schema
        `profile` (Metadata_Concentration, counts) are numbers. Features are float64; `NA`, `nan`, `null` and empty
        cells are NaN.

    Raises
    ------
    ValueError
        No such file, a format that is not read, bytes that are not text, or a column of numbers with another value;
        names the file, and where known the column.

    Examples
    --------
    >>> import tempfile
    >>> import wellspring as ws
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "profiles.csv")
    ...     _ = path.write_text("Metadata_Plate,Metadata_Well,x\np,A01,0.5\n")
    ...     ws.read_profiles(path).shape
    (1, 3)
    """
    source = open_source(path)
    if is_parquet(path) and not source.lists:
        return tables.read(path)  # verifies the checksums of this workflow's tables
    frame = whole(source)
    for name, column in tables.schema("profile")["columns"].items():
        if column["type"] != "string" and name in frame and frame[name].dtype == object:
            frame[name] = as_numbers(frame[name], where=path)
    return frame


def normalise(profiles: pd.DataFrame, *, method: str = "auto", controls: str = "negcon") -> pd.DataFrame:
    """Centre and scale the features of each plate on its negative controls or on all of its wells.

    Parameters
    ----------
    profiles
        One row per well; needs Metadata_Plate, Metadata_Well and, for `negcon`, Metadata_pert_type.
    method
        `mad_robustize`, `robustize`, `standardize`, `rank_normal`, `none`, or `auto` (see config key
        `profile.normalise`).
    controls
        `negcon` (wells whose Metadata_pert_type is negcon) or `all`.

    Returns
    -------
    pandas.DataFrame
        The wells, plate by plate, with float32 features. The wells of a plate with too few controls are NaN, and
        Metadata_Verdict and Metadata_Reason give the reason.

    Raises
    ------
    ValueError
        A column is missing or not numeric, or an option is unknown.

    Examples
    --------
    >>> import wellspring as ws
    >>> kinds = ["negcon"] * 6 + ["trt"] * 2
    >>> frame = pd.DataFrame({"Metadata_Plate": "p", "Metadata_Well": [f"A{n:02d}" for n in range(1, 9)],
    ...                       "Metadata_pert_type": kinds, "x": [1, 2, 3, 4, 5, 6, 20, 30]})
    >>> normalised = ws.normalise(frame, method="standardize")
    >>> abs(float(normalised["x"][:6].mean())) < 1e-6
    True
    """
    frame = complete(profiles, needed=(KIND,) if controls == "negcon" else ())
    options = config.default(sections.Profile, normalise=method, normalise_on=controls)
    parts = [
        normalising.normalise(part.reset_index(drop=True), options=options)[0]
        for _, part in frame.groupby("Metadata_Plate", sort=True)
    ]
    return pd.concat(parts, ignore_index=True) if parts else frame


def fit_alignment(
    profiles: pd.DataFrame, *, steps: Sequence[str | Mapping[str, Any]] = ("select", "sphere"), **options: object
) -> Alignment:
    """Fit the steps that make plates comparable, on normalised profiles.

    Parameters
    ----------
    profiles
        Normalised profiles of the plates that fit.
    steps
        Names of steps, or mappings of one name to its options; see config key `fit.steps`.
    options
        Further keys of the config section `fit`, as `min_controls=8`.

    Raises
    ------
    ValueError
        A column is missing, or a step or an option is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import wellspring as ws
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"Metadata_Plate": "p", "Metadata_Well": [f"A{n:02d}" for n in range(1, 21)],
    ...                       "Metadata_pert_type": "negcon", "x": rng.normal(size=20), "y": rng.normal(size=20)})
    >>> ws.fit_alignment(frame, steps=["select", "sphere"]).features
    ['x', 'y']
    """
    fit = config.default(sections.Fit, steps=list(steps), **options)
    return aligning.fit_alignment(complete(profiles, needed=(KIND,)), options=fit)


def apply_alignment(profiles: pd.DataFrame, alignment: Alignment) -> pd.DataFrame:
    """Apply a fitted alignment to normalised profiles, also of plates that were not in the fit.

    Returns
    -------
    pandas.DataFrame
        The wells with the kept features, float32.

    Raises
    ------
    ValueError
        The profiles lack a feature of the fit.

    Examples
    --------
    >>> import numpy as np
    >>> import wellspring as ws
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"Metadata_Plate": "p", "Metadata_Well": [f"A{n:02d}" for n in range(1, 21)],
    ...                       "Metadata_pert_type": "negcon", "x": rng.normal(size=20), "y": rng.normal(size=20)})
    >>> ws.apply_alignment(frame, ws.fit_alignment(frame))[["x", "y"]].shape
    (20, 2)
    """
    return aligning.apply_alignment(complete(profiles), alignment)


def consensus(
    profiles: pd.DataFrame,
    *,
    operation: str = "median",
    group_by: Sequence[str] = ("Metadata_Cell_Line",),
    of: str = "Metadata_Perturbation",
) -> pd.DataFrame:
    """Combine the replicates of each perturbation (or the wells of each mechanism) to one profile.

    Parameters
    ----------
    profiles
        One row per well; needs Metadata_pert_type, and Metadata_Perturbation or Metadata_Compound.
    operation
        `median`, `mean` or `modz`.
    group_by
        Metadata columns that are kept apart.
    of
        The column whose values are combined, as Metadata_moa.

    Returns
    -------
    pandas.DataFrame
        Table `consensus`: one row per perturbation and group.

    Raises
    ------
    ValueError
        A column is missing, or the operation is unknown.

    Examples
    --------
    >>> import wellspring as ws
    >>> frame = pd.DataFrame({"Metadata_Plate": "p", "Metadata_Well": ["A01", "A02"], "Metadata_pert_type": "trt",
    ...                       "Metadata_Compound": "a", "x": [1.0, 3.0]})
    >>> ws.consensus(frame)["x"].tolist()
    [2.0]
    """
    frame = complete(profiles, needed=(KIND, "Metadata_Perturbation"))
    return joining.consensus(frame, operation=operation, group_by=group_by, of=of)


def evaluate_profiles(
    profiles: pd.DataFrame, *, label: str = "Metadata_moa", seed: int = 0, **options: object
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute the metrics of well profiles as they are; nothing is fitted.

    If the profiles were aligned on their own controls, the metrics that compare with controls are optimistic; the
    workflow cross-fits them.

    Parameters
    ----------
    profiles
        One row per well; needs Metadata_Plate, _Well, _pert_type and _Compound.
    label
        Column with the classes, for instance mechanisms.
    seed
        Seed of permutations, draws and resamples.
    options
        Further keys of the config section `evaluate`, as `metrics=["activity"]`.

    Returns
    -------
    tuple of pandas.DataFrame
        Tables `items` (one row per well or treatment and metric) and `summary` (one row per metric: value, interval,
        chance level, notes).

    Raises
    ------
    ValueError
        A column is missing, or an option is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import wellspring as ws
    >>> rng = np.random.default_rng(0)
    >>> compounds = ["DMSO"] * 8 + ["a"] * 4 + ["b"] * 4
    >>> frame = pd.DataFrame({"Metadata_Plate": "p", "Metadata_Well": [f"A{n:02d}" for n in range(1, 17)],
    ...                       "Metadata_pert_type": ["negcon"] * 8 + ["trt"] * 8, "Metadata_Compound": compounds,
    ...                       "Metadata_moa": compounds, "x": rng.normal(size=16), "y": rng.normal(size=16)})
    >>> items, summary = ws.evaluate_profiles(frame, metrics=["activity"], null_size=1000)
    >>> "activity" in set(summary["Metadata_Metric"])
    True
    """
    own = () if label == "Metadata_moa" else (label,)
    frame = complete(profiles, needed=(KIND, "Metadata_Compound", *own))
    chosen = config.default(sections.Evaluate, label=label, **options)
    return run.judge(Population("aligned", (frame,), (frame,), frame), options=chosen, seed=seed)


def write_report(profiles: pd.DataFrame, path: str | Path, *, label: str = "Metadata_moa", seed: int = 0) -> None:
    """Evaluate a table of profiles and write the page with its metrics, drawings and map to `path` (HTML).

    Raises
    ------
    ValueError
        A column is missing; see `evaluate_profiles`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import wellspring as ws
    >>> rng = np.random.default_rng(0)
    >>> compounds = ["DMSO"] * 8 + ["a"] * 4 + ["b"] * 4
    >>> frame = pd.DataFrame({"Metadata_Plate": "p", "Metadata_Well": [f"A{n:02d}" for n in range(1, 17)],
    ...                       "Metadata_pert_type": ["negcon"] * 8 + ["trt"] * 8, "Metadata_Compound": compounds,
    ...                       "Metadata_moa": compounds, "x": rng.normal(size=16), "y": rng.normal(size=16)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ws.write_report(frame, Path(folder, "report.html"))
    ...     Path(folder, "report.html").read_text().startswith("<!")
    True
    """
    from wellspring.api.score import screen_of
    from wellspring.report import page

    frame = complete(profiles)
    items, summary = evaluate_profiles(frame, label=label, seed=seed)
    made = page.build(screen_of(frame, items, summary, seed=seed), options=config.default(sections.Report))
    with tables.atomic(path) as temporary:
        temporary.write_text(made.page, encoding="utf-8")
