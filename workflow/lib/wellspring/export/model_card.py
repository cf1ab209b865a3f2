"""The model card of an exported encoder: what goes in and comes out, data, training, licences, evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from wellspring.embed.run import tokens_of
from wellspring.encoders.encoder import Encoder
from wellspring.export.licences import spdx, words
from wellspring.io.version import __version__
from wellspring.report import naming
from wellspring.screen.sections import Embed

OBJECTIVES = {
    "sslprofiler": "SSLProfiler (reconstruction of Dai et al. 2025, arXiv 2506.14265)",
    "simclr": "SimCLR (as Perakis et al. 2021, arXiv 2103.16670)",
    "dino": "DINO (Caron et al. 2021, arXiv 2104.14294)",
}
USE = '''```python
import numpy as np
import onnxruntime


def scale_of(pixels):
    """Return (4, C): low, high, mean and std of a plate, from a sample of its fields (N, C, H, W)."""
    counts = np.moveaxis(pixels, 1, 0).reshape(pixels.shape[1], -1).astype(np.float64)
    low, high = np.quantile(counts, [{low}, {high}], axis=1, method="inverted_cdf")
    high = np.where(high > low, high, low + 1)
    scaled = np.clip((counts - low[:, None]) / (high - low)[:, None], 0, 1)
    return np.stack([low, high, scaled.mean(axis=1), scaled.std(axis=1)]).astype(np.float32)


def features_of(views, scale):
    """Return (N, {features}) features of views (N, {channels}, {edge}, {edge})."""
    session = onnxruntime.InferenceSession("model.onnx")
    return session.run(["features"], {{"pixels": views.astype(np.float32), "scale": scale}})[0]
```'''


@dataclass(frozen=True)
class About:
    """What the card states beside the encoder itself.

    Attributes
    ----------
    title
        Of the screen.
    license
        Address of the licence of the model.
    authors
        Names.
    intensities
        Tables `intensity` of the screen's plates, joined.
    summary
        Table `summary` of the encoder; None without an evaluation.
    quantiles
        Of the pixels of a plate that become 0 and 1 (`images.low`, `images.high`).
    masked
        Whether pixels outside of the cell were replaced (`crops.neighbours: masked`).
    """

    title: str
    license: str
    authors: Sequence[str]
    intensities: pd.DataFrame
    summary: pd.DataFrame | None = None
    quantiles: tuple[float, float] = (0.001, 0.999)
    masked: bool = False


def text(encoder: Encoder, options: Embed, about: About, differences: Mapping[str, float], *, width: int) -> str:
    """Return the card as Markdown, with the front matter of Hugging Face.

    Parameters
    ----------
    encoder
        Network and card.
    options
        Config section `embed` of the screen.
    about
        Title, licence, authors, scales and evaluation.
    differences
        By file, the largest difference to `embed`.
    width
        Number of features of a view.
    """
    card = encoder.card
    parts = [
        _front(encoder, about),
        f"# {about.title}: {card['name']}",
        f"Features of {card['view']['kind']}s in fluorescence images, {width} numbers of the network "
        f"`{_network(card)}`. Made by Wellspring {__version__}."
        + (f" Authors: {', '.join(about.authors)}." if about.authors else ""),
        "## Input and output",
        _input(encoder, options, about, width),
        USE.format(
            low=about.quantiles[0],
            high=about.quantiles[1],
            features=width,
            channels=len(encoder.channels),
            edge=encoder.embedded,
        ),
        _files(encoder, differences),
        "## Data and training",
        _training(encoder, about),
        "## Licences",
        _licences(card, about),
        "## Evaluation",
        _evaluation(about.summary),
        "## Limits",
        "The figures are of the screen above. Another cell line, magnification, stain or microscope is another case: "
        "compare with an untrained network and with simple intensity statistics before you use the features. Features "
        "contain plate and position effects: normalise per plate on the controls.",
    ]
    return "\n\n".join(parts) + "\n"


def of_timm(card: Mapping[str, Any]) -> bool:
    """Return whether timm builds the network of a card by itself: a backbone whose inputs are the channels."""
    return card.get("backbone") is not None and card.get("stem", "widened") == "widened" and not card.get("inputs")


def _front(encoder: Encoder, about: About) -> str:
    """Return the metadata that Hugging Face reads."""
    card, identifier = encoder.card, spdx(about.license)
    licence = {"license": identifier.lower()} if identifier else {"license": "other", "license_link": about.license}
    facts: dict[str, Any] = {
        **licence,
        **({"library_name": "timm"} if of_timm(card) else {}),
        "pipeline_tag": "image-feature-extraction",
        "tags": ["microscopy", "fluorescence", "high-content-screening", "image-feature-extraction"],
    }
    return f"---\n{yaml.safe_dump(facts, sort_keys=False).rstrip()}\n---"


def _input(encoder: Encoder, options: Embed, about: About, width: int) -> str:
    card, edge = encoder.card, encoder.embedded
    view, count = card["view"], len(encoder.channels)
    sizes = sorted(set(_pixel_sizes(about.intensities)))
    pixel = f" at {' or '.join(f'{size:g}' for size in sizes)} µm per pixel" if sizes else ", pixel size unknown"
    around = "around the centre of a cell" if view["kind"] == "cell" else "of a field"
    alone = {
        "view": " Each channel of each view then gets mean 0 and deviation 1.",
        "range": " Each view then gets the range 0 to 1, over its channels.",
    }.get(view.get("pixels", "plate"), "")
    lines = [
        f"- `pixels` ({count} channels, {edge} x {edge} px, float32): raw counts, corrected for illumination, of a "
        f"square {around}{pixel}. Channels in this order: {', '.join(encoder.channels)}.",
        f"- `scale` (4 x {count}, float32), of the view's plate and not of the view: `low` and `high`, the quantiles "
        f"{about.quantiles[0]:g} and {about.quantiles[1]:g} of the counts of a channel, and `mean` and `std` of the "
        "counts after `low` to `high` became 0 to 1 with what is beyond clipped. `scales.csv` has those of this "
        "screen's plates.",
        f"- `features` ({width} numbers per view, float32): {_meaning(encoder, options)}.",
        "",
        "Scaling, standardisation by plate, window and resizing are part of `model.onnx` and `model.pt2`: give raw "
        f"counts.{alone}",
    ]
    if about.masked and view["kind"] == "cell":
        lines.append("Pixels outside of the cell had the value `low` in training: replace them by a label image.")
    if options.field == "joined":
        lines.append(
            "The screen joined these features with those of the whole field (`embed.field: joined`). This model gives "
            "those of a view only."
        )
    return "\n".join(lines)


def _files(encoder: Encoder, differences: Mapping[str, float]) -> str:
    rows = [f"| `{name}` | {value:.1e} |" for name, value in differences.items()]
    timm = (
        " `timm.create_model('local-dir:FOLDER', pretrained=True)` builds the same network."
        if of_timm(encoder.card)
        else ""
    )
    return "\n".join(
        [
            "The forms were compared with the features of the workflow on random counts; differences are shares of the "
            "largest feature.",
            "",
            "| file | difference |",
            "|---|---|",
            *rows,
            "",
            "`model.safetensors` with `config.json` is the network alone, whose input is standardised and resized "
            f"already; `wellspring.Encoder.load(FOLDER)` prepares the input as the workflow does.{timm} "
            "`rdf.yaml` describes the folder for BioImage.IO.",
        ]
    )


def _training(encoder: Encoder, about: About) -> str:
    card = encoder.card
    seen, labels, steps = card.get("trained_on"), card.get("labels"), int(card.get("steps", 0))
    objective = str(card.get("objective", card["kind"]))
    lines = [f"- Objective: {OBJECTIVES.get(objective, objective)}, {steps} steps, seed {card.get('seed', 'unknown')}."]
    if seen:
        shown = ", ".join(seen["plates"][:20]) + (" and others" if len(seen["plates"]) > 20 else "")
        lines.append(
            f"- Data: {len(seen['plates'])} plates of {about.title} ({shown}), {seen['wells']} wells, {seen['items']} "
            f"images of {card['view']['kind']}s."
        )
    lines.append(
        f"- Labels: the treatments of {labels['compounds']} compounds were read; figures below are of other compounds."
        if labels
        else "- Labels: none were read."
    )
    start = card.get("weights")
    lines.append(f"- Start: {'the weights ' + start['name'] if start else 'random weights'}.")
    final = {name: value for name, value in (card.get("final") or {}).items() if isinstance(value, float)}
    if final:
        lines.append("- Last step: " + ", ".join(f"{name} {value:.4g}" for name, value in sorted(final.items())) + ".")
    return "\n".join(lines)


def _licences(card: Mapping[str, Any], about: About) -> str:
    start, module = card.get("weights"), card.get("module")
    lines = [f"- This model: {words(about.license)} ({about.license})."]
    if start:
        lines.append(
            f"- Training started from `{start['name']}` (sha256 {start['sha256']}), whose licence applies as well."
        )
    if module:
        lines.append(f"- The network is built by `{module['factory']}` (sha256 of its source {module['sha256']}).")
    lines.append("- Code: Wellspring is BSD-3-Clause, the backbones of timm are Apache-2.0.")
    return "\n".join(lines)


def _evaluation(summary: pd.DataFrame | None) -> str:
    """Return the main figures of the aligned profiles as a table."""
    if summary is None:
        return "None was given."
    known = summary[(summary["Metadata_Level"] == "aligned") & summary["value"].notna()]
    known = known[[naming.main(name) for name in known["Metadata_Metric"]]]
    known = known.iloc[sorted(range(len(known)), key=lambda row: naming.order(known["Metadata_Metric"].iloc[row]))]
    if known.empty:
        return "The screen's data allow no figure."
    rows = [
        [naming.describe(row.Metadata_Metric)[0], _number(row.value), _range(row.low, row.high), _number(row.chance)]
        for row in known.itertuples()
    ]
    return _table(["aligned profiles", "value", "95 % interval", "without signal"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}"


def _range(low: float, high: float) -> str:
    return "" if pd.isna(low) or pd.isna(high) else f"{low:.3f} to {high:.3f}"


def _network(card: Mapping[str, Any]) -> str:
    return str(card["backbone"] if card.get("module") is None else card["module"]["factory"])


def _meaning(encoder: Encoder, options: Embed) -> str:
    if tokens_of(encoder, options) == "pooled":
        return "the output of the network"
    return (
        f"class token and mean of the patch tokens of the last {options.layers} blocks, each of length 1"
        if options.layers > 1
        else "class token and mean of the patch tokens, each of length 1"
    )


def _pixel_sizes(intensities: pd.DataFrame) -> list[float]:
    if "Metadata_Pixel_Size" not in intensities:
        return []
    return [float(size) for size in intensities["Metadata_Pixel_Size"].dropna()]
