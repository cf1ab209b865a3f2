"""Draw the pictures of docs/augmentations.md, and its tables, from the simulator and the code that trains.

    python docs/make_augmentations.py

Each picture is a strip: the cells as they are, then what an augmentation makes of them. Seeds are fixed, so a second
run draws the same. The page's tables stand between markers and are replaced; its words are left alone.
"""

import dataclasses
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "lib"))

from wellspring.simulate import cells, optics  # noqa: E402
from wellspring.simulate.screen import read_screen, stream  # noqa: E402
from wellspring.simulate.traits import CHANNELS, draw_traits  # noqa: E402
from wellspring.train import augment, colour, geometry, masks, noise  # noqa: E402
from wellspring.views import intensity  # noqa: E402
from wellspring.views.scaling import standardise  # noqa: E402

PAGE = REPOSITORY / "docs" / "augmentations.md"
PICTURES = REPOSITORY / "docs" / "augmentations"
SEED = 3
TILE = 132  # edge of a tile, px
GAP, LABEL = 4, 17
BYTES = 60_000  # largest picture; a larger one is reduced to a palette
# Colours of the channels that are shown; the others are augmented too, and left out so that cells stay readable.
SHOWN = {"DNA": (0.15, 0.35, 1.0), "ER": (0.1, 0.75, 0.25), "Mito": (1.0, 0.25, 0.1)}
BRIGHTEN = 0.7  # power of the scaled pixels on the page, so that dim parts of a cell are seen
Strip = list[tuple[str, Tensor]]


def field() -> tuple[Tensor, Tensor, Tensor]:
    """Simulate a field: scaled pixels (1, C, H, W) in [0, 1], their mean and deviation (1, C)."""
    screen = dataclasses.replace(read_screen(REPOSITORY / "resources" / "demo" / "screen.yaml"), faults=())
    plate, (_, line) = next(iter(screen.plates.items()))
    light = optics.plate_optics(screen, plate, seed=SEED)
    rng = stream(SEED, 1, 0)
    centres = cells.place_cells(rng, field=screen.field, density=line.density)
    traits = draw_traits({}, rng, count=len(centres), size=line.size, jitter=screen.cell_jitter)
    bank = cells.texture_bank(stream(SEED, 0))
    stain = cells.draw_field(centres, traits, bank, rng, field=screen.field, stain_jitter=screen.stain_jitter)
    state = optics.well_state(screen, plate, "B03", light, seed=SEED)
    planes = optics.expose(stain, light, state, rng, nuisance=screen.nuisance)
    scales = intensity.summarise(intensity.counts(planes), plate=plate, channels=list(CHANNELS), fields=1)
    scaled = intensity.scale(planes, scales["low"].to_numpy(), scales["high"].to_numpy())
    mean, std = (torch.from_numpy(scales[name].to_numpy(np.float32))[None] for name in ("mean", "std"))
    return torch.from_numpy(scaled)[None], mean, std


def drawn(seed: int) -> torch.Generator:
    """Return a random state."""
    return torch.Generator().manual_seed(seed)


def view_of(images: Tensor, frame: Tensor | None = None, *, size: int = TILE, **how: object) -> Tensor:
    """Cut one view, by `frames` and what it takes, or by a map of coordinates."""
    if frame is None:
        generator = drawn(int(how.pop("seed", 0)))
        frame = geometry.frames(1, side=images.shape[-1], size=size, generator=generator, **how)
    return geometry.sample(images, frame, size=size)


def strips() -> Iterator[tuple[str, Strip]]:
    """Yield the name of each picture and its tiles: a label and (1, C, TILE, TILE) scaled pixels."""
    whole, mean, std = field()
    wide = whole[..., 20:284, 20:284].contiguous()
    few = wide[..., 66:198, 66:198].contiguous()  # some cells at native resolution
    far = torch.nn.functional.interpolate(wide, size=TILE, mode="area")

    tiles = [("view of 264 px", far)]
    tiles += [("global, 0.4-1", view_of(wide, crop="resized", scale=(0.4, 1.0), seed=seed)) for seed in (7, 2)]
    tiles += [("local, 0.05-0.4", view_of(wide, crop="resized", scale=(0.05, 0.4), seed=seed)) for seed in (4, 9)]
    tiles += [("native", view_of(wide, crop="native", seed=5))]
    yield "crop", tiles

    turns = [("right, flip", {"rotate": "right", "flip": True, "seed": seed}) for seed in (2, 3)]
    turns += [("free", {"rotate": "free", "flip": True, "seed": seed}) for seed in (4, 5)]
    turns += [("zoom, shift", {"rotate": "free", "zoom": 1.3, "shift": 8.0, "seed": 6})]
    yield "turn", [("as it is", few)] + [(label, view_of(wide, crop="centred", **how)) for label, how in turns]

    lined = few.clone()
    for cut in (lined[..., 10::16, :], lined[..., 10::16]):  # a grid, without which a bend of round cells is not seen
        cut.clamp_(min=0.2)
    bends = {
        amplitude: [
            geometry.elastic(1, size=TILE, amplitude=amplitude, sigma=10.0, probability=1.0, generator=drawn(seed))
            for seed in range(20)
        ]
        for amplitude in (2.0, 4.0, 6.0, 9.0, 12.0)
    }
    straight = torch.eye(2, 3)[None]
    tiles = [("as it is, lined", lined)] + [
        (f"{amplitude:g} px", geometry.sample(lined, straight, size=TILE, displacement=_strongest(drawings)))
        for amplitude, drawings in bends.items()
    ]
    yield "elastic", tiles

    shifted = [(f"shift 0.3, draw {seed}", colour.shift(few, 0.3, drawn(seed))) for seed in (1, 2)]
    powered = [(f"gamma, draw {seed}", colour.gamma(few, (0.5, 1.5), drawn(seed))) for seed in (3, 4)]
    both = [("both", colour.gamma(colour.shift(few, 0.3, drawn(5)), (0.5, 1.5), drawn(6)))]
    yield "shift_gamma", [("as it is", few), *shifted, *powered, *both]

    tiles = [(f"jitter 0.2, draw {seed}", colour.jitter(few, 0.2, drawn(seed))) for seed in (1, 2)]
    tiles += [(f"jitter 0.8, draw {seed}", colour.jitter(few, 0.8, drawn(seed))) for seed in (3, 4)]
    tiles += [("contrast 0.2", colour.contrast(few, 0.2, drawn(5)))]
    yield "contrast", [("as it is", few), *tiles]

    yield (
        "drop",
        [("as it is", few)] + [(_lost(few, seed), colour.drop(few, 0.2, drawn(seed))) for seed in (1, 5, 11, 3, 13)],
    )

    sharp = [(f"sigma {sigma:g} px", noise.defocus(few, (sigma, sigma), drawn(0))) for sigma in (0.5, 1.0, 1.5, 2.0)]
    yield "defocus", [("as it is", few), *sharp]

    small = few[..., 33:99, 33:99]
    tiles = [(f"{photons} photons", noise.shot(small, (photons, photons), drawn(1))) for photons in (2000, 300, 50)]
    tiles += [
        (f"read {read:g}", _strongest([small, *(noise.read(small, read, drawn(seed)) for seed in range(20))], small))
        for read in (0.02, 0.05)
    ]
    yield "noise", [("as it is, twice", small), *tiles]

    tiles = [
        (f"vignette {share:g}", _strongest([noise.vignette(far, share, drawn(seed)) for seed in range(20)], far))
        for share in (0.1, 0.3, 0.6)
    ]
    tiles += [(f"offset {amount:g}", noise.offset(far, amount, drawn(5))) for amount in (0.03, 0.15)]
    yield "vignette_offset", [("as it is", far), *tiles]

    standard = standardise(few, mean, std)

    def back(pixels: Tensor) -> Tensor:
        return pixels * std[:, :, None, None] + mean[:, :, None, None]

    tiles = [(f"gain 0.4, draw {seed}", back(colour.gain(standard, 0.4, drawn(seed)))) for seed in (1, 2)]
    tiles += [(f"bias 0.3, draw {seed}", back(colour.bias(standard, 0.3, drawn(seed)))) for seed in (3, 4)]
    tiles += [("grain 0.3", back(_strongest([noise.read(standard, 0.3, drawn(seed)) for seed in range(20)], standard)))]
    yield "gain_bias_grain", [("as it is", few), *tiles]

    tiles = [("as it is", few[..., :128, :128])]
    for share in (0.1, 0.2, 0.3, 0.4, 0.5):
        hidden = masks.blocks((16, 16), round(share * 256), rng=np.random.default_rng(SEED))
        grey = torch.from_numpy(np.kron(hidden, np.ones((8, 8), dtype=bool)))
        tiles.append((f"{share:.0%} masked", few[..., :128, :128].masked_fill(grey, 0.45)))
    yield "mask", tiles

    for name, recipe in augment.PRESETS.items():
        source = wide if recipe.crop == "resized" else wide[..., 66:198, 66:198]
        shown = far if recipe.crop == "resized" else source
        tiles = [
            (f"draw {seed}", back(augment.view(source, recipe, drawn(seed), size=TILE, mean=mean, std=std)))
            for seed in (1, 2, 3, 4, 5)
        ]
        yield f"preset_{name}", [("as it is", shown), *tiles]


def _lost(pixels: Tensor, seed: int) -> str:
    """Return a label: the channels that a drawing drops."""
    kept = colour.drop(torch.ones_like(pixels), 0.2, drawn(seed))[0, :, 0, 0]
    return "no " + ", ".join(name for name, value in zip(CHANNELS, kept, strict=True) if not value)


def _strongest(drawings: list[Tensor], start: Tensor | float = 0.0) -> Tensor:
    """Return the drawing that is furthest from its start: strengths are drawn, and the largest shows best."""
    return max(drawings, key=lambda each: float((each - start).square().mean()))


def composite(pixels: Tensor) -> np.ndarray:
    """Return (H, W, 3) uint8 of scaled pixels (1, C, H, W): the shown channels' colours, added."""
    picture = np.zeros((*pixels.shape[2:], 3))
    for name, tint in SHOWN.items():
        plane = pixels[0, CHANNELS.index(name)].clamp(0, 1).numpy() ** BRIGHTEN
        picture += plane[..., None] * np.array(tint)
    return (255 * np.clip(picture, 0, 1) + 0.5).astype(np.uint8)


def montage(tiles: Strip) -> Image.Image:
    """Join tiles to a strip on white, each with its label above it; small ones are enlarged by whole pixels."""
    font = ImageFont.load_default(size=12)
    sheet = Image.new("RGB", (len(tiles) * (TILE + GAP) - GAP, TILE + LABEL), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (label, pixels) in enumerate(tiles):
        picture = Image.fromarray(composite(pixels))
        times = TILE // max(picture.size)
        picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
        left = number * (TILE + GAP)
        pen.text((left + 1, 1), label, fill="black", font=font)
        sheet.paste(picture, (left, LABEL))
    return sheet


def png(sheet: Image.Image) -> bytes:
    """Return a picture as PNG, with as many colours as its size allows."""
    for colours in (None, 256, 192, 128, 96, 64):
        shown = sheet if colours is None else sheet.quantize(colours, kmeans=1, dither=Image.Dither.NONE)
        shown.save(held := io.BytesIO(), format="PNG", optimize=True)
        if len(held.getvalue()) <= BYTES:
            break
    return held.getvalue()


def tables() -> dict[str, str]:
    """Return the page's tables by the name of their marker."""
    names = [each.name for each in dataclasses.fields(augment.Recipe)]
    lines = [f"| strength | off | {' | '.join(f'`{name}`' for name in augment.PRESETS)} |"]
    lines += ["|---" * (2 + len(augment.PRESETS)) + "|"]
    for name in names:
        off = getattr(augment.Recipe(), name)
        values = [getattr(recipe, name) for recipe in augment.PRESETS.values()]
        shown = ["·" if value == off else _said(value) for value in values]
        lines.append(f"| `{name}` | {_said(off)} | {' | '.join(shown)} |")
    return {"presets": "\n".join(lines)}


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "–".join(_said(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def filled(page: str) -> str:
    """Return the page with its tables in place of the text between their markers."""
    for name, table in tables().items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        page, found = re.subn(pattern, lambda hit, table=table: f"{hit[1]}{table}\n{hit[2]}", page, flags=re.S)
        if found != 1:
            raise ValueError(f"{PAGE.name}: expected the markers of {name} once, found them {found} times")
    return page


def main() -> None:
    """Write the pictures and fill in the tables."""
    torch.use_deterministic_algorithms(True)
    PICTURES.mkdir(exist_ok=True)
    for name, tiles in strips():
        (PICTURES / f"{name}.png").write_bytes(png(montage(tiles)))
    PAGE.write_text(filled(PAGE.read_text()))


if __name__ == "__main__":
    main()
