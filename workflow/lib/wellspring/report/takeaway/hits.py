"""The list of hits: one row per treatment, active ones first. Input: a screen's treatments and aligned profiles."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from wellspring.evaluate import wells
from wellspring.evaluate.own_axis import project
from wellspring.evaluate.wells import Array
from wellspring.io import tables
from wellspring.report import active, cell_pictures
from wellspring.report.gather import Screen
from wellspring.report.naming import natural
from wellspring.screen import dose_units

# Columns that the axis of a treatment needs.
AXIS = ("Metadata_Plate", "Metadata_Well", "Metadata_pert_type", "Metadata_Cell_Line", "Metadata_Verdict")
UNIT = "Metadata_Concentration_Unit"
YES, NO, UNTESTED = "yes", "no", "not tested"
COLUMNS = [
    *("treatment", "compound", "dose", "unit", "mechanism", "target", "type", "active", "score", "q"),
    *("effect_sd", "effect_low", "effect_high", "replicates", "replicates_undefined", "plates", "cells_vs_controls"),
    *("cells_beyond", "cells_q"),
    *("encoders_active", "encoder", "population", "note", "perturbation"),
]


def table(
    screen: Screen,
    *,
    encoder: str,
    alpha: float = 0.05,
    level: str = "aligned",
    units: Mapping[tuple[str, str], str] | None = None,
) -> pd.DataFrame:
    """Return the table of hits (`COLUMNS`) of an encoder: active first, then by q, score and effect.

    Parameters
    ----------
    screen
        Its treatments are those of the page (`wellspring.report.active`): with those of held-out plates, as the
        population `held out`.
    alpha
        A treatment is active if its q is below it.
    units
        (plate, well) -> unit of its concentration, where it is known.

    Notes
    -----
    `score` is the mean average precision of the replicates among the controls, and q belongs to it. `effect_sd` is the
    mean distance from the controls along the treatment's own axis, which is fitted on other replicates
    (`wellspring.evaluate.own_axis`), in standard deviations of the controls; its 95 % interval is that of `reach_of`.
    Around 0 the treatment does nothing that its replicates share. `cells_beyond` and `cells_q` are the share of cells
    beyond 95 % of the control cells, and the q of their distribution (`wellspring.evaluate.cell_tests`); empty without
    profiles of single cells.
    """
    frame = screen.aligned.get(encoder, pd.DataFrame())
    if frame.empty:
        return pd.DataFrame(columns=COLUMNS)
    features = frame[tables.features(frame)].to_numpy(dtype=np.float64)
    cells, rows = cells_vs_controls(frame), []
    single = _single_cells(screen, encoder)
    near, described = Near(frame), Described(frame, units=units or {})
    for metric, name in ((active.METRIC, "screen"), (active.METRIC + active.HELD_OUT, "held out")):
        found = active.population(screen, encoder=encoder, level=level, alpha=alpha, metric=metric)
        counts = _by_encoder(screen.items, metric=metric, level=level, alpha=alpha)
        for one in (*found.treatments, *found.controls):
            own = np.array(one.rows)
            row = described.of(own)
            row |= {"treatment": one.item, "perturbation": one.perturbation, "score": one.score, "q": one.q}
            row |= {"active": UNTESTED if not one.tested else YES if found.is_active(one) else NO}
            row |= dict(zip(("effect_sd", "effect_low", "effect_high"), near.effect(features, own), strict=True))
            row |= {"replicates": one.replicates, "replicates_undefined": one.undefined}
            row |= single.get(one.item, {}) if name == "screen" else {}
            row |= {"cells_vs_controls": _mean(cells[own]), "encoders_active": counts.get(one.item, "")}
            row |= {"encoder": encoder, "population": name}
            rows.append(row | {"note": _note(one)})
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = table["active"].map({YES: 0, NO: 1, UNTESTED: 2})
    place = {name: at for at, name in enumerate(sorted(set(table["treatment"]), key=natural))}
    keys = table.assign(order=order)
    for name in ("score", "effect_sd"):  # the strongest first
        keys[name] = -pd.to_numeric(table[name], errors="coerce")
    keys["treatment"] = keys["treatment"].map(place)  # ties as in `active.Population.strongest`
    by = ["order", "q", "score", "effect_sd", "treatment"]
    return table.loc[keys.sort_values(by, kind="stable").index].reset_index(drop=True)


def _by_encoder(items: pd.DataFrame, *, metric: str, level: str, alpha: float) -> dict[str, str]:
    """Return treatment -> by how many of the encoders that tested it, it is active."""
    if items.empty:
        return {}
    mine = items[(items["Metadata_Level"] == level) & (items["Metadata_Metric"] == metric)]
    q = pd.to_numeric(mine["q"], errors="coerce")
    counts = mine.assign(tested=q.notna(), active=q < alpha).groupby("Metadata_Item")[["active", "tested"]].sum()
    return {str(name): f"{int(a)} of {int(b)}" for name, a, b in counts.itertuples()}


def _single_cells(screen: Screen, encoder: str) -> dict[str, dict[str, float]]:
    """Return treatment -> its columns of single cells, of the encoder whose cells the page shows."""
    found = screen.cell_tests.get(cell_pictures.encoder_of(screen, encoder), pd.DataFrame())
    return {
        str(row["Metadata_Item"]): {"cells_beyond": row["share"], "cells_q": row["q_distribution"]}
        for row in found.to_dict("records")
    }


class Near:
    """The wells that the axis of a treatment needs: those of its plates, found once per plate."""

    def __init__(self, frame: pd.DataFrame) -> None:
        """Sort the wells of profiles (n rows) by plate; only negative controls define axes beside the replicates."""
        self.metadata = frame[[name for name in AXIS if name in frame]].reset_index(drop=True)
        self.plate = wells.column(frame, wells.PLATE).astype(str)
        control = np.flatnonzero(wells.kind(frame, "negcon"))
        self.controls = {
            str(name): control[places]
            for name, places in pd.Series(self.plate[control]).groupby(self.plate[control]).indices.items()
        }

    def effect(self, features: Array, rows: Array) -> tuple[float, float, float]:
        """Return the effect of the wells `rows` along their own axis with its 95 % interval; NaN where undefined."""
        plates = dict.fromkeys(self.plate[rows].tolist())
        near = np.unique(np.concatenate([rows, *(self.controls[name] for name in plates if name in self.controls)]))
        member = np.isin(near, rows)
        found = project(features[near], self.metadata.iloc[near], member=member, top=member)
        if found is None:
            return (float("nan"),) * 3
        mean, reach = float(found.treated.mean()), reach_of(found.treated)
        return mean, mean - reach, mean + reach


def reach_of(values: Array) -> float:
    """Return half of the 95 % interval of the mean of replicates on their own axis; NaN with fewer than 2.

    Each replicate helps to define the axis of the others. Of n replicates without an effect, two have the correlation
    1 / (n - 1), so that the variance of the mean is 2 / n, not 1 / n, and their own spread is too small (two replicates
    have the same position). The spread is therefore at least that of the controls, 1, and the variance is doubled:
    Student's interval without this covered the truth in 0.2 (2 replicates) to 0.8 (4) of simulated treatments.
    """
    count = len(values)
    if count < 2:
        return float("nan")
    spread = max(1.0, float(values.std(ddof=1)))
    return float(stats.t.ppf(0.975, count - 1) * spread * np.sqrt(2 / count))


class Described:
    """Metadata of the treatments of profiles; columns are read once, since a screen has thousands of treatments."""

    def __init__(self, frame: pd.DataFrame, *, units: Mapping[tuple[str, str], str]) -> None:
        """Take profiles (n rows), and (plate, well) -> unit of its concentration."""
        names = {"compound": "Compound", "mechanism": "moa", "target": "target", "type": "pert_type", "plates": "Plate"}
        self._columns = {ours: wells.column(frame, f"Metadata_{name}") for ours, name in names.items()}
        self._columns["perturbation"] = wells.perturbations(frame)
        self._dose = wells.concentrations(frame)
        keys = zip(self._columns["plates"], wells.column(frame, "Metadata_Well"), strict=True)
        self._unit = np.array([units.get((str(plate), str(well))) for plate, well in keys], dtype=object)

    def of(self, rows: Array) -> dict[str, object]:
        """Return compound, dose, unit, mechanism, target, type, plates and perturbation of the wells of a treatment."""
        dose = self._dose[rows]
        doses = np.unique(dose[~np.isnan(dose)])
        return {
            **{name: _joined(values[rows]) for name, values in self._columns.items()},
            "dose": float(doses[0]) if len(doses) == 1 else float("nan"),
            "unit": _joined(self._unit[rows]) if len(doses) else None,
        }


def cells_vs_controls(frame: pd.DataFrame) -> Array:
    """Return each well's cell count over the median count of its plate's negative controls (n,); NaN if unknown."""
    count = pd.to_numeric(pd.Series(wells.column(frame, "Metadata_Count_Cells")), errors="coerce")
    plate = pd.Series(wells.column(frame, wells.PLATE))
    middle = count[wells.kind(frame, "negcon")].groupby(plate).median()
    result: Array = (count / plate.map(middle.where(middle > 0))).to_numpy(dtype=float)
    return result


def units_of(index: pd.DataFrame, *, column: str | None = None) -> dict[tuple[str, str], str]:
    """Return (plate, well) -> unit of the concentration, from a column of the platemap named `...unit`.

    Parameters
    ----------
    index
        Wells with the platemap's columns as Metadata_<name>.
    column
        The platemap's name for the concentration, whose end may name a unit (`dose_uM`).
    """
    names = [name for name in index.columns if name.lower().removesuffix("s").endswith("unit")]
    # Concentrations were converted to this unit; the platemap's own column of units may state another.
    named = sorted(names, key=lambda name: (name != UNIT, not any(word in name.lower() for word in ("conc", "dose"))))
    if named:
        known = index[index[named[0]].notna()]
        keys = zip(known["Metadata_Plate"].astype(str), known["Metadata_Well"].astype(str), strict=True)
        return dict(zip(keys, known[named[0]].astype(str), strict=True))
    unit = dose_units.of_name(column or "")[1]
    if unit is None or index.empty:
        return {}
    return {
        (str(plate), str(well)): unit
        for plate, well in zip(index["Metadata_Plate"], index["Metadata_Well"], strict=True)
    }


def _note(one: active.Treatment) -> str:
    """Return why a treatment is not tested."""
    if one.tested:
        return ""
    if one.replicates < 2:
        return "not tested: needs 2 replicates with a profile on plates with negative controls"
    return f"not tested: {one.replicates} replicates among these controls cannot reach a q below the threshold"


def _mean(values: Array) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def _joined(values: Array) -> str | None:
    found = sorted({str(value) for value in values if value is not None})
    return ";".join(found) if found else None
