"""Read profile tables, evaluate them by the code of the rules `evaluate` and `report`, and write page and tables."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring.api.score_columns import find, workflow_table
from wellspring.api.score_controls import column_of
from wellspring.api.score_doubts import (
    apart,
    copied,
    pooled,
    refuse_swapped,
    refuse_two_doses,
    split_by_dose,
    without_controls,
)
from wellspring.api.score_labels import label_of, other_separator, read_lists
from wellspring.api.score_properties import described
from wellspring.encoders.profile_table import chosen_features
from wellspring.encoders.table_columns import numbers, texts
from wellspring.encoders.table_format import open_source
from wellspring.evaluate import run
from wellspring.evaluate.populations import Population
from wellspring.io import provenance, tables
from wellspring.io.keys import TIME
from wellspring.io.notes import Note
from wellspring.io.phrases import listed
from wellspring.profile.consensus import join_plates
from wellspring.profile.decisions import already_normalised, decided, of_rule
from wellspring.profile.normalise import normalise
from wellspring.report import gather, page
from wellspring.report.wording import words
from wellspring.screen import config, not_a_table, sections, treatments
from wellspring.workflow import foresight

logger = logging.getLogger(__name__)
NAME = "profiles"  # how the page calls the encoder
WARNED = ("labels_not_split", "already_normalised")  # codes of notes that are warnings
SHOWN = 3  # files that the title of the page names


@dataclass(frozen=True)
class Options:
    """Options of the command.

    Attributes
    ----------
    label
        Column of the classes. None: `moa`, or the only column with a usual name of mechanisms (`mechanism_of_action`).
    roles
        Role (plate, well, compound, dose, unit, type, cell_line, batch) to column, where it has no usual name.
    controls
        See `wellspring.api.score_columns.workflow_table`.
    features
        Regular expressions; none: the rules of `wellspring.encoders.table_features`.
    shared
        `error` or `intersection`: for several files with different features.
    normalise
        A method of `profile.normalise`; `none` takes the profiles as they are.
    normalise_on
        `negcon` or `all`.
    evaluate
        Further keys of the config section `evaluate`.
    seed
        Of permutations, draws and resamples.
    """

    label: str | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    controls: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    shared: str = "error"
    normalise: str = "none"
    normalise_on: str = "negcon"
    evaluate: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0


def score(paths: Sequence[str | Path], out: str | Path, *, options: Options) -> pd.DataFrame:
    """Evaluate tables of profiles, one row per well; return the table `summary`.

    Writes `index.html` (the page), `metrics.csv`, and the tables `items.parquet` and `summary.parquet` into `out`.

    Parameters
    ----------
    paths
        Files of any format of :mod:`wellspring.encoders.table_format`; several are joined.

    Raises
    ------
    ValueError
        A file cannot be read, or a column is missing; names what was expected and the option to set.
    """
    frame, notes = read(paths, options=options)
    if frame.empty:
        raise ValueError(f"{', '.join(map(str, paths))}: expected a row per well below the header, found none")
    options = _sharing_time(frame, options)
    options = _sharing(options, apart(frame, shared=_columns(frame, options, "replicates_share")))
    frame, options = _with_plain_names(frame, options)
    shared = _columns(frame, options, "replicates_share")
    doubts = [without_controls(frame), pooled(frame, shared=shared), copied(frame)]
    doubts += [*split_by_dose(frame), *foresight.slips([frame])]
    for sentence in filter(None, doubts):
        logger.warning("%s", sentence)
    column = label_of(frame, options.label)
    label = f"Metadata_{re.sub(r'[^A-Za-z0-9_]+', '_', column.removeprefix('Metadata_'))}"
    frame = frame if label in frame else frame.rename(columns={column: label})
    separator = config.default(sections.Evaluate, **options.evaluate).separator
    frame[label] = read_lists(frame[label], separator)
    other = other_separator(frame.loc[frame["Metadata_pert_type"] == "trt", label], separator)
    if other is not None:
        notes = (*notes, Note("labels_not_split", {"separator": other[0], "label": other[1]}))
    if options.normalise != "none":
        frame, more = _normalised(frame, options)
        notes = (*notes, *more)
    elif (frame["Metadata_pert_type"] == "negcon").any() and already_normalised(frame) is None:
        notes = (*notes, Note("not_normalised"))
    for note in notes:
        logger.log(logging.WARNING if note.code in WARNED else logging.INFO, "%s", words(note))
    chosen = config.default(sections.Evaluate, label=label, **options.evaluate)
    population = Population.of(frame, level="aligned")
    items, summary = run.judge(population, options=chosen, seed=options.seed)
    of = {"rule": "score", "notes": [str(note) for note in notes], "seed": options.seed}
    of |= {"inputs": {str(path): provenance.file_digest(path) for path in paths if Path(path).is_file()}}
    out = Path(out)
    tables.write(items, out / "items.parquet", table="items", provenance=of)
    tables.write(summary, out / "summary.parquet", table="summary", provenance=of)
    shown = frame.assign(Metadata_moa=frame[label]) if frame["Metadata_moa"].isna().all() else frame
    made = page.build(
        screen_of(shown, items, summary, notes=notes, seed=options.seed),
        options=config.default(sections.Report, title=_title(paths)),
    )
    for name, text in (("index.html", made.page), ("metrics.csv", made.metrics)):
        with tables.atomic(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return summary


def read(paths: Sequence[str | Path], *, options: Options) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """Return the wells of all files in the workflow's form, and notes on their features."""
    parts, notes = list[pd.DataFrame](), dict[Note, None]()
    for path in paths:
        source = open_source(path)
        names = [*source.schema.names, *(column for column, _ in source.lists.values())]
        try:
            found = find(names, options.roles)
            label = column_of(names, options.label, "label") if options.label is not None else None
        except ValueError as error:
            raise ValueError(f"{path}: {error}{not_a_table.of_header(source.schema.names)}") from error
        # A column whose whole name is among --features is a feature.
        found = {role: name for role, name in found.items() if role in options.roles or name not in options.features}
        keys = {*found.values(), *([label] if label else [])}
        chosen = chosen_features(source, keys=keys, patterns=options.features)
        features = list(chosen.names)
        about = [name for name in source.schema.names if name not in set(features) and name not in source.lists]
        table = texts(source, about)
        blocks = [block for _, block in numbers(source, features, wanted=np.arange(len(table)))]
        matrix = np.concatenate(blocks) if blocks else np.zeros((0, len(features)), dtype=np.float32)
        table = pd.concat([table, pd.DataFrame(matrix, columns=features)], axis=1).dropna(how="all", ignore_index=True)
        refuse_swapped(table, found, where=str(path))
        if "dose" not in options.roles:
            refuse_two_doses(table, found.get("dose"), where=str(path))
        alone = Path(path).name.split(".")[0] if len(paths) > 1 else "table"
        part = workflow_table(table, features, roles=found, controls=options.controls, where=str(path), plate=alone)
        classes = None if label is None else f"Metadata_{label.removeprefix('Metadata_')}"
        about = described(part, features, label=classes) if chosen.rule == "numeric" else []
        if about:
            logger.warning(
                "%s: left out of the features, since they are constant within each treatment, plate, position or "
                "another group of wells: %s",
                path,
                about,
            )
            left = tuple(name for name in source.schema.names if name in {*chosen.left, *about})
            chosen = replace(chosen, names=tuple(name for name in features if name not in about), left=left)
        parts.append(part.drop(columns=about).reset_index(drop=True))
        notes[of_rule(chosen.origin)] = None
    if len(parts) > 1:
        verdicts = [tables.Verdict()] * len(parts)
        try:
            joined, verdict = join_plates(parts, names=[*map(str, paths)], verdicts=verdicts, features=options.shared)
            treatments.check_units(joined)
        except ValueError as error:  # its remedy is a key of the config
            words = str(error).replace("profile.features:", "--shared-features")
            raise ValueError(words.replace("set index.unit", "write them in one unit in all files")) from error
        doubled = joined.duplicated(["Metadata_Plate", "Metadata_Well"])
        if doubled.any():
            found_twice = sorted(set(joined.loc[doubled, "Metadata_Plate"]))[:10]
            raise ValueError(
                f"expected each well in one file, found wells of the plates {found_twice} in several: "
                "give each plate a name of its own in a column of plates (--plate)"
            )
        return complete(joined), (*notes, *verdict.notes)
    return complete(parts[0]), tuple(notes)


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with role, verdict and reason: wells without any finite feature are undefined."""
    names = tables.features(frame)
    finite = np.isfinite(frame[names].to_numpy(dtype=np.float64)).any(axis=1)
    fill: dict[str, object] = {"Metadata_Role": "fit", "Metadata_Reason": ""}
    fill |= {f"Metadata_{name}": None for name in ("Cell_Line", "Batch", "moa", "target")}
    given = {name: value for name, value in fill.items() if name not in frame}
    return frame.assign(**given, Metadata_Verdict=np.where(finite, "keep", "undefined"))


def _sharing_time(frame: pd.DataFrame, options: Options) -> Options:
    """Return the options by which replicates share the time point, where the table has several."""
    if TIME not in frame or frame[TIME].nunique() < 2:
        return options
    logger.info("the table has %d time points: replicates share one", frame[TIME].nunique())
    return _sharing(options, [TIME], quiet=True)


def _sharing(options: Options, names: Sequence[str], *, quiet: bool = False) -> Options:
    """Return the options by which replicates share these columns, too; a warning names them unless `quiet`."""
    if not names:
        return options
    if not quiet:
        logger.warning(
            "wells of one compound differ in %s, by name a part of the treatment: replicates share it (--dose names "
            "the column of concentrations)",
            listed(names, SHOWN),
        )
    given = options.evaluate.get("replicates_share", ())
    shared = list(dict.fromkeys([*(given if isinstance(given, list | tuple) else ()), *names]))
    return replace(options, evaluate={**options.evaluate, "replicates_share": shared})


def _with_plain_names(frame: pd.DataFrame, options: Options) -> tuple[pd.DataFrame, Options]:
    """Return table and options in which columns that replicates share or differ in have names as the config takes."""
    plain, evaluate = dict[str, str](), dict(options.evaluate)
    for key in ("replicates_share", "replicates_differ"):
        columns = _columns(frame, options, key)
        plain |= {name: re.sub(r"[^A-Za-z0-9_]+", "_", name) for name in columns}
        if columns:
            evaluate[key] = [plain[name] for name in columns]
    return frame.rename(columns=plain), replace(options, evaluate=evaluate)


def _columns(frame: pd.DataFrame, options: Options, key: str) -> list[str]:
    """Return the columns of an option of `evaluate`; `ValueError` for one that the table lacks."""
    given, about = options.evaluate.get(key, ()), [name for name in frame if name.startswith("Metadata_")]
    wanted = [str(name) for name in given] if isinstance(given, list | tuple) else []
    return [column_of(about, name, key) for name in wanted]


def screen_of(
    frame: pd.DataFrame, items: pd.DataFrame, summary: pd.DataFrame, *, notes: Sequence[Note] = (), seed: int = 0
) -> gather.Screen:
    """Return what the page shows of a table without a screen."""
    plates = list(dict.fromkeys(frame["Metadata_Plate"]))
    empty = gather.gather({}, plates=plates, encoders=[NAME], channels=[], seed=seed)
    return replace(
        empty,
        wells=frame.drop(columns=tables.features(frame)),
        aligned={NAME: frame},
        items=items.assign(Encoder=NAME),
        summary=summary.assign(Encoder=NAME),
        fit_notes={NAME: tuple(notes)} if notes else {},
    )


def _title(paths: Sequence[str | Path]) -> str:
    """Return the title of the page: the names of the files."""
    names = [Path(path).name for path in paths]
    return f"Scores of {listed(names, SHOWN)}"


def _normalised(frame: pd.DataFrame, options: Options) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    profile = config.default(sections.Profile, normalise=options.normalise, normalise_on=options.normalise_on)
    parts, notes = list[pd.DataFrame](), dict[Note, None]()
    for plate, part in frame.groupby("Metadata_Plate", sort=True):
        whole = part.reset_index(drop=True)
        made, normaliser, verdict = normalise(whole, options=profile)
        for note in decided(whole, options=profile, method=normaliser.method, operation="none"):
            if note.code in ("already_normalised", "decided_by_majority"):
                notes[note] = None
        for note in verdict.notes:
            notes[Note("plate_left_out", {"plate": str(plate), "notes": str(note)})] = None
        parts.append(made)
    return pd.concat(parts, ignore_index=True), tuple(notes)
