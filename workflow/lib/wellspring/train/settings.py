"""What an entry of `encoders` means: the entry with its nulls flows in, settings without nulls flow out.

A null in an entry stands for the value that its kind was published or measured with.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from wellspring.train.augment import Recipe, recipe

KINDS = {
    # DINO's schedule (Caron et al. 2021): lr 5e-4 x batch / 256, decay .04 to .4, EMA .996 to 1, a tenth of warm-up.
    "sslprofiler": {"lr": 5e-4, "weight_decay": (0.04, 0.4), "warmup": 0.1},
    # Measured on a synthetic screen with small ViTs; the published ResNet setting is an entry of its own.
    "simclr": {"lr": 1e-3, "weight_decay": (0.05, 0.05), "warmup": 0.06},
}
AUGMENTATION = {("sslprofiler", "tile"): "sslprofiler", ("sslprofiler", "cell"): "cells", ("simclr", "cell"): "cells"}


@dataclass(frozen=True)
class Settings:
    """How one encoder is trained; `lr` is the peak, already scaled by the batch where the kind does so."""

    kind: str
    view: dict
    backbone: str
    backbone_options: dict
    weights: str | None
    steps: int
    batch: int
    optimiser: str
    lr: float
    weight_decay: tuple[float, float]
    warmup: int
    clip: float
    temperature: float
    augmentation: Recipe
    aggregation: dict
    one_plate: bool
    projector: dict
    distillation: dict
    seed: int

    @property
    def pairs(self) -> bool:
        """Whether a batch is made of pairs of sites of a well."""
        return self.aggregation["kind"] == "pair"

    @property
    def input_size(self) -> int:
        """Edge in pixels of what the network takes in: of a cell the view, of a tile the global crop."""
        return self.view["size"] if self.kind == "simclr" else self.distillation["global_size"]


def resolve(entry: Mapping[str, object], *, seed: int) -> Settings:
    """Turn an entry of `encoders` (defaults filled in) into settings.

    Parameters
    ----------
    entry
        As in the schema `encoders`.
    seed
        The run's, for an entry without one of its own.

    Raises
    ------
    ValueError
        Names a key that is not as expected.
    """
    kind = entry["kind"]
    if kind not in KINDS:
        raise ValueError(f"encoders.kind: expected one of {sorted(KINDS)}, found {kind!r}")
    if entry["view"]["window"] is not None and (kind, entry["view"]["kind"]) != ("simclr", "cell"):
        raise ValueError(
            f"encoders.view.window: expected null but for simclr on cells, found {entry['view']['window']}"
        )
    preset = {key: entry[key] if entry[key] is not None else value for key, value in KINDS[kind].items()}
    decay = preset["weight_decay"]
    augmentation = entry["augmentation"]
    name = augmentation["preset"] or AUGMENTATION.get((kind, entry["view"]["kind"]), "sslprofiler")
    steps, batch = int(entry["steps"]), int(entry["batch"])
    return Settings(
        kind=kind,
        view=dict(entry["view"]),
        backbone=entry["backbone"],
        backbone_options=dict(entry["backbone_options"]),
        weights=entry["weights"],
        steps=steps,
        batch=batch,
        optimiser=entry["optimiser"],
        lr=float(preset["lr"]) * (batch / 256 if kind == "sslprofiler" else 1.0),
        weight_decay=(float(decay[0]), float(decay[1])) if isinstance(decay, list | tuple) else (float(decay),) * 2,
        warmup=round(float(preset["warmup"]) * steps),
        clip=float(entry["clip"]),
        temperature=float(entry["temperature"]),
        augmentation=recipe(name, augmentation["overrides"]),
        aggregation=dict(entry["local_aggregation"]),
        one_plate=bool(entry["one_plate"]),
        projector=dict(entry["projector"]),
        distillation=dict(entry["distillation"]),
        seed=seed if entry["seed"] is None else int(entry["seed"]),
    )
