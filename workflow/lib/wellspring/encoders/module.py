"""Custom networks (encoder `kind: module`): built by a factory, and checked before use.

The factory is a function of `channels` (number of input channels) and `size` (edge of the input in pixels), both given
by keyword, and of the keyword arguments of `encoders.NAME.arguments`. It returns an `nn.Module` that maps images
(B, channels, size, size) float32 (mean 0 and deviation 1 by plate and channel) to features (B, D). Its random initial
weights are reproducible, because the random state of torch is seeded around the call.

    def small(channels: int, size: int, *, width: int = 64) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(channels, width, 7, stride=4), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

Frozen and with `objective: simclr`, that is all. With `objective: sslprofiler` or `dino`, the network must also offer
patch tokens, see `PatchTokens`, and accept the sizes of global and local crops.
"""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from wellspring.encoders.factory import Factory
from wellspring.encoders.pretrained import start_from

DISTILLED = ("sslprofiler", "dino")  # objectives that need patch tokens


class PatchEmbedding(Protocol):
    """The layer (an `nn.Module`) that turns images into patches; positions are added after it.

    Its output is (B, patches, D) or (B, rows, columns, D). In training, the learned mask token replaces masked patches
    in this output.
    """

    def __call__(self, images: Tensor) -> Tensor:
        """Embed images (B, C, H, W)."""
        ...

    def dynamic_feat_size(self, img_size: tuple[int, int]) -> tuple[int, int]:
        """Return the rows and columns of patches of an image (H, W)."""
        ...


class PatchTokens(Protocol):
    """A network with patch tokens, as the objectives sslprofiler and dino need it.

    The names are those of timm's vision transformers, so that their subclasses comply unchanged. A forward pass is
    `forward_head(forward_features(images))`.

    Attributes
    ----------
    embed_dim
        Width D of a token.
    num_prefix_tokens
        Number of tokens before the patches (class token first); 0 without.
    patch_embed
        See `PatchEmbedding`; an `nn.Module`, called in each forward pass.
    """

    embed_dim: int
    num_prefix_tokens: int
    patch_embed: PatchEmbedding

    def __call__(self, images: Tensor) -> Tensor:
        """Return features (B, F) of images (B, C, H, W), also of other sizes than the factory was given."""
        ...

    def forward_features(self, images: Tensor) -> Tensor:
        """Return all tokens (B, num_prefix_tokens + patches, D), normalised; patches row by row."""
        ...

    def forward_head(self, tokens: Tensor) -> Tensor:
        """Return the features (B, F) of all tokens."""
        ...


TOKENS = ("embed_dim", "num_prefix_tokens", "patch_embed", "forward_features", "forward_head")


def describe(written: str, arguments: Mapping[str, object]) -> dict[str, object]:
    """Return the entry of a custom network in its card: factory, arguments, and digest of the source."""
    return {"factory": written, "arguments": dict(arguments), "sha256": Factory.read(written).digest()}


def build(
    factory: Factory,
    *,
    channels: int,
    size: int,
    arguments: Mapping[str, object],
    seed: int = 0,
    weights: str | Path | None = None,
) -> nn.Module:
    """Call a factory.

    Parameters
    ----------
    factory
        See `Factory`.
    channels, size
        Number of input channels, and edge of the input in pixels.
    arguments
        Further keyword arguments.
    seed
        Seed of the initial weights; the global random state is restored afterwards.
    weights
        A local file of the network's weights (see `pretrained.start_from`); None keeps the factory's initial weights.

    Raises
    ------
    ValueError
        The factory does not take these arguments, fails, or does not return an `nn.Module`; names the key.
    """
    function = factory.load()
    given = {"channels": channels, "size": size}
    doubled = sorted(given.keys() & arguments.keys())
    if doubled:
        raise ValueError(f"{factory.key}: expected arguments beside channels and size, found {doubled} among them")
    try:
        inspect.signature(function).bind(**given, **arguments)
    except TypeError as error:
        names = ", ".join([*given, *arguments])
        raise ValueError(
            f"{factory.key}: expected {factory} to take the keyword arguments {names}; its signature is "
            f"{inspect.signature(function)} ({error})"
        ) from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = function(**given, **arguments)
        except Exception as error:  # any exception of the user's own code
            raise ValueError(f"{factory.key}: {factory} failed: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"{factory.key}: expected {factory} to return an nn.Module, found {type(network).__name__}")
    if weights is not None:
        start_from(network, weights)
    return network


def rebuild(described: Mapping[str, object], *, channels: int, size: int, key: str) -> nn.Module:
    """Build the network that a card describes (see `describe`), for weights that are filled in afterwards.

    Raises
    ------
    ValueError
        The source is missing or differs from the source that the weights were saved with.
    """
    factory = Factory.read(str(described["factory"]), key=key)
    found = factory.digest()
    if found != described["sha256"]:
        raise ValueError(
            f"{key}: expected the source of {factory} with sha256 {described['sha256']}, found {found}: it was edited "
            "after the weights were saved; restore it, or make the encoder again (rule train)"
        )
    arguments = described["arguments"]
    return build(factory, channels=channels, size=size, arguments=arguments if isinstance(arguments, Mapping) else {})


def lacking(network: nn.Module) -> list[str]:
    """Return the names of the attributes of the protocol `PatchTokens` that a network lacks."""
    names = [name for name in TOKENS if not hasattr(network, name)]
    if "patch_embed" not in names and not hasattr(network.patch_embed, "dynamic_feat_size"):
        names.append("patch_embed.dynamic_feat_size")
    return names


def check(network: nn.Module, *, channels: int, sizes: Sequence[int], objective: str, key: str) -> int:
    """Check a network on random images of each size, and return its number of features.

    Parameters
    ----------
    network
        As `build` returns it; its training or evaluation mode is restored.
    channels, sizes
        Number of input channels, and edges of the input in pixels: the view, or global and local crops.
    objective
        `frozen`, `simclr`, `sslprofiler` or `dino`.
    key
        The config key, for messages.

    Raises
    ------
    ValueError
        An output of the wrong shape, no trainable weights for a training, or no patch tokens for sslprofiler and dino.
    """
    if objective != "frozen" and not any(weight.requires_grad for weight in network.parameters()):
        raise ValueError(f"{key}: expected trainable weights for objective {objective}, found none (objective: frozen)")
    was = network.training
    network.eval()
    widths = []
    try:
        with torch.no_grad():
            for size in sizes:
                images = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))
                widths.append(_features(network, images, key=key))
                if objective in DISTILLED:
                    _check_tokens(network, images, objective=objective, key=key)
    finally:
        network.train(was)
    if len(set(widths)) > 1:
        found = dict(zip(sizes, widths, strict=True))
        raise ValueError(f"{key}: expected the same number of features for each input size, found {found}")
    return widths[0]


def _features(network: nn.Module, images: Tensor, *, key: str) -> int:
    """Return the number of features, where the output is (B, D)."""
    called = f"the network to map {tuple(images.shape)} float32 to ({len(images)}, features)"
    try:
        found = network(images)
    except Exception as error:  # any exception of the user's own code
        raise ValueError(f"{key}: expected {called}; it failed: {type(error).__name__}: {error}") from error
    if not isinstance(found, Tensor):
        raise ValueError(f"{key}: expected {called}, found {type(found).__name__}")
    if found.ndim != 2 or len(found) != len(images) or not found.is_floating_point():
        raise ValueError(f"{key}: expected {called}, found {tuple(found.shape)} {found.dtype}")
    return found.shape[1]


def _check_tokens(network: nn.Module, images: Tensor, *, objective: str, key: str) -> None:
    """Refuse a network whose patch tokens differ from the protocol `PatchTokens`."""
    where = (
        f"{key}: objective {objective} needs patch tokens as wellspring.encoders.module.PatchTokens describes them "
        "(simclr and frozen do not)"
    )
    absent = lacking(network)
    if absent:
        raise ValueError(f"{where}; {type(network).__name__} lacks {', '.join(absent)}")
    own, embedding = cast("PatchTokens", network), cast("nn.Module", network.patch_embed)
    rows, columns = own.patch_embed.dynamic_feat_size((images.shape[-2], images.shape[-1]))
    patches, width = rows * columns, own.embed_dim
    seen: list[tuple[int, ...]] = []
    handle = embedding.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
    try:
        tokens = own.forward_features(images)
    finally:
        handle.remove()
    expected = len(images), own.num_prefix_tokens + patches, width
    if tuple(tokens.shape) != expected:
        raise ValueError(
            f"{where}; expected tokens of shape {expected} for {rows} x {columns} patches, found {tuple(tokens.shape)}"
        )
    flat, grid = (len(images), patches, width), (len(images), rows, columns, width)
    if len(seen) != 1 or seen[0] not in (flat, grid):
        raise ValueError(f"{where}; expected one call of patch_embed with output {flat} or {grid}, found {seen}")
    if not torch.equal(own.forward_head(tokens), network(images)):
        raise ValueError(f"{where}; expected forward_head(forward_features(images)) to equal the forward pass")
