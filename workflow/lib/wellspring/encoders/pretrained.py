"""Starting weights: loading another network's weights from a local file.

Files have various layouts: a bare state dict, or one under `state_dict`, `model`, `teacher` or `student`; names with
one or more prefixes (`module.backbone.`); names of DINOv2, DINOv3, Hugging Face's transformers, torchvision or
efficientnet_pytorch. All are tried, and the one with most matching names is used.
"""

import argparse
import logging
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

logger = logging.getLogger(__name__)

HEADS = ("head", "fc.", "classifier", "heads", "dino_head", "ibot_head", "projector", "mask_token")
FIXED = ("rope_embed.periods", "qkv.bias_mask")  # constants of DINOv3, which timm computes
# Hugging Face's transformers: ViT, DINOv2, DINOv3. Queries, keys and values are joined before (`_joined`).
TRANSFORMERS = (
    (r"embeddings\.cls_token$", "cls_token"),
    (r"embeddings\.position_embeddings$", "pos_embed"),
    (r"embeddings\.register_tokens$", "reg_token"),
    (r"embeddings\.patch_embeddings\.(?:projection\.)?", "patch_embed.proj."),
    (r"(?:encoder\.|model\.)?layer\.(\d+)\.", r"blocks.\1."),
    (r"attention\.(?:output\.dense|o_proj)\.", "attn.proj."),
    (r"(?:layernorm_before)\.", "norm1."),
    (r"(?:layernorm_after)\.", "norm2."),
    (r"intermediate\.dense\.|mlp\.up_proj\.", "mlp.fc1."),
    (r"(blocks\.\d+\.)output\.dense\.", r"\1mlp.fc2."),
    (r"mlp\.down_proj\.", "mlp.fc2."),
    (r"layernorm\.", "norm."),
)
# Renaming rules from other libraries to timm; names of torchvision's ResNets and of DINO are those of timm.
DIALECTS = {
    "timm": (),
    # Training checkpoints have blocks in chunks; the largest models have a gated MLP.
    "DINOv2": (
        (r"register_tokens$", "reg_token"),
        (r"blocks\.\d+\.(\d+)\.", r"blocks.\1."),
        (r"mlp\.w12\.", "mlp.fc1."),
        (r"mlp\.w3\.", "mlp.fc2."),
    ),
    "DINOv3": ((r"storage_tokens$", "reg_token"), (r"ls([12])\.gamma$", r"gamma_\1")),
    "transformers": (*TRANSFORMERS, (r"layer_scale([12])\.lambda1$", r"ls\1.gamma")),
    "transformers' DINOv3": (*TRANSFORMERS, (r"layer_scale([12])\.lambda1$", r"gamma_\1")),
    "torchvision's ViTs": (
        (r"class_token$", "cls_token"),
        (r"conv_proj\.", "patch_embed.proj."),
        (r"encoder\.pos_embedding$", "pos_embed"),
        (r"encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
        (r"encoder\.ln\.", "norm."),
        (r"\.ln_([12])\.", r".norm\1."),
        (r"self_attention\.in_proj_", "attn.qkv."),
        (r"self_attention\.out_proj\.", "attn.proj."),
        (r"mlp\.(?:0|linear_1)\.", "mlp.fc1."),
        (r"mlp\.(?:3|linear_2)\.", "mlp.fc2."),
    ),
}
# Layers of efficientnet_pytorch by timm's names: in blocks without and with an expansion, and outside of blocks.
SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
EFFICIENTNET_PLAIN = SQUEEZE | {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
EFFICIENTNET_EXPANDED = SQUEEZE | {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
EFFICIENTNET_ENDS = (
    (r"_conv_stem\.", "conv_stem."),
    (r"_bn0\.", "bn1."),
    (r"_conv_head\.", "conv_head."),
    (r"_bn1\.", "bn2."),
    (r"_fc\.", "classifier."),
)


def start_from(network: nn.Module, path: str | Path, *, widening: bool = True) -> None:
    """Load the weights of a file into `network`, with the stem widened to the network's channels.

    Classifiers and projection heads are left out. Position embeddings are resampled to the network's grid. If a file
    has a teacher and a student, the teacher is used.

    Parameters
    ----------
    network
        A network of timm or a custom network; changed in place.
    path
        `.safetensors`, or a PyTorch file of tensors only.
    widening
        Whether a stem of another number of channels is fitted to the network's; without, it is refused.

    Raises
    ------
    ValueError
        The file is missing or unreadable, lacks weights, or has weights of another shape; names them.
    """
    path = Path(path)
    stored = _joined(dict(_tensors(_read(path))))
    wanted = network.state_dict()
    found = _matched(stored, wanted)
    _split_biases(found, wanted, path)
    _fold_class_position(found, network)
    state, lacking, other = {}, [], []
    for name, target in wanted.items():
        source = found.get(name)
        if source is None:
            # Missing counters of batch normalisation are harmless.
            lacking += [] if name.endswith("num_batches_tracked") else [name]
            continue
        fitted = source if source.shape == target.shape else _fit(name, source, target, network, widening=widening)
        if fitted.shape != target.shape:
            other.append(f"{name} {tuple(source.shape)} for {tuple(target.shape)}")
        state[name] = fitted.to(target.dtype)
    if lacking or other:
        parts = [f"{path}: expected the {len(wanted)} weights of {_called(network)}"]
        parts += [f"{len(lacking)} are missing, e.g. {', '.join(lacking[:6])}"] if lacking else []
        parts += [f"{len(other)} have another shape, e.g. {', '.join(other[:4])}"] if other else []
        parts += [f"found {len(stored)} tensors, e.g. {', '.join(list(stored)[:6]) or 'none'}"]
        raise ValueError("; ".join(parts))
    unused = [name for name in found if name not in wanted and not name.startswith(HEADS) and not name.endswith(FIXED)]
    if unused:
        logger.warning(
            "%s: left out %d weights that this backbone does not have, e.g. %s", path, len(unused), unused[:5]
        )
    network.load_state_dict(state, strict=False)


def widen(kernels: Tensor, channels: int) -> Tensor:
    """Turn stem kernels (O, S, h, w) into (O, channels, h, w): averaged over S, replicated, scaled by S / channels.

    An image with identical channels gives the same response before and after. For one channel, this is the sum over S:
    the channel is processed like a grey image replicated to S colours.
    """
    return kernels.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1) * (kernels.shape[1] / channels)


def _read(path: Path) -> Mapping[str, object]:
    if not path.is_file():
        raise ValueError(f"weights: expected a local file, found none at {path}")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with torch.serialization.safe_globals([argparse.Namespace]):  # DINO's checkpoints hold their arguments
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # other files raise various exceptions
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path}: expected weights as safetensors or as a PyTorch file of tensors only, found neither ({reason})"
        ) from error
    if not isinstance(loaded, Mapping):
        raise ValueError(f"{path}: expected a dict of tensors, found {type(loaded).__name__}")
    return loaded


def _tensors(state: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of nested dicts, with names joined by dots."""
    for name, value in state.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, Mapping):
            yield from _tensors(value, f"{prefix}{name}.")


def _joined(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join the queries, keys and values of Hugging Face's transformers to one tensor, as timm has them."""
    found = dict(stored)
    for name in stored:
        match = re.fullmatch(r"(.*)attention\.(attention\.query|q_proj)\.weight", name)
        if not match:
            continue
        names = ("query", "key", "value") if match[2].endswith("query") else ("q_proj", "k_proj", "v_proj")
        whole = f"{match[1]}attention.{'attention.' if names[0] == 'query' else ''}"
        for kind in ("weight", "bias"):
            parts = [found.pop(f"{whole}{each}.{kind}", None) for each in names]
            known = [part for part in parts if part is not None]
            if known:  # DINOv3 has no bias of keys
                parts = [torch.zeros_like(known[0]) if part is None else part for part in parts]
                found[f"{match[1]}attn.qkv.{kind}"] = torch.cat([part for part in parts if part is not None])
    return found


def _split_biases(found: dict[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    """Give biases of queries and values to a network that has them apart; a bias of keys has no effect on attention."""
    for name in [name for name in found if name.endswith("attn.qkv.bias") and name not in wanted]:
        queries, _, values = found.pop(name).chunk(3)
        base = name.removesuffix("qkv.bias")
        if f"{base}q_bias" in wanted:
            found[f"{base}q_bias"], found[f"{base}v_bias"] = queries, values
        elif f"{base}qkv.weight" in wanted and (queries.any() or values.any()):
            raise ValueError(
                f"{path}: expected no biases of queries and values, which this backbone does not have, found {name}; "
                "take the backbone whose name ends in _qkvb"
            )


def _matched(stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors by timm's names, for the prefix and the renaming rules with most wanted names."""
    best: dict[str, Tensor] = {}
    most = 0
    dialects = [{name: _renamed(name, rules) for name in stored} for rules in DIALECTS.values()]
    for names in (*dialects, _efficientnet(stored, wanted)):
        renamed = {names[name]: value for name, value in stored.items()}
        prefixes: Counter[str] = Counter()
        for name in renamed:
            steps = name.split(".")
            tails = (".".join(steps[first:]) for first in range(len(steps)))
            prefixes.update(name[: len(name) - len(tail)] for tail in tails if tail in wanted)
        if not prefixes:
            continue
        prefix = max(prefixes, key=lambda each: (prefixes[each], "teacher" in each, -len(each)))
        if prefixes[prefix] > most:
            most = prefixes[prefix]
            best = {name.removeprefix(prefix): value for name, value in renamed.items() if name.startswith(prefix)}
    return best


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _efficientnet(stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, str]:
    """Return timm's name of each tensor of efficientnet_pytorch and its relatives; other names are unchanged.

    Their blocks are numbered through the network, timm's by stage and place. Blocks without an expansion have other
    layers than those with one.
    """
    blocks = dict.fromkeys(match[0] for name in wanted if (match := re.match(r"blocks\.\d+\.\d+\.", name)))
    places = dict(enumerate(blocks))
    expanded = {match[1] for name in stored if (match := re.search(r"_blocks\.(\d+)\._expand_conv\.", name))}
    names = {}
    for name in stored:
        match = re.search(r"_blocks\.(\d+)\.(\w+)\.", name)
        layers = EFFICIENTNET_EXPANDED if match and match[1] in expanded else EFFICIENTNET_PLAIN
        if match and int(match[1]) in places and match[2] in layers:
            mine = f"{places[int(match[1])]}{layers[match[2]]}."
            names[name] = f"{name[: match.start()]}{mine}{name[match.end() :]}"
        else:
            names[name] = _renamed(name, EFFICIENTNET_ENDS)
    return names


def _fold_class_position(found: dict[str, Tensor], network: nn.Module) -> None:
    """Add the position of the class token to the token, where the network has positions of patches only (DINOv2)."""
    places = found.get("pos_embed")
    if places is None or "cls_token" not in found or not getattr(network, "no_embed_class", False):
        return
    if places.ndim == 3 and math.isqrt(places.shape[1] - 1) ** 2 == places.shape[1] - 1:
        found["cls_token"] = found["cls_token"] + places[:, :1]
        found["pos_embed"] = places[:, 1:]


def _fit(name: str, source: Tensor, target: Tensor, network: nn.Module, *, widening: bool) -> Tensor:
    """Adapt one weight of another shape: a stem to the channels, a position embedding to the grid."""
    grid = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    if name == "pos_embed" and grid is not None and source.ndim == 3 and source.shape[-1] == target.shape[-1]:
        before = 0 if getattr(network, "no_embed_class", False) else int(getattr(network, "num_prefix_tokens", 0))
        side = math.isqrt(max(source.shape[1] - before, 0))
        if side**2 + before != source.shape[1]:
            return source
        resampled: Tensor = resample_abs_pos_embed(source, new_size=list(grid), num_prefix_tokens=before)
        return resampled
    stems = getattr(network, "default_cfg", {}).get("first_conv") or ()
    stems = (stems,) if isinstance(stems, str) else stems
    same_kernel = source.ndim == 4 and (source.shape[0], *source.shape[2:]) == (target.shape[0], *target.shape[2:])
    if widening and same_kernel and name in [f"{stem}.weight" for stem in stems]:
        return widen(source, target.shape[1])
    return source


def _called(network: nn.Module) -> str:
    return str(getattr(network, "default_cfg", {}).get("architecture") or type(network).__name__)
