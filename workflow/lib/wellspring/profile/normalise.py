"""Normalisation: centre and scale a plate's features on its negative controls or on all wells, with a guarded spread.

Returns the profiles in units of the spread (or as normal scores of their ranks), the fitted `Normaliser` and the
verdict of the plate. Where no guard acts, the result equals `pycytominer.normalize` with
`samples="Metadata_pert_type == 'negcon'"` or `"all"`, which neither returns its fit nor guards it: without controls it
returns a plate of NaN, and with a spread of zero values of 1e18.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from wellspring.io.notes import Note, in_words
from wellspring.io.packed import archive
from wellspring.io.phrases import listed
from wellspring.io.tables import Verdict, atomic, features
from wellspring.profile.aggregate import hand_made
from wellspring.profile.normal_scores import distributions, scores
from wellspring.screen.sections import Profile

logger = logging.getLogger(__name__)

Array = npt.NDArray[Any]

METHODS = ("mad_robustize", "robustize", "standardize", "rank_normal", "none")
# Profiles are float32 (relative resolution 6e-8): a spread below this share of the centre, or of the spread of all
# wells of the plate, is rounding and counts as 0.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Normaliser:
    """The fit of a plate: `x -> (x - center) / scale`; arrays (features,) float64.

    `spread` is that of the fitted wells and `scale` is the divisor: at least `floor` where `floored`, 1 where `dead`
    (no spread in any well). `count` is the number of fitted wells; `reason` is the note, as text, why there is no fit,
    else "". For `rank_normal`, `knots`, `levels` and `counts` are the distributions
    (`wellspring.profile.normal_scores`).
    """

    method: str
    features: tuple[str, ...]
    center: Array
    scale: Array
    spread: Array
    floor: Array
    count: int
    reason: str = ""
    knots: Array = field(default_factory=lambda: np.zeros((0, 0)))
    levels: Array = field(default_factory=lambda: np.zeros((0, 0)))
    counts: Array = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def floored(self) -> Array:
        """Features that are divided by the floor instead of their own spread, (features,) bool."""
        return self.spread < self.floor

    @property
    def dead(self) -> Array:
        """Features without spread in any well, (features,) bool."""
        result: Array = (self.floor == 0) & (self.spread == 0) & (self.method != "none")
        return result

    def of(self, values: Array) -> Array:
        """Return values (n, features) float64 normalised; one that is not finite becomes NaN."""
        values = (np.where(np.isfinite(values), values, np.nan) - self.center) / self.scale
        if self.method == "rank_normal" and not self.reason:
            ranked = scores(values, self.knots, self.levels, self.counts)
            values = np.where(self.dead & ~np.isnan(ranked), 0.0, ranked)
        return values

    def save(self, path: str | Path) -> None:
        """Write the fit to `path`, an .npz without pickles."""
        stored = {name: np.asarray(value) for name, value in vars(self).items()}
        stored["features"] = np.asarray(self.features, dtype=str)
        with atomic(path) as temporary:
            np.savez(temporary, allow_pickle=False, **stored)

    @classmethod
    def load(cls, path: str | Path) -> "Normaliser":
        """Read a fit that `save` wrote."""
        state: dict[str, Any] = archive(path)
        plain = {"method": str(state["method"]), "reason": str(state["reason"]), "count": int(state["count"])}
        return cls(**(state | plain | {"features": tuple(state["features"].tolist())}))


def controls_of(frame: pd.DataFrame) -> Array:
    """Return which rows are negative controls that have a profile, (rows,) bool."""
    result: Array = ((frame["Metadata_pert_type"] == "negcon") & (frame["Metadata_Verdict"] == "keep")).to_numpy(
        dtype=bool
    )
    return result


def normalise(
    frame: pd.DataFrame, *, options: Profile, verdict: Verdict | None = None
) -> tuple[pd.DataFrame, Normaliser, Verdict]:
    """Normalise a plate on its negative controls or all wells; with too few of them the plate is left out.

    Parameters
    ----------
    frame
        One plate, table `profile`.
    options
        The config section `profile`. `normalise: auto` is mad_robustize for classical features, else standardize.
    verdict
        The verdict of the plate so far.
    """
    verdict = verdict or Verdict()
    normaliser = fit_normaliser(
        frame,
        method=method_for(options.normalise, features(frame)),
        on=options.normalise_on,
        min_controls=options.min_controls,
        spread_floor=options.spread_floor,
        epsilon=options.epsilon,
    )
    if normaliser.reason:
        verdict = verdict.because(normaliser.reason)
        logger.warning("the plate is left out: %s", in_words([normaliser.reason]))
    for word, which in (("floored", normaliser.floored), ("without spread in any well", normaliser.dead)):
        if which.any() and not normaliser.reason:
            names = np.asarray(normaliser.features)[which]
            place = f"{frame['Metadata_Plate'].iloc[0]}: " if "Metadata_Plate" in frame else ""
            logger.warning("%s%d of %d features %s: %s", place, len(names), len(which), word, listed(names))
    return apply_normaliser(frame, normaliser), normaliser, verdict


def method_for(method: str, names: list[str]) -> str:
    """Return the normalisation of a plate with these features, which decide `auto`."""
    if method != "auto":
        return method
    return "mad_robustize" if hand_made(names) else "standardize"


def fit_normaliser(
    frame: pd.DataFrame,
    *,
    method: str = "mad_robustize",
    on: str = "negcon",
    min_controls: int = 4,
    spread_floor: float = 0.3,
    epsilon: float = 1e-18,
) -> Normaliser:
    """Fit on the wells of one plate that have a profile: the negative controls, or `all` (`on`).

    Methods, as in pycytominer: `mad_robustize` (median, 1.4826 MAD + epsilon), `robustize` (median, interquartile
    range), `standardize` (mean, standard deviation with ddof 0), `none`; and `rank_normal` (Blom's normal scores, see
    `wellspring.profile.normal_scores`; all values beyond the fitted wells are equal), which needs no spread.

    With a dozen controls a spread can be near zero by chance, and dividing by it makes one feature outweigh all others.
    Each feature's spread in the controls is therefore compared with its spread in all wells of the plate. The median of
    that ratio over features is the usual ratio of the plate, and no feature is divided by less than `spread_floor`
    times the usual ratio times its own spread in all wells. This does not depend on the units of features, and its cost
    is small: a feature that changes strongly in most wells is damped, to no less than about 4 spreads for
    `mad_robustize`. A spread in the controls below a millionth of that in all wells is rounding: it counts as 0, and
    not towards the usual ratio. A feature whose spread in all wells is zero is dead: it is only centred, hence 0 where
    constant.
    """
    if method not in METHODS:
        raise ValueError(f"normalise: expected one of {list(METHODS)}, found {method!r}")
    if on not in ("negcon", "all"):
        raise ValueError(f"normalise_on: expected negcon or all, found {on!r}")
    names = tuple(features(frame))
    values = _finite(frame, names)
    defined = (frame["Metadata_Verdict"] == "keep").to_numpy(dtype=bool)
    chosen = controls_of(frame) if on == "negcon" else defined
    count = int(chosen.sum())
    blank, zero, one = (np.full(len(names), value) for value in (np.nan, 0.0, 1.0))
    if method == "none":
        return Normaliser(method, names, zero, one, one, zero, count)
    if count < min_controls or not names:
        few = Note("too_few_to_normalise", {"found": count, "needed": min_controls, "on": on})
        reason = few if names else Note("no_embedding")
        return Normaliser(method, names, blank, blank, blank, blank, count, str(reason))
    if method == "rank_normal":
        _, everywhere = center_and_spread(values[defined], "standardize")
        # With a floor of 0 no feature is floored, and a feature without spread in any well is dead.
        spread = np.where(everywhere > 0, 1.0, 0.0)
        return Normaliser(method, names, zero, one, spread, zero, count, "", *distributions(values[chosen]))
    center, spread = center_and_spread(values[chosen], method)
    _, everywhere = center_and_spread(values[defined], method)
    # If more than half of the wells share one value (a rectified feature), their MAD is 0, but not their deviation.
    everywhere = np.where(everywhere > 0, everywhere, center_and_spread(values[defined], "standardize")[1])
    # Controls that differ by rounding alone, on a plate whose wells differ, have no spread either.
    spread = np.where(spread <= ROUNDING * everywhere, 0.0, spread)
    alive = (everywhere > 0) & (spread > 0)
    usual = float(np.median(spread[alive] / everywhere[alive])) if alive.any() else 1.0
    floor = spread_floor * usual * everywhere
    scale = np.maximum(spread, floor)
    if method == "mad_robustize":
        scale = scale + epsilon
    # Without floor and spread, for instance with `spread_floor` 0, a feature is only centred.
    scale = np.where(np.maximum(spread, floor) > 0, scale, np.where(np.isfinite(spread), 1.0, np.nan))
    return Normaliser(method, names, center, scale, spread, floor, count)


def apply_normaliser(frame: pd.DataFrame, normaliser: Normaliser) -> pd.DataFrame:
    """Return `frame` with its features normalised, float32; without a fit every well is excluded, with NaN.

    A value that is not finite becomes NaN, as does every value of a feature without a value in the fitted wells.

    Raises
    ------
    ValueError
        The features are not those of the fit.
    """
    names = tuple(features(frame))
    if names != normaliser.features:
        raise ValueError(f"profile: expected the {len(normaliser.features)} features of the fit, found {len(names)}")
    result = frame[[name for name in frame.columns if name not in set(names)]].copy()
    if normaliser.reason:
        kept = (result["Metadata_Verdict"] == "keep").to_numpy(dtype=bool)
        result.loc[kept, "Metadata_Reason"] = str(Note("plate_excluded", {"notes": normaliser.reason}))
        result.loc[kept, "Metadata_Verdict"] = "exclude"
    values = normaliser.of(_finite(frame, names)).astype(np.float32)
    return pd.concat([result, pd.DataFrame(values, columns=list(names), index=frame.index)], axis=1)


def _finite(frame: pd.DataFrame, names: tuple[str, ...]) -> Array:
    values: Array = frame[list(names)].to_numpy(dtype=np.float64, copy=True)
    values[~np.isfinite(values)] = np.nan
    return values


def center_and_spread(values: Array, method: str) -> tuple[Array, Array]:
    """Return centre and spread of each column of (n, d), (d,) each; NaN for a column without a value, 0 for rounding.

    `standardize`: mean and standard deviation (ddof 0); `robustize`: median and interquartile range; `mad_robustize`:
    median and 1.4826 MAD.
    """
    center, spread = np.full((2, values.shape[1]), np.nan)
    some = np.isfinite(values).any(axis=0)
    values = values[:, some]
    if method == "standardize":
        center[some], spread[some] = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    else:
        center[some] = np.nanmedian(values, axis=0)
    if method == "robustize":
        spread[some] = np.subtract(*np.nanpercentile(values, (75, 25), axis=0))
    if method == "mad_robustize":
        # 1.4826 makes the MAD of a normal distribution its standard deviation.
        spread[some] = 1.4826 * np.nanmedian(np.abs(values - center[some]), axis=0)
    return center, np.where(spread <= ROUNDING * np.abs(center), 0.0, spread)
