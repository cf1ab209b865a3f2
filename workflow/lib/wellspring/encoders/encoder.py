"""Encoders: building a network from a config entry, features of images, and saving and loading.

An encoder is two files. `encoder.safetensors` holds the weights. `encoder.json` (the card) holds everything needed to
build the network again and to prepare its input: backbone, channels in order, view, and how it was trained. Any timm
backbone works, with any number of channels.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import timm
import torch
from safetensors.torch import load_file
from safetensors.torch import save as packed
from torch import Tensor, nn

from wellspring.encoders import module
from wellspring.encoders.adaptive import Adaptive
from wellspring.encoders.intensity import Intensity
from wellspring.encoders.pretrained import start_from
from wellspring.encoders.stems import Channelwise, Mapped, matrix
from wellspring.io.provenance import file_digest
from wellspring.io.tables import atomic

STEMS = ("widened", "channelwise", "adaptive")
# Families whose position embeddings follow the image size, so that one network takes views of several sizes.
RESIZABLE = {f"timm.models.{name}" for name in ("vision_transformer", "vision_transformer_hybrid", "deit", "eva")}


@dataclass(frozen=True)
class Encoder:
    """A network in evaluation mode, and its card (JSON values).

    Examples
    --------
    >>> known = load("results/train/simclr/encoder.safetensors", "results/train/simclr/encoder.json")  # doctest: +SKIP
    >>> known.channels  # doctest: +SKIP
    ['DNA', 'ER', 'RNA', 'AGP', 'Mito']
    """

    network: nn.Module
    card: dict[str, Any]

    @property
    def channels(self) -> list[str]:
        """Names of the channels, in the order of the network's input."""
        return list(self.card["channels"])

    @property
    def embedded(self) -> int:
        """Edge of the square that is embedded, in pixels of the field; it is resized to the network's input."""
        view = self.card["view"]
        return int(view.get("embedded") or view["size"])

    def on(self, channels: list[str]) -> "Encoder":
        """Return the encoder for a panel of these channels: those of its own that the panel has, in its own order.

        A channel that no training image had (`untrained` of the card) counts as lacking.

        Raises
        ------
        ValueError
            A channel is lacking and the stem is not `adaptive`, or all are.
        """
        untrained = self.card.get("untrained", ())
        places = [place for place, name in enumerate(self.channels) if name in channels and name not in untrained]
        if len(places) == len(self.channels):
            return self
        network = self.network
        if not isinstance(network, Adaptive) or not places:
            raise ValueError(f"channels: expected {self.channels} for {self.card['name']}, found {channels}")
        shown = [self.channels[place] for place in places]
        absent = [name for name in self.channels if name not in shown]
        return Encoder(network.of(places), self.card | {"channels": shown, "lacking": absent})


def build(
    backbone: str,
    *,
    channels: int,
    size: int,
    options: Mapping[str, object] | None = None,
    seed: int = 0,
    drop_path: float = 0.0,
    weights: str | Path | None = None,
    stem: str = "widened",
    widening: bool = True,
) -> nn.Module:
    """Build a timm backbone without a classifier.

    Parameters
    ----------
    backbone
        A timm model name.
    channels, size
        Number of input channels, and edge of the input, px.
    options
        Passed to the model, e.g. ``{"embed_dim": 128, "depth": 4, "num_heads": 4, "patch_size": 8}``.
    seed
        Seed of the initial weights; the global random state is restored afterwards.
    drop_path
        Rate of stochastic depth in training, where the backbone has it.
    weights
        A local file to start from (safetensors, or a PyTorch file that loads with `weights_only`).
    stem
        `widened`: the first layer takes all channels. `channelwise`: see `Channelwise`; the number of features is
        multiplied by the number of channels. `adaptive`: see `Adaptive`.
    widening
        Whether weights for another number of channels are fitted to this one, or refused.

    Returns
    -------
    nn.Module
        (B, channels, size, size) -> (B, features).

    Raises
    ------
    ValueError
        timm has no such model, the weights do not fit it, or the stem is unknown.

    Examples
    --------
    >>> network = build("resnet10t", channels=5, size=64)
    >>> tuple(network(torch.zeros(2, 5, 64, 64)).shape)
    (2, 512)
    """
    if stem not in STEMS:
        raise ValueError(f"encoders.stem: expected one of {STEMS}, found {stem!r}")
    if not timm.is_model(backbone):
        near = timm.list_models(f"*{backbone.split('_', maxsplit=1)[0]}*")[:10]
        raise ValueError(f"backbone: expected a timm model, found {backbone!r}; similar names: {near}")
    further = arguments(backbone, size=size, options=options or {})
    if drop_path > 0:
        further = {"drop_path_rate": drop_path} | further
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        taken = channels if stem == "widened" else 1
        network: nn.Module = timm.create_model(backbone, pretrained=False, in_chans=taken, num_classes=0, **further)
    if weights is not None:
        start_from(network, weights, widening=widening)
    if stem == "adaptive":
        return Adaptive(network, channels=channels, features=int(cast("int", network.num_features)))
    return network if stem == "widened" else Channelwise(network)


def arguments(backbone: str, *, size: int, options: Mapping[str, object]) -> dict[str, Any]:
    """Return the arguments that timm builds a backbone with, beside its channels, classifier and stochastic depth."""
    if timm.models.model_entrypoint(backbone).__module__ in RESIZABLE:
        return {"img_size": size, "dynamic_img_size": True} | dict(options)
    return dict(options)


def features(network: nn.Module, images: Tensor, *, tokens: str = "pooled", layers: int = 1) -> Tensor:
    """Encode images.

    Parameters
    ----------
    network
        As from `build`.
    images
        (B, C, H, W) float32, standardised.
    tokens
        `pooled`: output of the backbone (class token, or mean over positions). `class_and_patches`: class token and
        mean of the patch tokens of each of the last `layers` blocks, each normalised to length 1 and concatenated;
        the mean alone for backbones without a class token. For a `Channelwise` network, of each channel. `channels`:
        the embedding of each channel of an `Adaptive` network, joined.
    layers
        Number of blocks to concatenate.

    Returns
    -------
    Tensor
        (B, D) float32.

    Raises
    ------
    ValueError
        `tokens` is unknown, or the network has no patch tokens.
    """
    if tokens == "pooled":
        pooled: Tensor = network(images)
        return pooled.float()
    if tokens == "channels" and isinstance(network, Adaptive):
        return network.each(images).float()
    if tokens != "class_and_patches":
        raise ValueError(f"embed.tokens: expected 'pooled' or 'class_and_patches', found {tokens!r}")
    if isinstance(network, Adaptive):
        raise ValueError("embed.tokens: expected auto or pooled for the stem adaptive, found class_and_patches")
    if isinstance(network, Mapped):
        return features(network.network, network.mapped(images), tokens=tokens, layers=layers)
    if isinstance(network, Channelwise):
        each = [features(network.network, channel, tokens=tokens, layers=layers) for channel in images.split(1, dim=1)]
        return torch.cat(each, dim=1)
    intermediates: Callable[..., Any] | None = getattr(network, "forward_intermediates", None)
    if intermediates is None:
        blocks = _own_tokens(network, images, layers=layers)
    elif getattr(network, "num_prefix_tokens", 0):
        states = intermediates(
            images, indices=layers, return_prefix_tokens=True, norm=True, output_fmt="NLC", intermediates_only=True
        )
        blocks = [block for patches, prefix in states for block in (prefix[:, 0], patches.mean(dim=1))]
    else:
        maps = intermediates(images, indices=layers, intermediates_only=True)
        blocks = [state.mean(dim=(2, 3)) for state in maps]
    return torch.cat([nn.functional.normalize(block.float(), dim=1) for block in blocks], dim=1)


def _own_tokens(network: nn.Module, images: Tensor, *, layers: int) -> list[Tensor]:
    """Return class token (where there is one) and mean patch token, each (B, D), of a network with `PatchTokens`."""
    lacking = module.lacking(network)
    if lacking:
        raise ValueError(
            f"embed.tokens: expected pooled for a network without patch tokens ({type(network).__name__} lacks "
            f"{', '.join(lacking)}), found class_and_patches"
        )
    if layers != 1:
        raise ValueError(f"embed.layers: expected 1 for a network without forward_intermediates, found {layers}")
    own = cast("module.PatchTokens", network)
    tokens, before = own.forward_features(images), own.num_prefix_tokens
    return [*([tokens[:, 0]] if before else []), tokens[:, before:].mean(dim=1)]


def precise(device: torch.device, precision: str) -> torch.autocast | nullcontext[None]:
    """Return the context for a network's forward pass: `float32`, or `bfloat16` autocast (weights stay float32)."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def device() -> torch.device:
    """Return the first GPU, or the CPU without a GPU; deterministic kernels are switched on."""
    found = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # Some backward kernels on GPUs have no deterministic version: they are used, and torch warns.
    torch.use_deterministic_algorithms(True, warn_only=found.type == "cuda")
    # Memory is always written before it is read; filling it first would cost a pass over it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set by a property
    if found.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it matrix products are not reproducible
        torch.backends.cudnn.benchmark = False
    return found


def save(network: nn.Module, card: Mapping[str, object], weights: str | Path, card_path: str | Path) -> None:
    """Write a network and its card; each file appears only when it is complete."""
    with atomic(weights) as temporary:
        temporary.write_bytes(packed(state(network)))  # `save_file` makes files that other users cannot read
        described = dict(card) | {"weights_sha256": file_digest(temporary)}
    with atomic(card_path) as temporary:
        temporary.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")


def state(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a network by name, on the CPU, as files of safetensors take them."""
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}


def load(weights: str | Path, card_path: str | Path) -> Encoder:
    """Build the network that a card describes and load its weights; in evaluation mode, on the CPU.

    The card is a file of its own, or the part `wellspring` of the `config.json` of an exported model.

    Raises
    ------
    ValueError
        The card has no digest of the weights, or another one than the file; or the source of a custom network is
        missing, or has changed since the weights were saved.
    """
    card = json.loads(Path(card_path).read_text())
    card = card.get("wellspring", card)
    expected, found = card.get("weights_sha256"), file_digest(weights)
    if expected is None:
        raise ValueError(
            f"{card_path}: expected weights_sha256, the SHA-256 of {weights}, found none; train again, also an "
            "encoder of version 0.1"
        )
    if expected != found:
        raise ValueError(
            f"{weights}: expected the weights that {card_path} describes (SHA-256 {expected}), found {found}; the file "
            "was changed after training: train again, or restore both files"
        )
    inputs = card.get("inputs")
    shape = {"channels": len(inputs or card["channels"]), "size": card["input_size"]}
    network: nn.Module
    if card["kind"] == "intensity":
        network = Intensity(channels=shape["channels"])
    elif card.get("module") is not None:
        network = module.rebuild(card["module"], **shape, key=f"{card_path}: module.factory")
    else:
        stem = card.get("stem", "widened")
        network = build(card["backbone"], options=card["backbone_options"], stem=stem, **shape)
    if inputs:
        network = Mapped(network, matrix(inputs, card["channels"]))
    network.load_state_dict(load_file(weights))
    return Encoder(network.eval().requires_grad_(False), card)
