"""Starting weights: a local file of another network's weights flows in, a network that starts from them flows out."""

import logging
from pathlib import Path

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

WRAPPERS = ("module.", "backbone.", "teacher.", "encoder.")
HEADS = ("head", "fc.", "classifier", "heads", "dino_head", "ibot_head", "projector", "mask_token")


def start_from(network: nn.Module, path: str | Path) -> None:
    """Fill `network` with the weights of a file, its stem widened to the network's channels.

    Classifiers and projection heads of the file are left out; position embeddings are resampled to the network's grid.

    Parameters
    ----------
    network
        Changed in place.
    path
        `.safetensors`, or a PyTorch file of tensors only.

    Raises
    ------
    ValueError
        Names the weights that the file lacks or that have another shape.
    """
    found = _strip(_read(Path(path)))
    wanted = network.state_dict()
    state, wrong = {}, []
    for name, target in wanted.items():
        source = found.get(name)
        if source is not None and source.shape != target.shape:
            source = _fit(name, source, target, network)
        if source is None or source.shape != target.shape:
            wrong.append(name)
        else:
            state[name] = source.to(target.dtype)
    # Absent buffers of batch normalisation counters are harmless; an absent weight is not.
    wrong = [name for name in wrong if not name.endswith("num_batches_tracked")]
    if wrong:
        raise ValueError(f"{path}: expected the weights {wrong[:10]} of the backbone, found others or another shape")
    unused = [name for name in found if name not in wanted and not name.startswith(HEADS)]
    if unused:
        logger.warning(
            "%s: %d weights are not of this backbone and are left out, e.g. %s", path, len(unused), unused[:5]
        )
    network.load_state_dict(state, strict=False)


def widen(kernels: Tensor, channels: int) -> Tensor:
    """Turn stem kernels (O, S, h, w) into (O, channels, h, w): averaged over S, replicated, scaled by S / channels.

    An image whose channels are all alike gives the same response before and after.
    """
    return kernels.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1) * (kernels.shape[1] / channels)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"weights: expected a local file, found none at {path}")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model", "teacher", "student"):
        if isinstance(state.get(key), dict):
            state = state[key]
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _strip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    stripped = {}
    for name, value in state.items():
        short = name
        while any(short.startswith(prefix) for prefix in WRAPPERS):
            short = short.split(".", 1)[1]
        stripped[short] = value
    return stripped


def _fit(name: str, source: Tensor, target: Tensor, network: nn.Module) -> Tensor:
    """Adapt one weight whose shape differs: a stem to the channels, a position embedding to the grid."""
    if name == "pos_embed" and source.shape[-1] == target.shape[-1]:
        from timm.layers import resample_abs_pos_embed

        return resample_abs_pos_embed(
            source, new_size=list(network.patch_embed.grid_size), num_prefix_tokens=network.num_prefix_tokens
        )
    if source.ndim == 4 and source.shape[0] == target.shape[0] and source.shape[2:] == target.shape[2:]:
        return widen(source, target.shape[1])
    return source
