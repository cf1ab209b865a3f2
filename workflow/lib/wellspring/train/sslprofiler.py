"""SSLProfiler and DINO: the self-distillation loss of crops of views.

A reconstruction of Dai et al. 2025 (arXiv 2506.14265), of which abstract and introduction are public, from its closest
methods. A student matches its teacher, a moving average, across crops of a view (DINO, Caron et al. 2021) and on
patches that are masked for the student (iBOT, Zhou et al. 2022). KoLeo (DINOv2) spreads its features. A local
aggregation branch matches it with the teacher's views of the other sites of the well. DINO is the first term alone.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

from wellspring.encoders.adaptive import Adaptive
from wellspring.encoders.encoder import precise
from wellspring.screen.sections import Distillation
from wellspring.train import distributed, losses, masks, schedules
from wellspring.train.adversary import Adversary
from wellspring.train.augment import fade, view
from wellspring.train.data import Batch
from wellspring.train.networks import MaskToken, Pool, PrototypeHead, demand_tokens, encode, follow, grid, width
from wellspring.train.objective import Objective
from wellspring.train.settings import Settings

SECOND_VIEW_NOISE = 0.2  # how often the second global crop is noisy, relative to the first: 0.1 and 0.5 in DINO
MASKS = 5  # stream of random numbers, besides those of the views


class SSLProfiler(Objective):
    """Student and teacher, and the loss of a step.

    Parameters
    ----------
    backbone
        Maps (B, C, n, n) to (B, features) for the sizes of global and local crops.
    settings
        Settings of the encoder.
    channels
        Number of input channels.
    precision
        `float32` or `bfloat16` for the networks; the loss is float32.
    nuisances
        Number of values of each nuisance that the adversary predicts; without any there is no adversary.

    Raises
    ------
    ValueError
        The loss on masked patches has a weight, and the backbone has no patch tokens, or tokens of another width than
        its features with a shared head.
    """

    def __init__(
        self,
        backbone: nn.Module,
        settings: Settings,
        *,
        channels: int,
        precision: str,
        nuisances: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.settings, self.precision = settings, precision
        options, aggregation = settings.distillation, settings.aggregation
        self.weights = {
            "distillation": 1.0,
            "ibot": settings.ibot,
            "koleo": settings.koleo,
            "local_aggregation": aggregation.weight,
        }
        features = width(backbone, channels=channels, size=options.global_size)
        self.student = nn.ModuleDict({"backbone": backbone, "head": _head(features, options)})
        masked = settings.ibot > 0
        if masked:
            wide = demand_tokens(backbone, channels=channels, size=options.global_size)
            rows, columns = grid(backbone, (options.global_size, options.global_size))
            if rows * columns < 2:
                raise ValueError(
                    "distillation.global_size: expected crops of two patches or more to mask some, found "
                    f"{rows} x {columns} of {type(backbone).__name__} in {options.global_size} px; take larger crops, "
                    "a smaller step (backbone_options: {output_stride: 8}), or ibot: {weight: 0}"
                )
            if options.ibot.head == "own":
                self.student["patch_head"] = _head(wide, options)
            elif wide != features:
                raise ValueError(
                    f"distillation.ibot.head: expected own for {type(backbone).__name__}, whose patches have {wide} "
                    f"features and whole crops {features}, found shared"
                )
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        for module in self.teacher.modules():
            if isinstance(module, DropPath):
                module.drop_prob = 0.0
            if isinstance(module, Adaptive):
                module.sampled = False
        # Only the student has these: the teacher gets every patch, and one site at a time.
        self.mask = MaskToken(backbone, channels=channels) if masked else None
        weight = settings.adversary.weight
        self.adversary = Adversary(features, classes=nuisances, weight=weight) if nuisances else None
        self.pool = Pool(features, kind=aggregation.pool) if aggregation.kind == "aggregate" else None
        for name in ("centre", "patch_centre"):
            self.register_buffer(name, torch.zeros(options.prototypes))
        self._sums: dict[str, list[Tensor]] = {}
        warmup = round(options.teacher_warmup * settings.steps)
        low, high = options.teacher_temperature
        self.temperatures = schedules.ramp(low, high, steps=settings.steps, warmup=warmup)
        self.momenta = schedules.cosine(options.momentum, 1.0, steps=settings.steps)
        self.frozen = round(options.freeze_last * settings.steps)

    @property
    def encoder(self) -> nn.Module:
        """The network that embeds after training: the teacher's backbone, the better of the two in DINO."""
        return self.teacher["backbone"]

    def forward(
        self, batch: Batch, step: int, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the terms of the loss, and `features` and `teacher` of the teacher; see `Objective.forward`."""
        options, count = self.settings.distillation, len(batch.images)
        views, temperature = options.global_count, float(self.temperatures[step])
        wide, narrow = self._views(batch, step, generator)
        hidden = self._hidden(wide, generator)
        student, backbone = self.student, self.student["backbone"]
        with precise(batch.images.device, self.precision):
            with torch.no_grad():
                # In training mode like the student, so that batch normalisation uses a batch's own statistics in both.
                known, targets, patch_targets = self._taught(wide, hidden, temperature)
            if hidden is None or self.mask is None:
                seen, patches = backbone(wide), None
            else:
                seen, patches = self.mask.encode(backbone, wide, hidden.mask)
            near = [] if narrow is None else [backbone(narrow)]
            logits = student["head"](torch.cat([seen, *near]))
            patch_logits = None if hidden is None or patches is None else _patch_logits(student, patches, hidden)
            pooled = None if self.pool is None else student["head"](self.pool(_by_well(near[0], count, batch.sites)))
        targets = targets.unflatten(0, (views, count))
        log_student = self._log(logits).unflatten(0, (-1, count))  # views x B x K
        terms = {"distillation": losses.distillation(targets, log_student)}
        if hidden is not None and patch_logits is not None and patch_targets is not None:
            terms["ibot"] = losses.masked_patches(patch_targets, self._log(patch_logits), weight=hidden.weight)
        if self.weights["koleo"] > 0:
            well = distributed.gather(batch.well) if options.koleo_neighbours == "other_wells" else None
            apart = (losses.koleo(distributed.gather(part), well=well) for part in seen.chunk(views))
            terms["koleo"] = sum(apart, start=wide.new_zeros(()))
        if pooled is not None:
            terms["local_aggregation"] = losses.pooled_aggregation(targets, self._log(pooled), sites=batch.sites)
        elif batch.sites > 1:
            terms["local_aggregation"] = losses.pair_aggregation(targets, log_student, sites=batch.sites)
        total = sum((self.weights[name] * value for name, value in terms.items()), start=wide.new_zeros(()))
        terms = self.opposed(terms | {"loss": total}, seen, batch, self.adversary)
        return terms, {"features": known.chunk(views)[0], "teacher": targets}

    def before_update(self, step: int) -> None:
        """Keep the prototypes fixed over the first steps, while the backbone is still untrained."""
        if step < self.frozen:
            for name in ("head", "patch_head"):
                if name in self.student:
                    cast("PrototypeHead", self.student[name]).prototypes.grad = None

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        """Move the teacher towards the student, and the centres towards the teacher's logits since the last update."""
        follow(self.teacher, self.student, momentum=float(self.momenta[step]))
        for name, sums in self._sums.items():
            joint = distributed.total(torch.stack(sums).sum(dim=0))
            getattr(self, name).lerp_(joint[:-1] / joint[-1], 1 - self.settings.distillation.centre_momentum)
        self._sums = {}

    def _taught(
        self, wide: Tensor, hidden: masks.Hidden | None, temperature: float
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the teacher's features, and its distributions for whole views and for masked patches, if any."""
        teacher = self.teacher
        if hidden is None:
            known = teacher["backbone"](wide)
            return known, self._targets(teacher["head"](known), "centre", temperature), None
        known, patches = encode(teacher["backbone"], wide)
        targets = self._targets(teacher["head"](known), "centre", temperature)
        return known, targets, self._targets(_patch_logits(teacher, patches, hidden), "patch_centre", temperature)

    def _targets(self, logits: Tensor, centre: str, temperature: float) -> Tensor:
        """Return distributions (N, K) float32 of the teacher's logits; their sum is kept for the named centre."""
        logits = logits.float()
        self._sums.setdefault(centre, []).append(torch.cat([logits.sum(dim=0), logits.new_full((1,), len(logits))]))
        if self.settings.distillation.targets == "sinkhorn":
            return losses.sinkhorn(logits, temperature=temperature)
        return losses.centred(logits, getattr(self, centre), temperature=temperature)

    def _log(self, logits: Tensor) -> Tensor:
        """Return the log-distributions of the student's logits."""
        return torch.log_softmax(logits.float() / self.settings.temperature, dim=-1)

    def _hidden(self, wide: Tensor, generator: torch.Generator) -> masks.Hidden | None:
        """Draw the patches of the global crops that are masked for the student; None without masks."""
        if self.mask is None:
            return None
        options = self.settings.distillation.ibot
        rng = np.random.default_rng([generator.initial_seed(), MASKS])
        places = grid(self.student["backbone"], (wide.shape[-2], wide.shape[-1]))
        drawn = masks.draw(len(wide), places, probability=options.probability, ratio=options.ratio, rng=rng)
        return masks.hide(drawn, wide.device)

    def _views(self, batch: Batch, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Return global crops and local crops, each (views x B, C, n, n), view by view; None without local crops."""
        options, often = self.settings.distillation, self.settings.strengths(step)
        often = replace(often, crop="resized") if often.crop == "centred" else often
        rare = replace(often, noise_probability=often.noise_probability * SECOND_VIEW_NOISE)
        wide, second = (replace(each, scale=options.global_scale) for each in (often, rare))
        narrow = replace(often, scale=options.local_scale)
        images = batch.images
        if self.settings.view.window is not None:
            images = fade(images, batch.mean, sigma=self.settings.view.window)
        look = self.settings.view
        draw = partial(view, images, mean=batch.mean, std=batch.std, region=look.size, alone=look.pixels == "view")
        size = options.global_size
        recipes = [wide if index == 0 else second for index in range(options.global_count)]
        crops = torch.cat([draw(strengths, generator, size=size) for strengths in recipes])
        if options.local_count == 0:
            return crops, None
        near = [draw(narrow, generator, size=options.local_size) for _ in range(options.local_count)]
        return crops, torch.cat(near)


def _head(features: int, options: Distillation) -> PrototypeHead:
    return PrototypeHead(
        features,
        prototypes=options.prototypes,
        hidden=options.hidden,
        bottleneck=options.bottleneck,
        batch_norm=options.batch_norm,
    )


def _patch_logits(network: nn.ModuleDict, patches: Tensor, hidden: masks.Hidden) -> Tensor:
    """Return the logits (M, K) of the masked places among patch tokens (N, patches, D), by the head for patches."""
    head = network["patch_head" if "patch_head" in network else "head"]
    logits: Tensor = head(patches.flatten(0, 1)[hidden.place])
    return logits


def _by_well(features: Tensor, count: int, sites: int) -> Tensor:
    """Regroup features (views x B, D), view by view, to (groups, views x sites, D)."""
    grouped: Tensor = features.unflatten(0, (-1, count // sites, sites)).permute(1, 0, 2, 3).flatten(1, 2)
    return grouped
