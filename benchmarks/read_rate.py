"""How fast raw images are read, beside bare loops, and how much memory it takes.

Claims: (1) rule `images` runs at 0.8 or more of the rate of a bare loop that reads the same TIFF files by tifffile and
writes them, as they are, as the same store, with the same number of threads; (2) rule `survey` at 0.5 or more of the
rate of a bare loop that reads them and calls NumPy and SciPy once for each measure that the survey lists; (3) the peak
memory of both is flat in the number of images, but for the binned view that the survey keeps of each (16 KB). A lower
ratio, or more memory for ten times the images, refutes it.

The files are uncompressed, so that reading them is as cheap as can be; both sides have them in the page cache, and take
turns in one process. A ratio is the median of the turns'; that of processor time holds beside other jobs too. Beside
the rates, what each measure of the survey costs, alone, next to its library call.

    python benchmarks/read_rate.py [--quick] [--seed 11]
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import tifffile
from scipy import fft

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "workflow" / "lib"), str(REPOSITORY / "benchmarks")]

import plates  # noqa: E402

from wellspring.illumination import lightpath  # noqa: E402
from wellspring.images import run as images  # noqa: E402
from wellspring.io import ngff  # noqa: E402
from wellspring.io.keys import PLANE_KEY  # noqa: E402
from wellspring.screen import sections  # noqa: E402
from wellspring.simulate.traits import CHANNELS  # noqa: E402
from wellspring.survey import focus  # noqa: E402
from wellspring.survey import run as survey  # noqa: E402
from wellspring.views import binning  # noqa: E402

Section = TypeVar("Section")

SIDE = 1080
THREADS = (1, 2)
LAGS = (1, 3, 8)  # as the survey's sharpness takes them
BIN = 17  # px, about those of the survey's view


@dataclass(frozen=True)
class Raw:
    """A plate of TIFF files: their folder, its index, and a light path with a bowl and a camera offset."""

    folder: Path
    index: pd.DataFrame
    light: lightpath.LightPath

    def sites(self) -> dict[tuple[str, str], list[Path]]:
        """Return the files of each site, a channel each, in the store's order."""
        places = self.index[["Metadata_Well", "Metadata_Site"]].drop_duplicates().itertuples(index=False, name=None)
        return {site: [self.folder / _name(*site, channel) for channel in CHANNELS] for site in places}

    def of(self, count: int) -> "Raw":
        """Return the first `count` images."""
        return Raw(self.folder, self.index.iloc[:count], self.light)


def make(folder: Path, pool: list[np.ndarray], count: int) -> Raw:
    """Write `count` images, one channel per file, of fields that are those of `pool` rolled around."""
    folder.mkdir(parents=True, exist_ok=True)
    side, rows = pool[0].shape[-1], []
    for number in range(-(-count // len(CHANNELS))):
        shift = tuple(np.random.default_rng([number]).integers(0, side, 2))
        well, site = plates.place(number)
        field = np.roll(pool[number % len(pool)], shift, axis=(1, 2))
        for channel, pixels in zip(CHANNELS, field, strict=True):
            name = _name(well, site, channel)
            tifffile.imwrite(folder / name, pixels)
            rows.append((plates.PLATE, well, site, channel, "1", name, 0, "trt"))
    columns = [*PLANE_KEY, "Metadata_Path", "Metadata_Page", "Metadata_pert_type"]
    index = pd.DataFrame(rows, columns=columns).sort_values(PLANE_KEY, ignore_index=True)
    y, x = np.meshgrid(*[np.linspace(-1, 1, side, dtype=np.float32)] * 2, indexing="ij")
    flat = np.stack([1.1 - 0.15 * (y**2 + x**2)] * len(CHANNELS))
    nothing = np.zeros(len(CHANNELS))
    dark = np.full_like(flat, 100)
    return Raw(folder, index, lightpath.LightPath(list(CHANNELS), flat, dark, "given", nothing))


def _name(well: str, site: str, channel: str) -> str:
    return f"{well}_{site}_{channel}.tif"


@cache
def options(section: type[Section]) -> Section:
    """Return a section of the config with its defaults."""
    settings = plates.settings({"one": {"kind": "simclr"}})
    return sections.read(section, settings[section.__name__.lower()])


def correct(raw: Raw, out: Path, *, threads: int) -> None:
    """Do what rule `images` does, on plates none of whose images the survey excludes."""
    surveyed = raw.index.assign(Metadata_Verdict="keep", Metadata_Pixel_Size=np.nan)
    images.write(
        out,
        index=raw.index,
        surveyed=surveyed,
        light=raw.light,
        folder=raw.folder,
        plate=plates.PLATE,
        channels=list(CHANNELS),
        options=options(sections.Images),
        threads=threads,
    )


def copy(raw: Raw, out: Path, *, threads: int) -> None:
    """Read the files and write the store, and nothing else."""
    with (
        ngff.PlateWriter(out, plate=plates.PLATE, channels=list(CHANNELS)) as writer,
        ThreadPoolExecutor(threads) as pool,
    ):

        def one(site: tuple[tuple[str, str], list[Path]]) -> None:
            writer.write(*site[0], np.stack([tifffile.imread(path) for path in site[1]]))

        list(pool.map(one, raw.sites().items()))


def look(raw: Raw, *, threads: int) -> survey.Survey:
    """Do what rule `survey` does."""
    return survey.run(raw.index, raw.folder, options=options(sections.Survey), threads=threads)


def call(raw: Raw, *, threads: int) -> list[list[object]]:
    """Read the files and call a library for each measure, and nothing else."""
    with ThreadPoolExecutor(threads) as pool:

        def one(path: str) -> list[object]:
            pixels = tifffile.imread(raw.folder / path)
            return [measure(pixels) for measure in LIBRARY.values()]

        return list(pool.map(one, raw.index["Metadata_Path"]))


def histogram(pixels: np.ndarray) -> np.ndarray:
    """Quantiles by the counts of the grey values."""
    cumulated = np.cumsum(np.bincount(pixels.ravel(), minlength=2**16))
    return np.searchsorted(cumulated, np.array(focus.QUANTILES) * pixels.size)


def saturated(pixels: np.ndarray) -> float:
    """Share of the pixels at the largest value."""
    return np.count_nonzero(pixels == np.iinfo(pixels.dtype).max) / pixels.size


def slope(pixels: np.ndarray) -> float:
    """Slope of the power spectrum of the whole field over rings of frequencies."""
    power = np.abs(fft.rfft2(pixels.astype(np.float32))) ** 2
    ring, count, used = _rings(*pixels.shape)
    profile = np.bincount(ring, power.ravel())[used] / count[used]
    return float(np.polyfit(np.log(used), np.log(profile), 1)[0])


def differences(pixels: np.ndarray) -> list[float]:
    """Mean squared differences of pixels some way apart, along rows and columns."""
    level = pixels.astype(np.float32)
    pairs = [(level[lag:], level[:-lag], level[:, lag:], level[:, :-lag]) for lag in LAGS]
    return [np.mean((a - b) ** 2) + np.mean((c - d) ** 2) for a, b, c, d in pairs]


def binned(pixels: np.ndarray) -> np.ndarray:
    """Means of square bins that tile the field but for its rim."""
    height, width = (edge // BIN for edge in pixels.shape)
    return pixels[: height * BIN, : width * BIN].reshape(height, BIN, width, BIN).mean(axis=(1, 3), dtype=np.float32)


LIBRARY: dict[str, Callable[[np.ndarray], object]] = {
    "quantiles": histogram,
    "mean": np.mean,
    "saturated": saturated,
    "focus": slope,
    "sharpness": differences,
    "view": binned,
}
OURS: dict[str, Callable[[np.ndarray], object]] = {
    "focus": focus.focus,
    "sharpness": focus.sharpness,
    "view": lambda pixels: binning.bin_area(pixels, binning.shape_of(*pixels.shape)),
}


@cache
def _rings(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ring of each frequency of a field, how many frequencies each has, and those below Nyquist's."""
    edge = min(height, width)
    ring = np.rint(np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None, :]) * edge).astype(int).ravel()
    return ring, np.bincount(ring), np.arange(2, edge // 2 + 1)


def rates(raw: Raw, folder: Path, *, repeats: int) -> dict[str, dict[str, float]]:
    """Compare both stages with 1 and 2 threads."""
    rows, count = {}, len(raw.index)
    for threads in THREADS:
        rows[f"images_{count}.threads_{threads}"] = plates.compare(
            lambda threads=threads: correct(raw, folder / "ours.zarr", threads=threads),
            lambda threads=threads: copy(raw, folder / "bare.zarr", threads=threads),
            count=count,
            repeats=repeats,
            of="images",
        )
        rows[f"survey_{count}.threads_{threads}"] = plates.compare(
            lambda threads=threads: look(raw, threads=threads),
            lambda threads=threads: call(raw, threads=threads),
            count=count,
            repeats=repeats,
            of="images",
        )
    return rows


def costs(raw: Raw, *, repeats: int) -> dict[str, dict[str, float]]:
    """Return the processor milliseconds per image of each measure, ours and the library's: medians over images.

    ``all`` is what both do with an image that is read; ours takes quantiles, mean and saturation from one histogram.
    """
    rows: dict[str, dict[str, float]] = {}
    paths = [raw.folder / path for path in raw.index["Metadata_Path"][:repeats]]
    stack = [tifffile.imread(path) for path in paths]
    for side, measures in (("ours", OURS), ("library", LIBRARY)):
        for name, measure in measures.items():
            rows.setdefault(name, {})[f"{side}_ms"] = _milliseconds(measure, stack)
    view = OURS["view"]
    rows["all"] = {"ours_ms": _milliseconds(lambda pixels: (focus.measure(pixels), view(pixels)), stack)}
    rows["all"]["library_ms"] = sum(rows[name]["library_ms"] for name in LIBRARY)
    rows["reading"] = {"library_ms": _milliseconds(tifffile.imread, paths)}
    return rows


def _milliseconds(call: Callable[[object], object], items: list) -> float:
    call(items[0])
    found = []
    for item in items:
        start = time.process_time()
        call(item)
        found.append(time.process_time() - start)
    return 1e3 * float(np.median(found))


def memory(raw: Raw, folder: Path) -> dict[str, float]:
    """Run both stages, each in a process of its own; return the peak of its memory."""
    found: dict[str, float] = {"images": len(raw.index)}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for stage in ("images", "survey"):
            found[f"{stage}_peak_mb"] = pool.apply(peak, (raw, folder / "peak.zarr", stage))
    return found


def peak(raw: Raw, out: Path, stage: str) -> float:
    """Run a stage in this process with two threads; return the peak of its memory in MB."""
    if stage == "images":
        correct(raw, out, threads=2)
    else:
        look(raw, threads=2)
    return plates.memory()


def main() -> None:
    """Print a row per stage, number of images and of threads, and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer images and turns")
    parser.add_argument("--seed", type=int, default=11)
    arguments = parser.parse_args()
    few, many, repeats = (50, 200, (5, 3)) if arguments.quick else (100, 1000, (7, 2))
    before = plates.load()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        raw = make(folder / "raw", plates.drawn(SIDE, seed=arguments.seed), many)
        cost = costs(raw, repeats=20)
        rows = rates(raw.of(few), folder, repeats=repeats[0]) | rates(raw, folder, repeats=repeats[1])
        held = {"few": memory(raw.of(few), folder), "many": memory(raw, folder)}
    print(pd.DataFrame(rows).T.round(3).to_string())
    print(pd.DataFrame(cost).T.round(2).to_string())
    print(pd.DataFrame(held).T.round(0).to_string())
    print(f"{before}, at the end {plates.load()}")
    figures = {f"{name}.{key}": round(value, 4) for name, row in rows.items() for key, value in row.items()}
    figures |= {f"cost.{name}.{key}": round(value, 3) for name, row in cost.items() for key, value in row.items()}
    figures |= {f"memory.{name}.{key}": round(value, 1) for name, row in held.items() for key, value in row.items()}
    for stage in ("images", "survey"):
        key = f"{stage}_peak_mb"
        figures[f"memory.{stage}_peak_ratio"] = round(held["many"][key] / held["few"][key], 4)
    print(json.dumps({"benchmark": "read_rate", "quick": arguments.quick, "seed": arguments.seed} | figures))


if __name__ == "__main__":
    main()
