"""Figures that show a collapse during training, from features or distributions."""

import math

import torch
from torch import Tensor

FALLEN = 0.2  # share of the value at the start below which spread or rank has collapsed; runs that learn raise both
FLAT = 0.99  # share of log(prototypes) from where a distribution is flat; 1 - this below which it is a single one


def feature_std(features: Tensor) -> float:
    """Mean over dimensions of the standard deviation of L2-normalised features, times the root of their number.

    1 for features spread evenly over the sphere, 0 when all are one point.

    Parameters
    ----------
    features
        (B, D) float.
    """
    unit = torch.nn.functional.normalize(features.float(), dim=1)
    return float(unit.std(dim=0, correction=0).mean() * features.shape[1] ** 0.5)


def effective_rank(features: Tensor) -> float:
    """RankMe: exponential of the entropy of the singular values (Garrido et al. 2023, arXiv 2210.02885).

    Parameters
    ----------
    features
        (B, D) float; they are centred first, since a common offset is not a dimension of variation.

    Returns
    -------
    float
        Between 1 and min(B, D); 0 when all features are equal.
    """
    centred = features.double() - features.double().mean(dim=0)
    values = torch.linalg.svdvals(centred)
    total = values.sum()
    if total <= 1e-12:
        return 0.0
    share = values / total
    return float(torch.exp(-(share * torch.log(share + 1e-12)).sum()))


def entropy(probabilities: Tensor) -> float:
    """Mean entropy of distributions (..., K), in nats: log K when flat, 0 when each is one prototype."""
    return float(-(probabilities * torch.log(probabilities + 1e-12)).sum(dim=-1).mean())


def collapse(rows: list[dict[str, float]], *, settled: int, prototypes: int) -> list[str]:
    """Return the signs of collapse in the last row of a history that the row before did not show.

    Parameters
    ----------
    rows
        Rows of the table `history`, from step 0.
    settled
        Steps before which no sign is reported: while the learning rate rises, the teacher's distributions are flat and
        features hardly change.
    prototypes
        Number of prototypes of the teacher's distributions.
    """
    if rows[-1]["Metadata_Step"] <= settled:
        return []
    known = _collapsed(rows[-2], rows[0], prototypes) if rows[-2]["Metadata_Step"] > settled else {}
    return [text for name, text in _collapsed(rows[-1], rows[0], prototypes).items() if name not in known]


def _collapsed(row: dict[str, float], start: dict[str, float], prototypes: int) -> dict[str, str]:
    found = {}
    for name, least in (("feature_std", 0.0), ("rank", 1.0)):
        if row[name] - least < FALLEN * (start[name] - least):
            found[name] = (
                f"{name} {row[name]:.3g} is below {FALLEN:.0%} of its value at step {start['Metadata_Step']}, "
                f"{start[name]:.3g}: features collapse; lower lr, or see `projector` and `distillation` of the encoder"
            )
    entropy, flat = row.get("teacher_entropy"), math.log(prototypes)
    if entropy is not None and not FLAT * flat > entropy > (1 - FLAT) * flat:
        same = entropy >= FLAT * flat
        found["teacher_entropy"] = (
            f"teacher_entropy {entropy:.3g} of {flat:.3g} at most: "
            f"{'distributions are flat' if same else 'each image is one prototype'}; "
            f"a {'lower' if same else 'higher'} distillation.teacher_temperature or targets: sinkhorn may help"
        )
    return found
