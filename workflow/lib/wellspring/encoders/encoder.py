"""Encoders: a config entry flows in, a network flows out; and a trained network to and from its two files.

`encoder.safetensors` holds the weights, `encoder.json` (the card) all that is needed to build the network again and to
feed it: backbone, channels in their order, view, and how it was trained. Any timm backbone serves, with any number of
channels.
"""

import json
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wellspring.encoders import module
from wellspring.encoders.pretrained import start_from
from wellspring.io.provenance import file_digest
from wellspring.io.tables import atomic

STEMS = ("widened", "channelwise")
# Families whose position embeddings follow the image size, so that one network takes views of several sizes.
RESIZABLE = {"timm.models.vision_transformer", "timm.models.deit", "timm.models.eva"}


@dataclass(frozen=True)
class Encoder:
    """A network in evaluation mode and its card."""

    network: nn.Module
    card: dict

    @property
    def channels(self) -> list[str]:
        """Names of the channels in the order in which the network takes them."""
        return self.card["channels"]


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
) -> nn.Module:
    """Build a timm backbone without a classifier.

    Parameters
    ----------
    backbone
        A timm model name.
    channels, size
        Number of input channels, and edge of the input in pixels.
    options
        Passed on to the model, e.g. ``{"embed_dim": 128, "depth": 4, "num_heads": 4, "patch_size": 8}``.
    seed
        Of the initial weights; the global random state is left as it was.
    drop_path
        Share of residual branches that are skipped while training, where the backbone has them.
    weights
        A local file to start from (safetensors, or a PyTorch file that loads with `weights_only`).
    stem
        `widened`: the first layer takes all channels. `channelwise`: see `Channelwise`; features are channels times as
        many.

    Returns
    -------
    nn.Module
        (B, channels, size, size) -> (B, features).

    Raises
    ------
    ValueError
        If timm has no such model, the weights do not fit it, or the stem is neither.
    """
    if stem not in STEMS:
        raise ValueError(f"encoders.stem: expected one of {STEMS}, found {stem!r}")
    if not timm.is_model(backbone):
        near = timm.list_models(f"*{backbone.split('_')[0]}*")[:10]
        raise ValueError(f"backbone: expected a timm model, found {backbone!r}; some near ones: {near}")
    further = dict(options or {})
    if timm.models.model_entrypoint(backbone).__module__ in RESIZABLE:
        further = {"img_size": size, "dynamic_img_size": True} | further
    if drop_path > 0:
        further = {"drop_path_rate": drop_path} | further
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        taken = channels if stem == "widened" else 1
        network = timm.create_model(backbone, pretrained=False, in_chans=taken, num_classes=0, **further)
    if weights is not None:
        start_from(network, weights)
    return network if stem == "widened" else Channelwise(network)


class Channelwise(nn.Module):
    """A network of one channel that sees each channel alone; features are joined channel after channel.

    Weights for colours are summed over them in the stem, so that a channel is seen as the network sees a grey image
    (`train.weights.widen`). (B, C, H, W) -> (B, C * features).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Encode channel after channel, which takes no more memory than one of them."""
        return torch.cat([self.network(channel) for channel in images.split(1, dim=1)], dim=1)


def features(network: nn.Module, images: Tensor, *, tokens: str = "pooled", layers: int = 1) -> Tensor:
    """Encode images.

    Parameters
    ----------
    network
        As from `build`.
    images
        (B, C, H, W) float32, standardised.
    tokens
        `pooled`: what the backbone gives (class token or mean over places). `class_and_patches`: class token and mean
        of the patch tokens of each of the last `layers` blocks, each brought to length 1 before they are joined;
        backbones without a class token give the mean alone. Of a `Channelwise` network, those of each channel.
    layers
        Number of blocks to join.

    Returns
    -------
    Tensor
        (B, D) float32.
    """
    if tokens == "pooled":
        return network(images).float()
    if tokens != "class_and_patches":
        raise ValueError(f"embed.tokens: expected 'pooled' or 'class_and_patches', found {tokens!r}")
    if isinstance(network, Channelwise):
        each = [features(network.network, channel, tokens=tokens, layers=layers) for channel in images.split(1, dim=1)]
        return torch.cat(each, dim=1)
    if not hasattr(network, "forward_intermediates"):
        blocks = _own_tokens(network, images, layers=layers)
    elif getattr(network, "num_prefix_tokens", 0):
        states = network.forward_intermediates(
            images, indices=layers, return_prefix_tokens=True, norm=True, output_fmt="NLC", intermediates_only=True
        )
        blocks = [block for patches, prefix in states for block in (prefix[:, 0], patches.mean(dim=1))]
    else:
        maps = network.forward_intermediates(images, indices=layers, intermediates_only=True)
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
    tokens, before = network.forward_features(images), network.num_prefix_tokens
    return [*([tokens[:, 0]] if before else []), tokens[:, before:].mean(dim=1)]


def precise(device: torch.device, precision: str) -> torch.autocast | nullcontext:
    """Return the context in which a network runs: `float32`, or `bfloat16` by autocast (weights stay float32)."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def device() -> torch.device:
    """Return the first GPU if there is one, else the CPU; with the deterministic kernels of either."""
    found = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # On a GPU some backward kernels have no deterministic form: they are used, with torch's own warning.
    torch.use_deterministic_algorithms(True, warn_only=found.type == "cuda")
    # Nothing here reads what it has not written, so new memory need not be filled, which costs a pass over it.
    torch.utils.deterministic.fill_uninitialized_memory = False
    if found.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it matrix products are not reproducible
        torch.backends.cudnn.benchmark = False
    return found


def save(network: nn.Module, card: Mapping[str, object], weights: str | Path, card_path: str | Path) -> None:
    """Write a network and its card; both files are whole or absent."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with atomic(weights) as temporary:
        save_file(state, temporary)
        described = dict(card) | {"weights_sha256": file_digest(temporary)}
    with atomic(card_path) as temporary:
        temporary.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")


def load(weights: str | Path, card_path: str | Path) -> Encoder:
    """Build the network that the card describes and fill in the weights; in evaluation mode, on the CPU."""
    card = json.loads(Path(card_path).read_text())
    expected, found = card.get("weights_sha256"), file_digest(weights)
    if expected not in (None, found):
        raise ValueError(
            f"{weights}: expected the weights that {card_path} describes (SHA-256 {expected}), found {found}; the file "
            "was changed after training: train again, or restore both files"
        )
    shape = {"channels": len(card["channels"]), "size": card["input_size"]}
    if card.get("module") is not None:
        network = module.rebuild(card["module"], **shape, key=f"{card_path}: module.factory")
    else:
        stem = card.get("stem", "widened")
        network = build(card["backbone"], options=card["backbone_options"], stem=stem, **shape)
    network.load_state_dict(load_file(weights))
    return Encoder(network.eval().requires_grad_(False), card)
