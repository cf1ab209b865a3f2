"""Encoders of the report: training curves, encoder cards, and counts of kept features."""

import numpy as np
import pandas as pd

from wellspring.report import charts
from wellspring.report.gather import Record, Screen, pick
from wellspring.report.svg import number
from wellspring.report.wording import kinds

NAMES = {
    "loss": "loss",
    "feature_std": "features' standard deviation",
    "rank": "effective rank",
    "teacher_entropy": "teacher entropy",
    "entropy": "teacher entropy",
    "retrieval": "share of wells that retrieve their replicate",
    "lr": "learning rate",
}
LINES = {  # names of single lines where a panel has several
    "distillation": "distillation",
    "ibot": "iBOT",
    "koleo": "KoLeo",
    "local_aggregation": "local aggregation",
    "nt_xent": "NT-Xent",
    "retrieval": "encoder",
    "retrieval_chance": "chance",
}
TERMS = ("distillation", "ibot", "koleo", "local_aggregation", "nt_xent", "adversary")  # drawn with the loss
FIRST = ("loss", "feature_std", "rank")
BESIDE = {"retrieval": ("retrieval_chance",)}  # drawn in the same panel
BASELINES = {name for names in BESIDE.values() for name in names}


def panels(screen: Screen) -> list[Record]:
    """Return one dict per encoder with a history: its name and drawings (all losses, then one per logged number)."""
    found = []
    for encoder in screen.encoders:
        history = screen.history.get(encoder)
        if history is None or history.empty:
            continue
        numbers = {
            name: pd.to_numeric(history[name], errors="coerce")
            for name in history
            if name != "Metadata_Step" and pd.api.types.is_numeric_dtype(history[name]) and history[name].notna().any()
        }
        steps = pick(history, "Metadata_Step", 0).astype(float)
        losses = [name for name in numbers if "loss" in name or name in TERMS]
        losses.sort(key=lambda name: (name != "loss", name))
        groups = [("loss", losses)] if losses else []
        rest = [name for name in (*FIRST, *numbers) if name in numbers and name not in losses]
        groups += [(name, [name, *BESIDE.get(name, ())]) for name in dict.fromkeys(rest) if name not in BASELINES]
        drawings = [
            charts.curves(
                steps[known].tolist(),
                {LINES.get(name, label(name)): numbers[name][known].tolist() for name in names},
                title=f"{title} of {encoder}",
                y_label=label(title),
            )
            for title, names in groups
            # Not every number is measured as often as the others.
            for known in [np.any([numbers[name].notna() for name in names], axis=0)]
        ]
        found.append(
            {
                "encoder": encoder,
                "svgs": drawings,
                "last": {name: number(values.iloc[-1]) for name, values in numbers.items()},
            }
        )
    return found


def label(name: str) -> str:
    """Return the name of a logged number."""
    return NAMES.get(name, name.replace("_", " "))


def cards(screen: Screen) -> list[Record]:
    """Return one dict per encoder with a card: its plain values, one level deep, names joined by a dot."""
    found = []
    for encoder in screen.encoders:
        card = screen.cards.get(encoder)
        if card:
            found.append({"encoder": encoder, "values": [(key, _plain(value)) for key, value in _flat(card)]})
    return found


def _flat(card: Record, prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, value in card.items():
        rows += (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, dict) and value and not prefix
            else [(f"{prefix}{key}", value)]
        )
    return rows


def _plain(value: object) -> str:
    text = (
        number(value)
        if isinstance(value, float)
        else ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value)
    )
    return text if len(text) <= 160 else f"{text[:159]}…"


def features(screen: Screen) -> list[Record]:
    """Return one dict per encoder: numbers of kept features, and of dropped ones by reason."""
    found = []
    for encoder in screen.encoders:
        frame = screen.features.get(encoder)
        if frame is not None and len(frame):
            kept = frame["Metadata_Kept"].astype(bool)
            reasons = (
                frame.loc[~kept, "Metadata_Reason"]
                .fillna("")
                .astype(str)
                .map(lambda text: kinds(text) or "no reason given")
            )
            reasons = reasons.value_counts(sort=False).sort_index()
            found.append(
                {"encoder": encoder, "kept": int(kept.sum()), "total": len(frame), "reasons": list(reasons.items())}
            )
    return found
