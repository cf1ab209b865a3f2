"""An encoder as one graph: from corrected pixels and the intensity scale of their plate to vectors.

The graph holds all that `embed` does with a view: scaling, standardisation, window, resizing, network and choice of the
tokens. It is written as ONNX and as a program of torch.export, which both run without this library.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from wellspring.embed.run import tokens_of
from wellspring.encoders.encoder import Encoder, features
from wellspring.screen.sections import Embed
from wellspring.views import cutting
from wellspring.views.scaling import BY_VIEW, LEAST_STD

if TYPE_CHECKING:
    from torch.export import ExportedProgram

INPUTS, OUTPUT = ("pixels", "scale"), "features"
MISSING = (
    "export.formats: models needs the packages onnx, onnxruntime, onnxscript and bioimageio.spec "
    "(pip install '.[models]'), or leave it out of the list"
)


class Graph(nn.Module):
    """A network with the preparation of its input.

    Parameters
    ----------
    encoder
        Network and card.
    options
        Config section `embed`; `tokens` and `layers` are part of the graph. `field` and `precision` are not: the graph
        encodes the view alone, in float32.
    """

    def __init__(self, encoder: Encoder, options: Embed) -> None:
        super().__init__()
        view, size, edge = encoder.card["view"], int(encoder.card["input_size"]), encoder.embedded
        self.network = encoder.network
        self.tokens, self.layers = tokens_of(encoder, options), options.layers
        self.by_view = BY_VIEW[view.get("pixels", "plate")]
        self.window: Tensor | None
        window = None if view["window"] is None else torch.from_numpy(cutting.soft_window(edge, view["window"]))
        self.register_buffer("window", window)
        # Resizing is linear along each axis: the resized unit matrix has its coefficients. Runtimes differ in theirs.
        self.resize: Tensor | None
        unit = torch.eye(edge)[None, None]
        resized = interpolate(unit, size=(size, edge), mode="bilinear", antialias=True)[0, 0]
        self.register_buffer("resize", None if size == edge else resized)

    def forward(self, pixels: Tensor, scale: Tensor) -> Tensor:
        """Return the vectors (B, D) of views.

        Parameters
        ----------
        pixels
            (B, C, edge, edge) float32, corrected counts of the channels in the encoder's order.
        scale
            (4, C) float32: low, high, mean and std of the plate, in the same order.
        """
        low, high, mean, std = (row[None, :, None, None] for row in scale.unbind(0))
        span = high - low
        factor = torch.where(span > 0, 1 / torch.where(span > 0, span, torch.ones_like(span)), torch.zeros_like(span))
        images = ((pixels - low) * factor).clamp(0, 1)
        images = (images - mean) * (1 / std.clamp_min(LEAST_STD))  # rounded as by `prepare`
        images = self.by_view(images)
        if self.window is not None:
            images = images * self.window
        if self.resize is not None:
            images = self.resize @ images @ self.resize.T
        return features(self.network, images, tokens=self.tokens, layers=self.layers)


def program(graph: Graph, pixels: np.ndarray, scale: np.ndarray) -> "ExportedProgram":
    """Return the graph as a program of torch.export for any number of views; the arrays are an example of two views."""
    shapes = {"pixels": {0: torch.export.Dim("views", min=1)}, "scale": None}
    example = torch.from_numpy(pixels), torch.from_numpy(scale)
    with torch.no_grad():
        return torch.export.export(graph.eval(), example, dynamic_shapes=shapes)


def write_onnx(made: "ExportedProgram", path: Path) -> int:
    """Write a program as ONNX, its weights inside, and return the version of its operators.

    Raises
    ------
    ModuleNotFoundError
        A package is not installed; the message names the remedy.
    """
    try:
        import onnxscript  # noqa: F401  torch.onnx loads it
        from onnx import ModelProto  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error
    for name in ("onnxscript", "onnx_ir"):  # a line per rewritten constant
        logging.getLogger(name).setLevel(logging.WARNING)
    written = torch.onnx.export(
        made, (), None, dynamo=True, input_names=list(INPUTS), output_names=[OUTPUT], verbose=False
    )
    if written is None:
        raise ValueError(f"{path}: expected a model of ONNX, found none")
    written.save(path, external_data=False)
    return next(int(one.version) for one in written.model_proto.opset_import if not one.domain)


def run_onnx(path: Path, pixels: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return what onnxruntime computes from a file, on the CPU."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error
    onnxruntime.disable_telemetry_events()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return cast("np.ndarray", session.run([OUTPUT], dict(zip(INPUTS, (pixels, scale), strict=True)))[0])


def run_program(path: Path, pixels: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return what a saved program of torch.export computes."""
    with torch.no_grad():
        found: Tensor = torch.export.load(path).module()(torch.from_numpy(pixels), torch.from_numpy(scale))
    return found.numpy()
