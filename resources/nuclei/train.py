"""Train the network of `cells.method: network` on outlined nuclei, and write its weights.

The weights that come with the workflow are those of the 2018 Data Science Bowl (BBBC038, CC0; fluorescence, with
corrected masks), of 210 of the 270 images in the seeded half `tune` of benchmarks/segmentation.py. The other 60 are for
choosing settings, and the other half is for evaluation alone.

Every step draws squares of 160 px of 12 images, each image as often as any other. An image is scaled so that its median
nucleus has 0.6 to 1.35 times the diameter that the network is for, since the diameter is estimated when it is used.
Besides turns and flips, the brightness of each nucleus changes, some become 3 to 12 times as bright, as dead cells are,
and haze, blur, other contrast and noise are added; 0.03 of the squares are noise without nuclei.

    python resources/nuclei/train.py --data FOLDER --out 1.npz --steps 900
    python resources/nuclei/train.py --data FOLDER --out 2.npz --steps 850 --start 1.npz --seed 1 --lr 0.002
    python resources/nuclei/train.py --data FOLDER --out 3.npz --steps 1200 --start 2.npz --seed 2 --lr 0.002
    python resources/nuclei/train.py --data FOLDER --out nuclei.npz --steps 800 --start 3.npz --seed 3 --lr 0.001

FOLDER has `index.csv` with the column `id`, `images/ID.png` (8 or 16 bit) and `labels/ID.png` (numbers of nuclei).
The four commands made the weights; each takes 15 to 30 minutes of one core.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.io import imread
from skimage.transform import resize
from torch.nn import functional as F

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "workflow" / "lib"))

from wellspring.cells.network import DIAMETER, Network, load, save, seen  # noqa: E402

SQUARE, BATCH, MARGIN = 160, 12, 16  # px, images, px
DECAY = 1e-3
DEPTH = 6.0  # weight of the depth's squared error beside the cross-entropy of the inside
UNSEEN = 60  # images


@dataclass(frozen=True)
class Outlined:
    """A DNA image (H, W), its nuclei as labels (H, W), and the median diameter of these, px."""

    image: NDArray[np.number]
    labels: NDArray[np.int32]
    diameter: float


def read(folder: Path, name: str) -> Outlined:
    """Return an image of the folder."""
    image, labels = (imread(folder / kind / f"{name}.png") for kind in ("images", "labels"))
    image = image if image.ndim == 2 else image[..., :3].max(axis=-1)  # noqa: PLR2004
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return Outlined(
        image, labels.astype(np.int32), float(np.median(2 * np.sqrt(areas / np.pi))) if len(areas) else 20.0
    )


def tuning(folder: Path) -> tuple[list[str], np.random.Generator]:
    """Return the names of the images to train on, and the generator that chose them."""
    names = sorted(pd.read_csv(folder / "index.csv")["id"])
    half = sorted(np.random.default_rng(0).permutation(len(names))[: len(names) // 2])
    rng = np.random.default_rng(0)
    return [names[half[number]] for number in rng.permutation(len(half))[UNSEEN:]], rng


def drawn(outlined: Outlined, rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
    """Return what the network sees (3, S, S), what it is to predict (2, S, S), and which pixels count (S, S)."""
    image, labels = _piece(outlined, rng)
    image, labels = _disturbed(image, labels, rng)
    views = seen(image)
    top, left = (rng.integers(max(edge - SQUARE, 0) + 1) for edge in image.shape)
    views, labels = views[:, top : top + SQUARE, left : left + SQUARE], labels[top : top + SQUARE, left : left + SQUARE]
    given = np.zeros((len(views), SQUARE, SQUARE), np.float32)
    wanted, counted = np.zeros((2, SQUARE, SQUARE), np.float32), np.zeros((SQUARE, SQUARE), np.float32)
    height, width = labels.shape
    given[:, :height, :width] = views
    wanted[:, :height, :width] = labels > 0, depth(labels)
    counted[:height, :width] = 1
    return given, wanted, counted


def depth(labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the distance of each pixel to the outline of its nucleus, as a share of the largest one in it."""
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        differs = np.diff(labels, axis=axis) != 0
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        edge[tuple(before)] |= differs
        edge[tuple(after)] |= differs
    distance = ndimage.distance_transform_edt(~edge & (labels > 0))
    if not labels.any():
        return np.zeros(labels.shape)
    largest = np.maximum(ndimage.maximum(distance, labels, np.arange(labels.max() + 1)), 1e-6)
    return np.where(labels > 0, distance / largest[labels], 0)


def _piece(outlined: Outlined, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return a piece of an image, turned and scaled, and its labels."""
    scale = DIAMETER * np.exp(rng.uniform(np.log(0.6), np.log(1.35))) / outlined.diameter
    edge = int(np.ceil((SQUARE + MARGIN) / scale))
    image, labels = outlined.image, outlined.labels
    if rng.random() < 0.5:
        image, labels = image[::-1], labels[::-1]
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    if rng.random() < 0.5:
        image, labels = image.T, labels.T
    top, left = (rng.integers(max(side - edge, 0) + 1) for side in image.shape)
    image, labels = image[top : top + edge, left : left + edge], labels[top : top + edge, left : left + edge]
    shape = [max(8, round(side * scale)) for side in image.shape]
    rows, columns = (
        np.minimum((np.arange(new) + 0.5) / scale, old - 1).astype(int)
        for new, old in zip(shape, labels.shape, strict=True)
    )
    scaled = resize(image.astype(np.float32), shape, order=1, anti_aliasing=scale < 1, preserve_range=True)
    return scaled.astype(np.float32), labels[rows][:, columns]


def _disturbed(
    image: NDArray[np.float32], labels: NDArray[np.int32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return an image with what real ones have: bright bodies, haze, blur, other contrast, noise, or nothing at all."""
    ground = np.median(image[labels == 0]) if (labels == 0).any() else image.min()
    height = max(np.median(image[labels > 0]) - ground if labels.any() else 10.0, 1.0)
    numbers = np.unique(labels[labels > 0])

    def brighter(gains: NDArray[np.float64], chosen: NDArray[np.int32]) -> NDArray[np.float32]:
        gain = np.ones(labels.max() + 1, np.float32)
        gain[chosen] = gains
        return ground + (image - ground) * ndimage.gaussian_filter(gain[labels], 0.7)

    if rng.random() < 0.3 and len(numbers) > 3:
        count = rng.integers(1, max(2, int(0.2 * len(numbers)) + 1))
        gain = np.exp(rng.uniform(np.log(3), np.log(12)))
        image = brighter(gain, rng.choice(numbers, count, replace=False))
    if rng.random() < 0.3:
        image = brighter(np.exp(rng.normal(0, 0.4, len(numbers))), numbers)
    if rng.random() < 0.3:
        haze = rng.standard_normal(image.shape)
        haze = ndimage.gaussian_filter(haze, DIAMETER * rng.uniform(1, 5), mode="wrap")
        haze = (haze - haze.min()) / (np.ptp(haze) + 1e-9)
        image = image + height * rng.uniform(0.2, 2.0) * haze.astype(np.float32)
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.5))
    if rng.random() < 0.3:
        relative = (image - ground) / height
        image = ground + height * np.sign(relative) * np.abs(relative) ** np.exp(rng.uniform(-0.4, 0.4))
    if rng.random() < 0.5:
        spread = height * np.exp(rng.uniform(np.log(0.005), np.log(0.15)))
        image = image + rng.normal(0, spread, image.shape).astype(np.float32)
    if rng.random() < 0.03:
        return rng.normal(100, 5, image.shape).astype(np.float32), np.zeros_like(labels)
    return image.astype(np.float32), labels


def train(network: Network, images: list[Outlined], *, steps: int, lr: float, rng: np.random.Generator) -> Network:
    """Train a network for so many steps and return it; prints the mean loss of 25 at a time."""
    network = network.train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.15)
    losses, start = [], time.perf_counter()
    for step in range(1, steps + 1):
        batch = [drawn(images[rng.integers(len(images))], rng) for _ in range(BATCH)]
        given, wanted, counted = (torch.from_numpy(np.stack(part)) for part in zip(*batch, strict=True))
        found = network(given.contiguous(memory_format=torch.channels_last))
        inside = F.binary_cross_entropy_with_logits(found[:, 0], wanted[:, 0], reduction="none")
        error = inside + DEPTH * (torch.sigmoid(found[:, 1]) - wanted[:, 1]) ** 2
        loss = (error * counted).sum() / counted.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if step % 25 == 0:
            print(f"step {step} loss {np.mean(losses[-25:]):.4f} {time.perf_counter() - start:.0f} s", flush=True)
    return network


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the outlined images")
    parser.add_argument("--out", type=Path, required=True, help="the file of the weights")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--start", type=Path, help="weights to start from")
    parser.add_argument("--lr", type=float, default=3e-3, help="the largest learning rate")
    parser.add_argument("--seed", type=int, default=0, help="of weights and images; 0 continues the choice of images")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    names, rng = tuning(arguments.data)
    rng = np.random.default_rng(arguments.seed) if arguments.seed else rng
    images = [read(arguments.data, name) for name in names]
    network = load(arguments.start) if arguments.start else Network()
    save(train(network, images, steps=arguments.steps, lr=arguments.lr, rng=rng), arguments.out)


if __name__ == "__main__":
    main()
