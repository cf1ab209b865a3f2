"""Plates of a real size for the benchmarks: write into a folder the files that a stage reads.

Six fields of the demo screen's cells are drawn at full size; every further field is one of them, rolled around, so that
pixels compress as real ones do (random numbers would not) and a hundred fields are made in seconds.
"""

import dataclasses
import gc
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import yaml
from numpy.lib.format import open_memmap

from wellspring.io import ngff, tables
from wellspring.screen import config as configuration
from wellspring.screen.sections import Encoder, Train, read
from wellspring.simulate import cells, optics
from wellspring.simulate.screen import read_screen, stream
from wellspring.simulate.traits import CHANNELS, draw_traits
from wellspring.views import cutting, intensity

if TYPE_CHECKING:
    import torch

REPOSITORY = Path(__file__).resolve().parents[1]
PLATE, SITES, COLUMNS = "P1", 2, 12
DRAWN = 6  # fields that are drawn; the others are rolled ones


def settings(encoders: Mapping[str, Mapping]) -> dict:
    """Return the shipped config with `encoders`, one at least, in place of its own, every default filled in.

    Crops are large enough for views of 224 px, the default.
    """
    shipped = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
    own = {"encoders": {name: dict(entry) for name, entry in encoders.items()}, "crops": {"size": 256}}
    return configuration.resolve(shipped | own)


def drawn(side: int, *, seed: int = 0, count: int = DRAWN) -> list[np.ndarray]:
    """Draw fields (C, side, side) uint16 of the demo screen's first plate, untreated."""
    screen = dataclasses.replace(read_screen(REPOSITORY / "resources" / "demo" / "screen.yaml"), field=side, faults=())
    plate, (_, line) = next(iter(screen.plates.items()))
    light = optics.plate_optics(screen, plate, seed=seed)
    bank = cells.texture_bank(stream(seed, 0))
    fields = []
    for well in screen.wells[:count]:
        rng = stream(seed, 1, screen.wells.index(well))
        centres = cells.place_cells(rng, field=side, density=line.density)
        traits = draw_traits({}, rng, count=len(centres), size=line.size, jitter=screen.cell_jitter)
        stain = cells.draw_field(centres, traits, bank, rng, field=side, stain_jitter=screen.stain_jitter)
        state = optics.well_state(screen, plate, well, light, seed=seed)
        fields.append(optics.expose(stain, light, state, rng, nuisance=screen.nuisance))
    return fields


def fields(folder: Path, pool: list[np.ndarray], count: int) -> dict[str, list[Path]]:
    """Write a plate of `count` fields, two a well, and its intensity table; return the paths by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    images, side = folder / f"{PLATE}.zarr", pool[0].shape[-1]
    counts = np.zeros((len(CHANNELS), intensity.LEVELS), dtype=np.int64)
    with ngff.PlateWriter(images, plate=PLATE, channels=list(CHANNELS)) as writer:
        for number in range(count):
            shift = tuple(np.random.default_rng([number]).integers(0, side, 2))
            field = np.roll(pool[number % len(pool)], shift, axis=(1, 2))
            counts += intensity.counts(field)
            writer.write(*place(number), field)
    return {"images": [images], "intensity": [_scale(folder, counts, count)]}


def crops(folder: Path, pool: list[np.ndarray], count: int, *, size: int) -> dict[str, list[Path]]:
    """Write `count` packed crops of `size` px, eight per field, and their tables; return the paths by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    side, each = pool[0].shape[-1], 8
    array = open_memmap(folder / f"{PLATE}.npy", mode="w+", dtype=np.uint16, shape=(count, len(CHANNELS), size, size))
    for start in range(0, count, 1024):
        rng, stop = np.random.default_rng([start]), min(start + 1024, count)
        centres = rng.uniform(0, side - 1, (stop - start, 2))
        array[start:stop] = cutting.cut(pool[start // 1024 % len(pool)], centres, size)
    array.flush()
    del array
    counts = sum(intensity.counts(field) for field in pool)
    places = [place(number // each) for number in range(count)]
    rows = pd.DataFrame(places, columns=["Metadata_Well", "Metadata_Site"])
    rows = rows.assign(Metadata_Plate=PLATE, Metadata_Cell=np.arange(count) % each + 1, Metadata_Row=np.arange(count))
    rows = rows.assign(Metadata_Center_Y=0.0, Metadata_Center_X=0.0, Metadata_Batch="1")
    table = folder / f"{PLATE}.crops.parquet"
    tables.write(rows, table, table="crops", provenance={})
    scale = _scale(folder, counts, len(pool))
    return {"crops": [folder / f"{PLATE}.npy"], "crop_tables": [table], "intensity": [scale]}


def source(entry: Mapping, paths: Mapping[str, list[Path]], *, options: Mapping[str, object]):
    """Open the training set of an encoder as rule train does."""
    from wellspring.train.data import open_source  # torch, which benchmarks of memory without networks do without

    encoder, train = read(Encoder, entry), read(Train, options)
    return open_source(encoder.view, train, channels=list(CHANNELS), **paths)


def load() -> str:
    """Return the machine's load average over 1, 5 and 15 minutes, and the number of its cores that may be used."""
    averages = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"load average {averages} on {len(os.sched_getaffinity(0))} cores"


def turns(ours: Callable[[], object], bare: Callable[[], object], *, repeats: int) -> dict[str, np.ndarray]:
    """Let both sides take turns after one of each that is not counted: seconds and processor seconds of each turn."""
    sides = {"ours": ours, "bare": bare}
    found: dict[str, list[float]] = {f"{kind}_{name}": [] for name in sides for kind in ("seconds", "processor")}
    for turn in range(repeats + 1):
        for name in sides if turn % 2 else reversed(sides):
            gc.collect()
            start, used = time.perf_counter(), time.process_time()
            sides[name]()
            found[f"seconds_{name}"].append(time.perf_counter() - start)
            found[f"processor_{name}"].append(time.process_time() - used)
    return {name: np.array(values[1:]) for name, values in found.items()}


def compare(
    ours: Callable[[], object], bare: Callable[[], object], *, count: int, repeats: int, of: str
) -> dict[str, float]:
    """Time both in turns over `count` things, called `of` in the result: rates, the median ratio and its extremes."""
    found = turns(ours, bare, repeats=repeats)
    return {
        of: count,
        f"{of}_a_second": count / float(np.median(found["seconds_ours"])),
        f"{of}_a_second_bare": count / float(np.median(found["seconds_bare"])),
        **ratios(found["seconds_bare"], found["seconds_ours"]),
        "processor_ratio": float(np.median(found["processor_bare"] / found["processor_ours"])),
        "processor_ms_each": 1e3 * float(np.median(found["processor_ours"])) / count,
        "repeats": repeats,
    }


def ratios(bare: np.ndarray, ours: np.ndarray) -> dict[str, float]:
    """Return median, least and most of our rate over the bare one, from the seconds of paired repeats."""
    found = bare / ours
    return {"ratio": float(np.median(found)), "ratio_least": float(found.min()), "ratio_most": float(found.max())}


def memory(figure: str = "VmHWM") -> float:
    """Return a figure of this process's memory in MB: VmHWM, its largest resident memory; VmRSS, RssAnon.

    The kernel's own status, since `resource.getrusage` has the peak of the process that started this one too.
    """
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{figure}:"):
            return int(line.split()[1]) / 1e3
    raise KeyError(figure)


def device_name(device: "torch.device") -> str:
    """Return what a device calls itself."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else "CPU"


def place(number: int) -> tuple[str, str]:
    """Return well and site of a field; rows go A to Z, then AA on."""
    well, site = divmod(number, SITES)
    row, column = divmod(well, COLUMNS)
    letters = chr(ord("A") + row % 26) if row < 26 else "A" + chr(ord("A") + row % 26)
    return f"{letters}{column + 1:02d}", str(site + 1)


def _scale(folder: Path, counts: np.ndarray, fields: int) -> Path:
    frame = intensity.summarise(counts, plate=PLATE, channels=list(CHANNELS), fields=fields)
    path = folder / f"{PLATE}.parquet"
    tables.write(frame.assign(Metadata_Pixel_Size=np.nan), path, table="intensity", provenance={})
    return path
