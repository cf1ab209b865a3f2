"""The settings of one encoder's training, from its entry in the config section `encoders`.

An entry has nulls, each of which means the value that the kind was published or measured with. Only `resolve` turns an
entry into settings, and it replaces these nulls.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from wellspring.encoders import cards
from wellspring.screen.encoder_kinds import mapped
from wellspring.screen.sections import (
    Adversary,
    Distillation,
    Encoder,
    EncoderWeights,
    LocalAggregation,
    Projector,
    View,
)
from wellspring.train.augment import Recipe, recipe, scaled

Value = TypeVar("Value")


@dataclass(frozen=True)
class Nulls:
    """The values that replace the nulls of an entry, and the kinds of local aggregation that the entry may have."""

    steps: int
    lr: float
    weight_decay: tuple[float, float]
    warmup: float
    ibot: float
    koleo: float
    aggregation: Literal["none", "pair", "aggregate"]
    aggregations: tuple[str, ...]


# DINO's schedule (Caron et al. 2021): lr 5e-4 x batch / 256, weight decay 0.04 to 0.4, warm-up over a tenth.
DINO = Nulls(
    steps=20_000,
    lr=5e-4,
    weight_decay=(0.04, 0.4),
    warmup=0.1,
    ibot=0.0,
    koleo=0.0,
    aggregation="none",
    aggregations=("none", "pair", "aggregate"),
)
FROZEN = Nulls(
    steps=0,
    lr=1e-3,
    weight_decay=(0.05, 0.05),
    warmup=0.0,
    ibot=0.0,
    koleo=0.0,
    aggregation="none",
    aggregations=("none",),
)
# By kind; of an entry of kind module, by its objective.
KINDS = {
    # Masked patches and KoLeo weighted as in DINOv2 (Oquab et al. 2023), and the local aggregation of the paper.
    "sslprofiler": replace(DINO, ibot=1.0, koleo=0.1, aggregation="pair"),
    "dino": DINO,
    # Measured on a synthetic screen with small ViTs; the published ResNet setting is a separate entry.
    "simclr": Nulls(
        steps=20_000,
        lr=1e-3,
        weight_decay=(0.05, 0.05),
        warmup=0.06,
        ibot=0.0,
        koleo=0.0,
        aggregation="pair",
        aggregations=("none", "pair"),
    ),
    # A frozen encoder uses only the network and its view.
    "timm": FROZEN,
    "frozen": FROZEN,
    "intensity": FROZEN,
}
DISTILLED = ("sslprofiler", "dino")


@dataclass(frozen=True)
class Settings:
    """How one encoder is trained."""

    kind: str
    """The objective: the entry's kind, or the `objective` of an entry of kind module."""
    view: View
    backbone: str
    backbone_options: Mapping[str, object]
    weights: EncoderWeights | None
    stem: str
    inputs: tuple[tuple[str, tuple[str, ...]], ...]
    """Name and channels of each input of a model of fixed inputs; empty where the channels are the inputs."""
    channels: tuple[str, ...]
    """Names that the entry states, in the order of the pixels; empty for those of the screen."""
    factory: str | None
    """Function that builds the network; None for a timm backbone."""
    arguments: Mapping[str, object]
    steps: int
    batch: int
    optimiser: str
    lr: float
    """Peak learning rate, already scaled by the batch where the kind does so."""
    weight_decay: tuple[float, float]
    """At the first and at the last step."""
    warmup: int
    """Steps."""
    clip: float
    temperature: float
    augmentation: Recipe
    ramp: int
    """Steps over which the augmentation rises to its full strength."""
    aggregation: LocalAggregation
    one_plate: bool
    adversary: Adversary
    projector: Projector
    distillation: Distillation
    ibot: float
    """Weight of the loss on masked patches."""
    koleo: float
    """Weight of the loss KoLeo."""
    seed: int

    @property
    def distilled(self) -> bool:
        """Whether a student follows a teacher."""
        return self.kind in DISTILLED

    @property
    def sites(self) -> int:
        """Images per group of one well in a batch; 1 where a batch has no groups."""
        return 1 if self.aggregation.kind == "none" else self.aggregation.sites_per_well

    def strengths(self, step: int) -> Recipe:
        """Return the augmentation of a step: its share rises linearly over the steps of the ramp."""
        return scaled(self.augmentation, (step + 1) / self.ramp) if step < self.ramp else self.augmentation

    @property
    def magnification(self) -> tuple[float, float]:
        """Smallest and largest magnification of the crops that training shows, in network pixels per pixel.

        Of sslprofiler and dino, that of the global crops.
        """
        if self.augmentation.crop != "resized":
            return 1.0, 1.0
        low, high = self.distillation.global_scale if self.distilled else self.augmentation.scale
        least = self.input_size / self.view.size
        return least / math.sqrt(high), least / math.sqrt(low)

    @property
    def embedded(self) -> int:
        """Edge in pixels of the square that is embedded; see `view.embedded` of the config."""
        if self.view.embedded is not None:
            return self.view.embedded
        if self.view.kind == "cell" or self.kind in cards.FROZEN:
            return self.view.size
        return round(self.input_size / math.sqrt(math.prod(self.magnification)))

    @property
    def input_size(self) -> int:
        """Edge of the network's input in pixels: the edge of the global crop if crops are drawn, else of the view."""
        return self.distillation.global_size if self.distilled else self.view.size


def resolve(entry: Encoder, *, seed: int) -> Settings:
    """Return the settings of an entry of `encoders`.

    Parameters
    ----------
    entry
        The entry with its defaults filled in.
    seed
        Seed of the run, used if the entry has no seed.

    Raises
    ------
    ValueError
        The entry has values that exclude each other; names the key.
    """
    kind: str = entry.kind
    if kind == "module":
        kind = entry.objective or "frozen"
    elif kind not in KINDS:
        raise ValueError(f"encoders.kind: expected one of {[*sorted(KINDS), 'module']} for a network, found {kind!r}")
    nulls = KINDS[kind]
    steps, batch = _given(entry.steps, nulls.steps), entry.batch
    decay = nulls.weight_decay if entry.weight_decay is None else entry.weight_decay
    default = "cells" if entry.view.kind == "cell" else "sslprofiler"
    aggregation = replace(entry.local_aggregation, kind=_given(entry.local_aggregation.kind, nulls.aggregation))
    settings = Settings(
        kind=kind,
        view=entry.view,
        backbone=entry.backbone,
        backbone_options=dict(entry.backbone_options),
        weights=entry.weights,
        stem=entry.stem,
        inputs=tuple((name, tuple(mine)) for name, mine in mapped(entry.inputs, entry.channel_map)),
        channels=tuple(entry.channels),
        factory=entry.factory,
        arguments=dict(entry.arguments),
        steps=steps,
        batch=batch,
        optimiser=entry.optimiser,
        lr=float(_given(entry.lr, nulls.lr)) * (batch / 256 if kind in DISTILLED else 1.0),
        weight_decay=(float(decay[0]), float(decay[1])) if isinstance(decay, tuple) else (float(decay), float(decay)),
        warmup=round(float(_given(entry.warmup, nulls.warmup)) * steps),
        clip=float(entry.clip),
        temperature=float(entry.temperature),
        augmentation=recipe(entry.augmentation.preset or default, entry.augmentation.overrides),
        ramp=round(float(entry.augmentation.ramp) * steps),
        aggregation=aggregation,
        one_plate=entry.one_plate,
        adversary=entry.adversary,
        projector=entry.projector,
        distillation=entry.distillation,
        ibot=float(_given(entry.distillation.ibot.weight, nulls.ibot if entry.stem == "widened" else 0.0)),
        koleo=float(_given(entry.distillation.koleo, nulls.koleo)),
        seed=_given(entry.seed, seed),
    )
    _check(settings)
    return settings


def _given(value: Value | None, null: Value) -> Value:
    """Return the entry's value, or the default of its kind if it is null."""
    return null if value is None else value


def _check(settings: Settings) -> None:
    """Refuse settings that exclude each other; the error names the key."""
    kind, view, aggregation = settings.kind, settings.view, settings.aggregation
    if kind in cards.FROZEN and settings.steps:
        raise ValueError(f"encoders.steps: expected 0 for {kind}, which is not trained, found {settings.steps}")
    if kind == "timm" and settings.weights is None:
        raise ValueError(
            "encoders.weights: expected a local file for timm, which is frozen, found none; an untrained network is an "
            "entry of another kind with `steps: 0`"
        )
    if settings.stem != "widened" and settings.ibot:
        raise ValueError(
            f"encoders.distillation.ibot.weight: expected 0 for the stem {settings.stem}, which has no patches of all "
            f"channels, found {settings.ibot}"
        )
    if view.pixels == "range" and kind not in cards.FROZEN:
        raise ValueError(f"encoders.view.pixels: expected plate or view for {kind}, which is trained, found range")
    if settings.stem == "adaptive" and kind in cards.FROZEN:
        raise ValueError(f"encoders.stem: expected widened or channelwise for {kind}, which is frozen, found adaptive")
    if view.window is not None and view.kind != "cell":
        raise ValueError(
            f"encoders.view.window: expected null for views of kind {view.kind} (cell takes one), found {view.window}"
        )
    if view.window is not None and kind == "simclr" and settings.augmentation.crop != "centred":
        # A crop from anywhere in a view would be faded in the wrong part; sslprofiler fades the view before cropping.
        raise ValueError(
            f"encoders.view.window: expected null with {settings.augmentation.crop} crops, which leave the middle of "
            f"the cell, found {view.window}; set augmentation.overrides.crop to centred, or the window to null"
        )
    shown = settings.input_size / settings.embedded
    low, high = settings.magnification
    if view.embedded is None and kind not in cards.FROZEN and not low / cards.SCALES <= shown <= high * cards.SCALES:
        raise ValueError(
            f"encoders.view.embedded: expected an edge at which cells look as in training, magnified {low:.2f} to "
            f"{high:.2f} times; found {settings.embedded} px (view.size), magnified {shown:.2f} times. Set it to "
            f"{round(settings.input_size / math.sqrt(low * high))}, or to {settings.embedded} for this scale"
        )
    if aggregation.kind not in KINDS[kind].aggregations:
        raise ValueError(
            f"encoders.local_aggregation.kind: expected one of {KINDS[kind].aggregations} for {kind}, "
            f"found {aggregation.kind!r}"
        )
    labelled = aggregation.positives != "site"
    if labelled and (aggregation.kind == "none" or aggregation.heldout is None):
        raise ValueError(
            f"encoders.local_aggregation: expected a kind other than none and heldout: compound with positives "
            f"{aggregation.positives}, found kind {aggregation.kind} and heldout {aggregation.heldout}: treatments "
            "whose labels training read cannot be judged"
        )
    if aggregation.positives == "treatment" and settings.one_plate:
        raise ValueError(
            "encoders.one_plate: expected false with positives treatment, which are on any plate, found true"
        )
    if aggregation.heldout_fold >= aggregation.heldout_folds:
        raise ValueError(
            f"encoders.local_aggregation.heldout_fold: expected a fold below {aggregation.heldout_folds}, found "
            f"{aggregation.heldout_fold}"
        )
    if aggregation.kind == "aggregate" and settings.distillation.local_count == 0:
        raise ValueError("encoders.distillation.local_count: expected 1 or more to aggregate, found 0")
