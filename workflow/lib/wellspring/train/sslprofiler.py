"""SSLProfiler: batches of site views flow in, the self-distillation loss of their crops flows out.

A reconstruction of Dai et al. 2025 (arXiv 2506.14265), of which abstract and introduction are public, from its closest
methods: a student matches a slowly following teacher across crops of a view (DINO, Caron et al. 2021), its features are
kept apart (KoLeo, DINOv2), and a local aggregation branch matches it with the teacher's view of another site of the
well. Masked patches (iBOT) are not part of it.
"""

import copy
from dataclasses import replace
from functools import partial

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from wellspring.encoder import precise
from wellspring.train import losses, schedules
from wellspring.train.augment import view
from wellspring.train.data import Batch
from wellspring.train.networks import PrototypeHead, follow, width
from wellspring.train.settings import Settings

SECOND_VIEW_NOISE = 0.2  # the second global crop is noisy a fifth as often as the first: DINO's .5 and .1


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
    """

    def __init__(self, backbone: nn.Module, settings: Settings, *, channels: int, precision: str) -> None:
        super().__init__()
        self.settings, self.precision = settings, precision
        options = settings.distillation
        features = width(backbone, channels=channels, size=options["global_size"])
        head = PrototypeHead(
            features,
            prototypes=options["prototypes"],
            hidden=options["hidden"],
            bottleneck=options["bottleneck"],
            batch_norm=options["batch_norm"],
        )
        self.student = nn.ModuleDict({"backbone": backbone, "head": head})
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        for module in self.teacher.modules():
            if isinstance(module, DropPath):
                module.drop_prob = 0.0
        self.register_buffer("centre", torch.zeros(options["prototypes"]))
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
        settings, options = self.settings, self.settings.distillation
        wide, narrow = self._views(batch, generator)
        count = options["global_count"]
        with precise(batch.images.device, self.precision):
            seen = self.student["backbone"](torch.cat(wide))
            tokens = [seen] + ([self.student["backbone"](torch.cat(narrow))] if narrow else [])
            logits = self.student["head"](torch.cat(tokens)).float()
            with torch.no_grad():
                # In training mode like the student, so that batch normalisation uses a batch's own statistics in both.
                known = self.teacher["backbone"](torch.cat(wide))
                targets = self.teacher["head"](known).float()
        targets = targets.detach()
        student = torch.log_softmax(logits / settings.temperature, dim=-1)
        student = student.unflatten(0, (-1, len(batch.images)))  # V x B x K
        temperature = float(self.temperatures[step])
        if options["targets"] == "sinkhorn":
            parts = [losses.sinkhorn(part, temperature=temperature) for part in targets.chunk(count)]
            teacher = torch.stack(parts)
        else:
            teacher = losses.centred(targets, self.centre, temperature=temperature).unflatten(0, (count, -1))
        self._centre = targets.mean(dim=0)
        terms = {"distillation": losses.distillation(teacher, student)}
        total = terms["distillation"]
        if options["koleo"] > 0:
            terms["koleo"] = sum(losses.koleo(part) for part in seen.chunk(count)) / count
            total = total + options["koleo"] * terms["koleo"]
        if batch.partner is not None:
            terms["local_aggregation"] = losses.aggregation(teacher, student, partner=batch.partner)
            total = total + settings.aggregation["weight"] * terms["local_aggregation"]
        return terms | {"loss": total}, {"features": known.chunk(count)[0].detach(), "teacher": teacher}

    def before_update(self, step: int) -> None:
        """Hold the prototypes still at first, else they chase an untrained backbone."""
        if step < self.frozen:
            self.student["head"].prototypes.grad = None

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        """Let the teacher follow the student, and the centre the teacher's outputs."""
        follow(self.teacher, self.student, momentum=float(self.momenta[step]))
        self.centre.lerp_(self._centre, 1 - self.settings.distillation["centre_momentum"])

    def _views(self, batch: Batch, generator: torch.Generator) -> tuple[list[Tensor], list[Tensor]]:
        """Global crops and local crops, each (B, C, n, n)."""
        options, often = self.settings.distillation, replace(self.settings.augmentation, crop="resized")
        rare = replace(often, noise_probability=often.noise_probability * SECOND_VIEW_NOISE)
        wide = replace(often, scale=tuple(options["global_scale"]))
        narrow = replace(often, scale=tuple(options["local_scale"]))
        second = replace(rare, scale=tuple(options["global_scale"]))
        draw = partial(view, batch.images, mean=batch.mean, std=batch.std)
        size = options["global_size"]
        recipes = [wide if index == 0 else second for index in range(options["global_count"])]
        return (
            [draw(strengths, generator, size=size) for strengths in recipes],
            [draw(narrow, generator, size=options["local_size"]) for _ in range(options["local_count"])],
        )
