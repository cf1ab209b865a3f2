"""What an entry of `encoders` means: the entry with its nulls flows in, settings without nulls flow out.

A null in an entry stands for the value that its kind was published or measured with.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from wellspring.train.augment import Recipe, recipe, scaled

# DINO's schedule (Caron et al. 2021): lr 5e-4 x batch / 256, decay .04 to .4, EMA .996 to 1, a tenth of warm-up.
DINO = {"steps": 20_000, "lr": 5e-4, "weight_decay": (0.04, 0.4), "warmup": 0.1}
FROZEN = {
    "steps": 0,
    "lr": 1e-3,
    "weight_decay": (0.05, 0.05),
    "warmup": 0.0,
    "distillation.ibot.weight": 0.0,
    "distillation.koleo": 0.0,
    "local_aggregation.kind": "none",
}
# What an entry's null is by kind, of a module by objective; a dot stands between a section and its key.
KINDS: dict[str, dict[str, object]] = {
    # Masked patches and KoLeo weighted as in DINOv2 (Oquab et al. 2023), and the local aggregation of the paper.
    "sslprofiler": DINO
    | {"distillation.ibot.weight": 1.0, "distillation.koleo": 0.1, "local_aggregation.kind": "pair"},
    # The same code without the three.
    "dino": DINO | {"distillation.ibot.weight": 0.0, "distillation.koleo": 0.0, "local_aggregation.kind": "none"},
    # Measured on a synthetic screen with small ViTs; the published ResNet setting is an entry of its own.
    "simclr": {
        "steps": 20_000,
        "lr": 1e-3,
        "weight_decay": (0.05, 0.05),
        "warmup": 0.06,
        "distillation.ibot.weight": 0.0,
        "distillation.koleo": 0.0,
        "local_aggregation.kind": "pair",
    },
    # Frozen: nothing but the network and its view is used.
    "timm": FROZEN,
    "frozen": FROZEN,
}
DISTILLED = ("sslprofiler", "dino")
AGGREGATIONS = {
    "sslprofiler": ("none", "pair", "aggregate"),
    "dino": ("none", "pair", "aggregate"),
    "simclr": ("none", "pair"),
    "timm": ("none",),
    "frozen": ("none",),
}


@dataclass(frozen=True)
class Settings:
    """How one encoder is trained; `lr` is the peak, already scaled by the batch where the kind does so.

    `kind` is the objective: of an entry of kind module, its `objective`. `factory` is None for a timm backbone.
    """

    kind: str
    view: dict
    backbone: str
    backbone_options: dict
    weights: str | None
    weights_sha256: str | None
    stem: str
    factory: str | None
    arguments: dict
    steps: int
    batch: int
    optimiser: str
    lr: float
    weight_decay: tuple[float, float]
    warmup: int
    clip: float
    temperature: float
    augmentation: Recipe
    ramp: int
    aggregation: dict
    one_plate: bool
    projector: dict
    distillation: dict
    seed: int

    @property
    def distilled(self) -> bool:
        """Whether a student follows a teacher."""
        return self.kind in DISTILLED

    @property
    def sites(self) -> int:
        """Images of a group of one well in a batch; 1 where a batch is not made of groups."""
        return 1 if self.aggregation["kind"] == "none" else self.aggregation["sites_per_well"]

    def strengths(self, step: int) -> Recipe:
        """What of the augmentation a step has: its share rises over the steps of the ramp."""
        return scaled(self.augmentation, (step + 1) / self.ramp) if step < self.ramp else self.augmentation

    @property
    def input_size(self) -> int:
        """Edge in pixels of what the network takes in: the global crop where crops are drawn, else the view."""
        return self.distillation["global_size"] if self.distilled else self.view["size"]


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
    if kind == "module":
        kind = entry["objective"] or "frozen"
    elif kind not in KINDS:
        raise ValueError(f"encoders.kind: expected one of {[*sorted(KINDS), 'module']} for a network, found {kind!r}")
    entry = _filled(entry, KINDS[kind])
    augmentation, decay = entry["augmentation"], entry["weight_decay"]
    default = "cells" if entry["view"]["kind"] == "cell" else "sslprofiler"
    steps, batch = int(entry["steps"]), int(entry["batch"])
    settings = Settings(
        kind=kind,
        view=dict(entry["view"]),
        backbone=entry["backbone"],
        backbone_options=dict(entry["backbone_options"]),
        weights=entry["weights"] and entry["weights"]["path"],
        weights_sha256=entry["weights"] and entry["weights"]["sha256"],
        stem=entry["stem"],
        factory=entry["factory"],
        arguments=dict(entry["arguments"]),
        steps=steps,
        batch=batch,
        optimiser=entry["optimiser"],
        lr=float(entry["lr"]) * (batch / 256 if kind in DISTILLED else 1.0),
        weight_decay=(float(decay[0]), float(decay[1])) if isinstance(decay, list | tuple) else (float(decay),) * 2,
        warmup=round(float(entry["warmup"]) * steps),
        clip=float(entry["clip"]),
        temperature=float(entry["temperature"]),
        augmentation=recipe(augmentation["preset"] or default, augmentation["overrides"]),
        ramp=round(float(augmentation["ramp"]) * steps),
        aggregation=dict(entry["local_aggregation"]),
        one_plate=bool(entry["one_plate"]),
        projector=dict(entry["projector"]),
        distillation=dict(entry["distillation"]),
        seed=seed if entry["seed"] is None else int(entry["seed"]),
    )
    _check(settings)
    return settings


def _filled(entry: Mapping[str, object], values: Mapping[str, object]) -> dict:
    """Put `values` in the place of the entry's nulls."""
    filled = copy.deepcopy(dict(entry))
    for path, value in values.items():
        *sections, key = path.split(".")
        place = filled
        for section in sections:
            place = place[section]
        if place[key] is None:
            place[key] = value
    return filled


def _check(settings: Settings) -> None:
    """Refuse by name what does not go together."""
    kind, view, aggregation = settings.kind, settings.view, settings.aggregation
    if kind in ("timm", "frozen") and settings.steps:
        raise ValueError(f"encoders.steps: expected 0 for {kind}, which is not trained, found {settings.steps}")
    if kind == "timm" and settings.weights is None:
        raise ValueError(
            "encoders.weights: expected a local file for timm, which is frozen, found none; an untrained network is an "
            "entry of another kind with `steps: 0`"
        )
    if settings.stem != "widened" and kind != "timm":
        raise ValueError(f"encoders.stem: expected widened but for timm, found {settings.stem}")
    if view["window"] is not None and view["kind"] != "cell":
        raise ValueError(f"encoders.view.window: expected null but for cells, found {view['window']}")
    if view["window"] is not None and kind == "simclr" and settings.augmentation.crop != "centred":
        # Of a crop anywhere in a view it would fade the wrong part; sslprofiler fades the view before it is cropped.
        raise ValueError("encoders.view.window: expected null with crops that leave the cell's middle, found a number")
    if aggregation["kind"] not in AGGREGATIONS[kind]:
        raise ValueError(
            f"encoders.local_aggregation.kind: expected one of {AGGREGATIONS[kind]} for {kind}, "
            f"found {aggregation['kind']!r}"
        )
    if aggregation["kind"] == "aggregate" and settings.distillation["local_count"] == 0:
        raise ValueError("encoders.distillation.local_count: expected 1 or more to aggregate, found 0")
