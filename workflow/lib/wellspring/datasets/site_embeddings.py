"""Join published embeddings of single sites, a Parquet file each in long form, into a table per plate.

JUMP-Lite has them as ``MODEL-CODEC/2026_jump_lite_v1.0/SOURCE/BATCH/PLATE/WELL-SITE/embedding.parquet`` with the
columns tile, label, branch, metric, value, object and tp; its pipeline writes ``KEY.parquet``, named as the array.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from wellspring.datasets import places
from wellspring.io import object_store, site_arrays
from wellspring.io.ahead import REQUESTS, ahead
from wellspring.io.tables import atomic

logger = logging.getLogger(__name__)

COLUMNS = ["tile", "metric", "value"]
MODEL = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
LARGEST = 2**28  # bytes of one site's file; those of JUMP-Lite have some 50 kB


def sets(place: str, codec: str, chosen: Sequence[str] = ()) -> dict[str, str]:
    """Return model -> folder or URL of its sites, for the embeddings of images of a codec.

    Raises
    ------
    ValueError
        None, or not those that are chosen; a model whose name cannot be an encoder's; several releases in a folder.
    """
    held = {name.removesuffix(f"-{codec}"): name for name in places.names(place) if name.endswith(f"-{codec}")}
    absent = sorted(set(chosen) - set(held))
    if absent or not held:
        wanted = [f"{model}-{codec}" for model in absent] or f"MODEL-{codec}"
        raise ValueError(f"{place}: expected the folders {wanted}, found {places.names(place)[:20] or 'none'}")
    found = {}
    for model in chosen or sorted(held):
        if not MODEL.fullmatch(model):
            raise ValueError(f"{place}: expected names of models of letters, digits and '_', found {model!r}")
        home = places.join(place, held[model])
        below = [name for name in places.names(home) if "jump_lite" in name]
        if len(below) > 1:
            raise ValueError(f"{home}: expected one release, found {below}")
        found[model] = places.join(home, *below)
    return found


def write(place: str, keys: Sequence[str], path: Path, *, partial: bool = False) -> int:
    """Write the embeddings of a plate's sites as one table, and return its number of rows.

    Parameters
    ----------
    place
        Folder or URL of a model's sites.
    keys
        The sites, ``SOURCE__BATCH__PLATE__WELL__SITE``.
    path
        Parquet: Metadata_Well, Metadata_Site, Metadata_tile and features (float32), one row per tile.
    partial
        Leave out sites without a file; without it they are an error.

    Raises
    ------
    ValueError
        A file is missing, not in long form, or has other features than the others; names it.
    """
    found: dict[str, pd.DataFrame] = {}
    absent = []
    threads = REQUESTS if object_store.is_url(place) else 2
    for key, table in zip(keys, ahead(lambda one: _site(place, one), keys, threads=threads), strict=True):
        if table is None:
            absent.append(key)
        else:
            found[key] = table
    if absent and (not partial or not found):
        message = f"expected a file for each of {len(keys)} sites, found none for {len(absent)}: {absent[:5]}"
        raise ValueError(f"{place}: {message} (--partial goes on without them)")
    if absent:
        logger.warning("%s: %d of %d sites have no file: %s", place, len(absent), len(keys), absent[:5])
    first, features = next((key, list(table.columns)) for key, table in found.items())
    for key, table in found.items():
        if list(table.columns) != features:
            count = f"{len(table.columns)} or others"
            raise ValueError(f"{place}: {key}: expected the {len(features)} features of {first}, found {count}")
    parts = [site_arrays.key(key) for key in found]
    counts = [len(table) for table in found.values()]
    columns = {
        "Metadata_Well": np.repeat([part.well for part in parts if part], counts),
        "Metadata_Site": np.repeat([part.site for part in parts if part], counts),
        "Metadata_tile": np.concatenate([table.index.to_numpy() for table in found.values()]),
    }
    values = pd.concat(list(found.values()), ignore_index=True)
    with atomic(path) as temporary:
        pd.concat([pd.DataFrame(columns), values], axis=1).to_parquet(temporary, index=False)
    return len(values)


def _site(place: str, key: str) -> pd.DataFrame | None:
    """Return the tiles of a site (index) and their features (float32), None where it has no file."""
    source, batch, plate, well, site = key.split(site_arrays.BETWEEN)
    nested = places.join(place, source, batch, plate, f"{well}-{site}", "embedding.parquet")
    for name in (nested, places.join(place, f"{key}.parquet")):
        try:
            with places.local(name) as path:
                return wide(path, where=name)
        except FileNotFoundError:
            continue
    return None


def wide(path: Path, *, where: str) -> pd.DataFrame:
    """Return a table in long form with one row per tile and one column per metric, in the order of their numbers.

    The branch is a part of a feature's name where there are several, the label a part of the row.

    Raises
    ------
    ValueError
        A column is missing, there are no rows or several time points, a value is there twice or too large for float32,
        two metrics have the same name as features, or the file is not Parquet; names `where`.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"expected at most {LARGEST} bytes, found {path.stat().st_size}")
        form = pq.read_schema(path).names
        absent = [name for name in COLUMNS if name not in form]
        if absent:
            raise ValueError(f"expected the columns {COLUMNS}, found {form[:20]}")
        names = [name for name in (*COLUMNS, "label", "branch", "tp") if name in form]
        rows = pq.ParquetFile(path).read(columns=names, use_threads=False).to_pandas()
        if rows.empty:
            raise ValueError("expected rows, found none")
        if "tp" in rows and rows["tp"].nunique() > 1:
            raise ValueError(f"expected one time point, found {rows['tp'].nunique()}")
        if rows[["tile", "metric"]].isna().to_numpy().any() or (rows["metric"] == "").any():
            raise ValueError("expected a tile and a metric in each row, found rows without")
        metric = rows["metric"].astype(str)
        if "branch" in rows and rows["branch"].nunique() > 1:
            metric = rows["branch"].astype(str) + "_" + metric
        row = [name for name in ("tile", "label") if name in rows and (name == "tile" or rows[name].nunique() > 1)]
        tile = rows.groupby(row, sort=True, dropna=False).ngroup() + 1
        if pd.DataFrame({"tile": tile, "metric": metric}).duplicated().any():
            raise ValueError(f"expected each metric once per {' and '.join(row)}, found some twice")
        table = pd.Series(_single(rows["value"].to_numpy(dtype=np.float64)), index=[tile, metric]).unstack()
        if table.size != len(rows):
            raise ValueError(f"expected each metric for each tile, {table.size} rows, found {len(rows)}")
        order = sorted(table.columns, key=_order)
        features = [f"X_{name}" if name[0].isdigit() else name for name in order]
        if len(set(features)) < len(features):
            twice = sorted({name for name in features if features.count(name) > 1})
            raise ValueError(f"expected metrics that differ as names of features, found several for {twice[:5]}")
    except (ValueError, OSError) as error:  # errors of Arrow are of these kinds
        raise ValueError(f"{where}: {error}") from error
    return table[order].set_axis(features, axis=1)


def _single(values: np.ndarray) -> np.ndarray:
    """Return values as float32; refuse those that are too large for it, which would become infinite."""
    large = np.isfinite(values) & (np.abs(values) > np.finfo(np.float32).max)
    if large.any():
        raise ValueError(f"expected values that float32 can hold, found {values[large][0]:g}")
    return values.astype(np.float32)


def _order(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]
