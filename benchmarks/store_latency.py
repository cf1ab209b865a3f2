"""How long `survey` and `images` take for a plate in a store that answers each request after 50 ms.

Claim: both are bound by the processor or the network and not by the latency, since 32 images are read at a time. It is
refuted if either takes more than a quarter of the time of reading one image after the other from the same store, with
the same code. A plate of JUMP has 17,280 images, each read twice: 14 minutes of latency per stage.

The store is an HTTP server on this machine; beside latency it costs nothing. The images are small, so that the figures
show the latency.

    python benchmarks/store_latency.py [--quick] [--seed 12] [--delay 0.05]
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import tifffile

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / name) for name in ("workflow/lib", "tests/data_makers")]

import slow_store  # noqa: E402
from wellspring.illumination import lightpath  # noqa: E402
from wellspring.images import run as images  # noqa: E402
from wellspring.screen import config, sections  # noqa: E402
from wellspring.survey import run as survey  # noqa: E402

CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")
SITES = 9
SIDE = (72, 96)
PLANES = 17_280  # of a plate of JUMP


def main() -> None:
    """Measure both stages, one by one and ahead."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer images")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds until a request is answered")
    options = parser.parse_args()
    figures: dict[str, object] = {"benchmark": "store_latency", "quick": options.quick}
    with tempfile.TemporaryDirectory() as name, slow_store.serve(Path(name), delay=options.delay) as store:
        index = written(Path(name), wells=4 if options.quick else 8, seed=options.seed)
        figures |= {"images": len(index), "delay_ms": 1000 * options.delay}
        print(f"{len(index)} images, {1000 * options.delay:g} ms per request")
        print(
            f"{'stage':<8} {'one by one':>12} {'read ahead':>12} {'at a time':>10}   seconds; a JUMP plate in minutes"
        )
        for stage, run in (("survey", surveyed), ("images", stored)):
            before = timed(run, index, store, requests=1)
            store.together = 0
            after = timed(run, index, store, requests=None)
            minutes = [seconds / len(index) * PLANES / 60 for seconds in (before, after)]
            print(
                f"{stage:<8} {before:>12.1f} {after:>12.1f} {store.together:>10}"
                f"   {minutes[0]:.1f} and {minutes[1]:.1f} minutes"
            )
            figures |= {f"{stage}_one_by_one_seconds": round(before, 2), f"{stage}_ahead_seconds": round(after, 2)}
            figures |= {f"{stage}_ahead_requests": store.together}
    print(json.dumps(figures))


def written(folder: Path, *, wells: int, seed: int) -> pd.DataFrame:
    """Write a plate of TIFF files; return its index."""
    rng, rows = np.random.default_rng(seed), []
    for well in (f"A{number + 1:02d}" for number in range(wells)):
        for site in range(1, SITES + 1):
            for channel in CHANNELS:
                name = f"{well}_{site}_{channel}.tif"
                tifffile.imwrite(folder / name, rng.integers(100, 4000, SIDE).astype(np.uint16))
                rows.append(("P1", well, str(site), channel, "1", name, 0, "negcon"))
    columns = ("Plate", "Well", "Site", "Channel", "Plane", "Path", "Page", "pert_type")
    return pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in columns])


def timed(
    run: Callable[[pd.DataFrame, str], object], index: pd.DataFrame, store: slow_store.Requests, *, requests: int | None
) -> float:
    """Return the seconds of a stage; with `requests`, that many images are read at a time."""
    began = time.monotonic()
    if requests is None:
        run(index, store.url)
    else:
        with mock.patch.object(survey, "REQUESTS", requests), mock.patch.object(images, "REQUESTS", requests):
            run(index, store.url)
    return time.monotonic() - began


def surveyed(index: pd.DataFrame, url: str) -> pd.DataFrame:
    """Survey the plate."""
    return survey.run(index, url, options=section("survey")).table


def stored(index: pd.DataFrame, url: str) -> None:
    """Store the plate."""
    columns = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Channel", "Metadata_Plane"]
    table = index[columns].assign(Metadata_Verdict="keep", Metadata_Pixel_Size=np.nan)
    even = np.ones((len(CHANNELS), *SIDE), np.float32)
    light = lightpath.LightPath(list(CHANNELS), even, 0 * even, "none", np.zeros(len(CHANNELS), np.int32))
    with tempfile.TemporaryDirectory() as name:
        images.write(
            Path(name) / "P1.zarr",
            index=index,
            surveyed=table,
            light=light,
            folder=url,
            plate="P1",
            channels=CHANNELS,
            options=section("images"),
        )


def section(name: str):
    """Return the defaults of a section of the config."""
    complete = config.fill({"encoders": {"any": {}}})
    return sections.read(getattr(sections, name.capitalize()), complete[name])


if __name__ == "__main__":
    main()
