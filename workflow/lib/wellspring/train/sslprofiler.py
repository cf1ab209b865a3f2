"""SSLProfiler: batches of site views flow in, the self-distillation loss of their crops flows out.

A reconstruction of Dai et al. 2025 (arXiv 2506.14265), of which abstract and introduction are public, from its closest
methods: a student matches a slowly following teacher across crops of a view (DINO, Caron et al. 2021) and on patches
that it does not see (iBOT, Zhou et al. 2022), its features are kept apart (KoLeo, DINOv2), and a local aggregation
branch matches it with the teacher's view of the other sites of the well. DINO is the first of these alone.
"""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from timm.layers import DropPath
from torch import Tensor, nn

from wellspring.encoders.encoder import precise
from wellspring.train import distributed, losses, masks, schedules
from wellspring.train.augment import fade, view
from wellspring.train.data import Batch
from wellspring.train.networks import MaskToken, Pool, PrototypeHead, demand_tokens, encode, follow, width
from wellspring.train.settings import Settings

SECOND_VIEW_NOISE = 0.2  # the second global crop is noisy a fifth as often as the first: DINO's .5 and .1
MASKS = 5  # stream of random numbers, beside those of the views


class SSLProfiler(nn.Module):
    """Student and teacher, and their loss by step.

    Parameters
    ----------
    backbone
        Maps (B, C, n, n) to (B, features) for the sizes of global and local crops.
    settings
        Of the encoder.
    channels
        Number of input channels.
    precision
        `float32` or `bfloat16` for the networks; the loss is float32.

    Raises
    ------
    ValueError
        Masked patches are asked for with a backbone that has no patch tokens.
    """

    def __init__(self, backbone: nn.Module, settings: Settings, *, channels: int, precision: str) -> None:
        super().__init__()
        self.settings, self.precision = settings, precision
        options, aggregation = settings.distillation, settings.aggregation
        self.weights = {
            "distillation": 1.0,
            "ibot": options["ibot"]["weight"],
            "koleo": options["koleo"],
            "local_aggregation": aggregation["weight"],
        }
        features = width(backbone, channels=channels, size=options["global_size"])
        self.student = nn.ModuleDict({"backbone": backbone, "head": _head(features, options)})
        masked = self.weights["ibot"] > 0
        if masked:
            demand_tokens(backbone)
        if masked and options["ibot"]["head"] == "own":
            self.student["patch_head"] = _head(backbone.embed_dim, options)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        for module in self.teacher.modules():
            if isinstance(module, DropPath):
                module.drop_prob = 0.0
        # The teacher has no part in these: it sees every patch, and one site at a time.
        self.mask = MaskToken(backbone) if masked else None
        self.pool = Pool(features, kind=aggregation["pool"]) if aggregation["kind"] == "aggregate" else None
        for name in ("centre", "patch_centre"):
            self.register_buffer(name, torch.zeros(options["prototypes"]))
        self._sums: dict[str, list[Tensor]] = {}
        warmup = round(options["teacher_warmup"] * settings.steps)
        low, high = options["teacher_temperature"]
        self.temperatures = schedules.ramp(low, high, steps=settings.steps, warmup=warmup)
        self.momenta = schedules.cosine(options["momentum"], 1.0, steps=settings.steps)
        self.frozen = round(options["freeze_last"] * settings.steps)

    @property
    def encoder(self) -> nn.Module:
        """The network that embeds: the teacher's backbone, the better of the two in DINO."""
        return self.teacher["backbone"]

    def forward(
        self, batch: Batch, step: int, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the terms of the loss (`loss` is their weighted sum), and what is watched (`features`, `teacher`)."""
        options, count = self.settings.distillation, len(batch.images)
        views, temperature = options["global_count"], float(self.temperatures[step])
        wide, narrow = self._views(batch, step, generator)
        hidden = self._hidden(wide, generator)
        student, backbone = self.student, self.student["backbone"]
        with precise(batch.images.device, self.precision):
            with torch.no_grad():
                # In training mode like the student, so that batch normalisation uses a batch's own statistics in both.
                known, targets, patch_targets = self._taught(wide, hidden, temperature)
            seen, patches = (backbone(wide), None) if hidden is None else self.mask.encode(backbone, wide, hidden.mask)
            near = [] if narrow is None else [backbone(narrow)]
            logits = student["head"](torch.cat([seen, *near]))
            patch_logits = None if hidden is None else _patch_logits(student, patches, hidden)
            pooled = None if self.pool is None else student["head"](self.pool(_by_well(near[0], count, batch.sites)))
        targets = targets.unflatten(0, (views, count))
        log_student = self._log(logits).unflatten(0, (-1, count))  # views x B x K
        terms = {"distillation": losses.distillation(targets, log_student)}
        if hidden is not None:
            terms["ibot"] = losses.masked_patches(patch_targets, self._log(patch_logits), weight=hidden.weight)
        if self.weights["koleo"] > 0:
            terms["koleo"] = sum(losses.koleo(distributed.gather(part)) for part in seen.chunk(views)) / views
        if self.pool is not None:
            terms["local_aggregation"] = losses.pooled_aggregation(targets, self._log(pooled), sites=batch.sites)
        elif batch.sites > 1:
            terms["local_aggregation"] = losses.pair_aggregation(targets, log_student, sites=batch.sites)
        total = sum(self.weights[name] * value for name, value in terms.items())
        return terms | {"loss": total}, {"features": known.chunk(views)[0], "teacher": targets}

    def before_update(self, step: int) -> None:
        """Hold the prototypes still at first, else they chase an untrained backbone."""
        if step < self.frozen:
            for name in ("head", "patch_head"):
                if name in self.student:
                    self.student[name].prototypes.grad = None

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        """Let the teacher follow the student, and the centres the teacher's outputs since the last update."""
        follow(self.teacher, self.student, momentum=float(self.momenta[step]))
        for name, sums in self._sums.items():
            joint = distributed.total(torch.stack(sums).sum(dim=0))
            getattr(self, name).lerp_(joint[:-1] / joint[-1], 1 - self.settings.distillation["centre_momentum"])
        self._sums = {}

    def _taught(
        self, wide: Tensor, hidden: masks.Hidden | None, temperature: float
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The teacher's features, and its distributions for whole views and, where there are any, masked patches."""
        teacher = self.teacher
        if hidden is None:
            known = teacher["backbone"](wide)
            return known, self._targets(teacher["head"](known), "centre", temperature), None
        known, patches = encode(teacher["backbone"], wide)
        targets = self._targets(teacher["head"](known), "centre", temperature)
        return known, targets, self._targets(_patch_logits(teacher, patches, hidden), "patch_centre", temperature)

    def _targets(self, logits: Tensor, centre: str, temperature: float) -> Tensor:
        """Distributions of the teacher's logits (N, K) float32; what the named centre will follow is kept."""
        logits = logits.float()
        self._sums.setdefault(centre, []).append(torch.cat([logits.sum(dim=0), logits.new_full((1,), len(logits))]))
        if self.settings.distillation["targets"] == "sinkhorn":
            return losses.sinkhorn(logits, temperature=temperature)
        return losses.centred(logits, getattr(self, centre), temperature=temperature)

    def _log(self, logits: Tensor) -> Tensor:
        """Log-distributions of the student's logits."""
        return torch.log_softmax(logits.float() / self.settings.temperature, dim=-1)

    def _hidden(self, wide: Tensor, generator: torch.Generator) -> masks.Hidden | None:
        """Which patches of the global crops the student does not see."""
        if self.mask is None:
            return None
        options = self.settings.distillation["ibot"]
        rng = np.random.default_rng([generator.initial_seed(), MASKS])
        grid = self.student["backbone"].patch_embed.dynamic_feat_size(tuple(wide.shape[-2:]))
        drawn = masks.draw(len(wide), grid, probability=options["probability"], ratio=options["ratio"], rng=rng)
        return masks.hide(drawn, wide.device)

    def _views(self, batch: Batch, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Global crops and local crops, each (views x B, C, n, n), view by view."""
        options, often = self.settings.distillation, self.settings.strengths(step)
        often = replace(often, crop="resized") if often.crop == "centred" else often
        rare = replace(often, noise_probability=often.noise_probability * SECOND_VIEW_NOISE)
        wide, second = (replace(each, scale=tuple(options["global_scale"])) for each in (often, rare))
        narrow = replace(often, scale=tuple(options["local_scale"]))
        images = batch.images
        if self.settings.view["window"] is not None:
            images = fade(images, batch.mean, sigma=self.settings.view["window"])
        draw = partial(view, images, mean=batch.mean, std=batch.std, region=self.settings.view["size"])
        size = options["global_size"]
        recipes = [wide if index == 0 else second for index in range(options["global_count"])]
        crops = torch.cat([draw(strengths, generator, size=size) for strengths in recipes])
        if options["local_count"] == 0:
            return crops, None
        near = [draw(narrow, generator, size=options["local_size"]) for _ in range(options["local_count"])]
        return crops, torch.cat(near)


def _head(features: int, options: dict) -> PrototypeHead:
    return PrototypeHead(
        features, **{name: options[name] for name in ("prototypes", "hidden", "bottleneck", "batch_norm")}
    )


def _patch_logits(network: nn.ModuleDict, patches: Tensor, hidden: masks.Hidden) -> Tensor:
    """Logits (M, K) of the masked places among patch tokens (N, patches, D), by the head that they have."""
    head = network["patch_head" if "patch_head" in network else "head"]
    return head(patches.flatten(0, 1)[hidden.place])


def _by_well(features: Tensor, count: int, sites: int) -> Tensor:
    """Features (views x B, D) view by view -> (groups, views x sites, D)."""
    return features.unflatten(0, (-1, count // sites, sites)).permute(1, 0, 2, 3).flatten(1, 2)
