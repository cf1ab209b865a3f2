"""Make the tables that a scientist takes away of a screen, and write them as CSV and as one Excel workbook."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.io import tables
from wellspring.profile.consensus import consensus
from wellspring.report.differences import classical
from wellspring.report.gather import Screen, chosen_level
from wellspring.report.takeaway import alike, changed, curves, feature_words, hits
from wellspring.screen import sections
from wellspring.screen.treatments import joined


@dataclass(frozen=True)
class Takeaway:
    """The tables of a screen, of its first encoder (`report.encoder`); empty where nothing was made.

    Attributes
    ----------
    encoder
        Whose profiles they are of; empty without any.
    hits
        One row per treatment: `hits.COLUMNS` but the perturbation, those of `alike.summary`, EC50 and benchmark
        concentration of its compound.
    alike
        One row per treatment and neighbour: `alike.COLUMNS`.
    changed
        One row per treatment and change: `changed.COLUMNS`.
    curves, points
        One row per compound (cell line, time point) with several doses, and one per well of its series.
    """

    encoder: str
    hits: pd.DataFrame
    alike: pd.DataFrame
    changed: pd.DataFrame
    curves: pd.DataFrame
    points: pd.DataFrame

    def effects(self) -> dict[str, float]:
        """Return treatment -> its effect, in standard deviations of the controls; NaN where undefined."""
        return dict(zip(self.hits["treatment"], pd.to_numeric(self.hits["effect_sd"]), strict=True))

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Return name -> table, in the order of the workbook's sheets."""
        return {
            "hits": self.hits,
            "similar": self.alike,
            "changes": self.changed,
            "curves": self.curves,
            "responses": self.points,
        }


def takeaway(
    screen: Screen, *, report: sections.Report, evaluate: sections.Evaluate, concentration: str | None = None
) -> Takeaway:
    """Return the tables of a screen.

    Parameters
    ----------
    report, evaluate
        The config sections; `report.significance` is the threshold on q.
    concentration
        The platemap's name for the concentration, which may hold the unit.
    """
    encoder = next((name for name in (report.encoder, *screen.encoders) if name in screen.aligned), "")
    frame = screen.aligned.get(encoder, pd.DataFrame())
    units = hits.units_of(screen.wells, column=concentration)
    level = chosen_level(screen, report.level)
    found = hits.table(screen, encoder=encoder, alpha=report.significance, level=level, units=units)
    if frame.empty:
        none = {"alike": alike.COLUMNS, "changed": changed.COLUMNS, "curves": curves.COLUMNS, "points": curves.POINTS}
        return Takeaway(encoder, found, **{name: pd.DataFrame(columns=head) for name, head in none.items()})
    profiles = screen.consensus.get(encoder)
    pairs = alike.nearest(
        consensus(frame) if profiles is None else profiles, label=evaluate.label, separator=evaluate.separator
    )
    fits, points = curves.fitted(frame, encoder=encoder, minimum=evaluate.dose_levels, units=units)
    names = wells.replicate_names(frame, screen.shared)
    series = dict(zip(names, wells.series(frame), strict=True))
    return Takeaway(encoder, _joined(found, pairs, fits, series), pairs, _changed(screen, encoder), fits, points)


def _joined(found: pd.DataFrame, pairs: pd.DataFrame, fits: pd.DataFrame, series: Mapping[str, str]) -> pd.DataFrame:
    """Return the hits with their nearest treatments and the EC50 of their dose series, by `series` of treatments."""
    near = alike.summary(pairs).rename(columns={"treatment": "perturbation"})
    doses = _by_compound(fits).rename(columns={"compound": "series"})
    found = found.assign(series=found["treatment"].map(series).astype(object))
    whole = found.merge(near, on="perturbation", how="left").merge(doses, on="series", how="left")
    last = ["encoders_active", "encoder", "population", "note"]
    return whole[[*(name for name in whole.columns if name not in (*last, "perturbation", "series")), *last]]


def _by_compound(fits: pd.DataFrame) -> pd.DataFrame:
    """Return one row per compound and time point: its curve, or, of several cell lines, the EC50 of each as text."""
    names = [
        compound if time is None else joined((compound, time))
        for compound, time in zip(fits["compound"], wells.column(fits, "time_point"), strict=True)
    ]
    fits = fits.assign(compound=pd.Series(names, index=fits.index, dtype=object))
    numbers = ["ec50", "ec50_low", "ec50_high", "bmc"]
    several = fits["compound"].duplicated(keep=False)
    each = fits[several].assign(
        ec50_by_cell_line=[
            f"{line}: {f'{value:.6g}' if np.isfinite(value) else 'none'}"
            for line, value in zip(fits.loc[several, "cell_line"], fits.loc[several, "ec50"].astype(float), strict=True)
        ]
    )
    together = each.groupby("compound", as_index=False, sort=False)["ec50_by_cell_line"].agg("; ".join)
    return pd.concat([fits.loc[~several, ["compound", *numbers]], together], ignore_index=True).reindex(
        columns=["compound", *numbers, "ec50_by_cell_line"]
    )


def _changed(screen: Screen, encoder: str) -> pd.DataFrame:
    """Return what each treatment changes, by the first encoder with classical features, else by intensities."""
    names = (encoder, *screen.encoders)
    measured = next((name for name in names if name in classical(screen)), None)
    measured = measured or next((name for name in names if _intensity(screen, name)), None)
    if measured is None:
        return pd.DataFrame(columns=changed.COLUMNS)
    parts = [tables.read(path) for path in screen.normalised.get(measured, ()) if tables.verdict(path).keep]
    kept = set(wells.column(screen.aligned[measured], wells.PLATE))
    parts = [part[part["Metadata_Plate"].isin(kept)] for part in parts] or [screen.aligned[measured]]
    frame = pd.concat(parts, ignore_index=True)
    measures = changed.Classical(frame, channels=screen.channels, meant=_meant(screen, measured, frame))
    if measured == encoder:
        return changed.of_classical(measures, _treatments(measures.metadata), encoder=encoder)
    frame = screen.aligned[encoder]
    return changed.of_learned(measures, frame, _treatments(frame), encoder=encoder)


def _intensity(screen: Screen, name: str) -> bool:
    """Return whether an encoder is one of kind `intensity`, whose features have a meaning."""
    return name in screen.aligned and screen.cards.get(name, {}).get("kind") == "intensity"


def _meant(screen: Screen, name: str, frame: pd.DataFrame) -> dict[str, feature_words.Words] | None:
    """Return the words of intensity statistics; None for classical features, whose names have them."""
    if not _intensity(screen, name):
        return None
    card = screen.cards[name]
    view = str(card.get("view", {}).get("kind", "view"))
    return feature_words.of_intensity(tables.features(frame), channels=card["channels"], view=view)


def _treatments(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return treatment -> places of its wells with a profile, of plates that are not held out."""
    mine = wells.kind(frame, "trt", "poscon") & (wells.column(frame, "Metadata_Role") != "heldout")
    if "Metadata_Verdict" in frame:
        mine &= (frame["Metadata_Verdict"] == "keep").to_numpy()
    names = wells.perturbations(frame)
    mine &= np.array([name is not None for name in names])
    return {
        str(name): rows.to_numpy() for name, rows in pd.Series(np.flatnonzero(mine)).groupby(names[mine].astype(str))
    }
