"""How fast encoders train from their stored plates, beside the same step on images that lie on the device already.

Claims. (a) Training as the workflow does it (sampler, reading and decoding OME-Zarr or packed crops in threads,
augmentation, objective, optimiser, history) runs at 0.90 or more of the rate of the bare step: the same objective and
optimiser on one batch that is on the device, with nothing around it. A lower ratio refutes it. (b) Augmentation takes
less than a tenth of a step on a GPU (on a CPU reported, not claimed). Also reported: (c) where a step's time goes, and
(d) images per second and model FLOP utilisation of ViT-S/16 and ViT-B/16 in bfloat16, with and without compile.

(a, b) Four arms take turns in one process, the order turned round each time, and ratios are of the same round:
`bare`, the step alone; `store`, the whole loop; `ready`, the loop with its batches on the device; `views`, that one
with views that are not drawn but kept from the first step. The ratio is store / bare, and the share of augmentation
1 - ready / views. Fields are 1080 x 1080 px of five channels, crops 52 and 128 px, as the demo's simulator draws them,
once `cached` (all fields in memory, where a screen fits in train.cache_mb) and once `stored` (each block read and
decoded when it is needed; files are in the page cache, so no disk is measured). The share of a section in (c) is of a
step with a synchronisation of the device at both its ends; what other threads read meanwhile is in all of them.

(d) FLOPs are counted by torch while a step runs: student forward and backward on all crops, heads, and the teacher's
forward; augmentation left out, attention as the two matrix products it is. The peak of a GPU is that of its data sheet
for dense bfloat16; of a CPU that of the largest of some products of square matrices, here and now, in bfloat16.

    python benchmarks/train_rate.py [--quick] [--threads 2] [--seed 11] [--device cpu] [--only SETTING]

In the JSON line `<setting>.<arm>` are steps per second, `<setting>.ratio` and `.augmentation` [median, least, most] of
the rounds, `<setting>.section.<name>` shares of a step, and `utilisation.<net>.<plain or compiled>.<figure>` those of
(d), null where they were not measured.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial, wraps
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "workflow" / "lib"), str(REPOSITORY / "benchmarks")]

import plates  # noqa: E402

from wellspring.encoders import encoder  # noqa: E402
from wellspring.screen.config import presets  # noqa: E402
from wellspring.screen.sections import Encoder, Train, read  # noqa: E402
from wellspring.simulate.traits import CHANNELS  # noqa: E402
from wellspring.train import build, hardware, loop, losses, networks, reading, run, simclr, sslprofiler  # noqa: E402
from wellspring.train.data import Batch, load  # noqa: E402
from wellspring.train.settings import Settings, resolve  # noqa: E402
from wellspring.train.sources import Source  # noqa: E402

SMALL = {"kind": "sslprofiler", "backbone": "vit_small_patch16_224"}  # all else as the defaults are
BASE = SMALL | {"backbone": "vit_base_patch16_224"}
CELLS = {"kind": "simclr", "view": {"kind": "cell", "size": 96}, "backbone": "vit_small_patch16_224"}
# Name: entry, edge of its packed crops (None for tiles), its batch on a GPU and on a CPU (None: the entry's own).
SETTINGS = {
    "demo_tiles": (presets()["demo.sslprofiler_tiles"], None, None, None),
    "demo_cells": (presets()["demo.simclr"], 52, None, None),
    "vit_small_tiles": (SMALL, None, 64, 2),
    "vit_small_cells": (CELLS, 128, 256, 8),
}
NETS = {"vit_small": (SMALL, 64, 2), "vit_base": (BASE, 64, 2)}
ARMS = ("bare", "store", "ready", "views")
FIGURES = ("images_a_second", "tflop_a_step", "utilisation", "utilisation_bare")
SIDE = 1080
PEAK = {  # dense bfloat16 FLOP/s of the data sheets, by a part of the device's name; the first that fits
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
}


class Done(Exception):
    """Enough steps were timed."""


class Watch:
    """A hook of the loop that times steps behind the first `skip` for some seconds and then ends the run."""

    def __init__(self, device: torch.device, *, skip: int, seconds: float, least: int = 3) -> None:
        self.device, self.skip, self.seconds, self.least = device, skip, seconds, least
        self.count, self.began, self.taken = 0, 0.0, 0.0

    def __call__(self, step: int) -> None:
        """Note that a step is done; raise Done after the last."""
        if step < self.skip:
            return
        if step == self.skip:
            wait(self.device)
            self.began = time.perf_counter()
            return
        self.count += 1
        if self.count >= self.least and time.perf_counter() - self.began >= self.seconds:
            wait(self.device)
            self.taken = time.perf_counter() - self.began
            raise Done

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.count / self.taken


class Sections:
    """Seconds by section of a step; of sections within one another the outermost counts."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, defaultdict(float)
        self._inside = False

    def timed(self, name: str, function: Callable) -> Callable:
        """Return the function, its time put down to a section."""

        @wraps(function)
        def inner(*args: object, **options: object) -> object:
            if self._inside:
                return function(*args, **options)
            wait(self.device)
            self._inside, began = True, time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                wait(self.device)
                self._inside = False
                self.seconds[name] += time.perf_counter() - began

        return inner

    def shares(self, whole: float) -> dict[str, float]:
        """Return the share of each section in `whole` seconds, and of what lies in none as `rest`."""
        found = {name: value / whole for name, value in self.seconds.items()}
        return found | {"rest": 1 - sum(found.values())}


class Trial:
    """An entry, its training set and the machine: what all arms have in common."""

    def __init__(
        self, entry: Mapping, source: Source, options: Mapping, *, device: torch.device, seed: int, folder: Path
    ) -> None:
        self.entry, self.source, self.options = dict(entry), source, dict(options)
        self.device, self.seed, self.folder = device, seed, folder
        self.settings: Settings = resolve(read(Encoder, entry), seed=seed)

    def objective(self) -> nn.Module:
        """Build the objective as a run does."""
        count, options = len(CHANNELS), self.options
        how = {"precision": options["precision"], "compiled": options["compile"]}
        network = build.network(self.settings, channels=count)
        method = build.objective(network, self.settings, channels=count, device=self.device, **how)
        return method.to(self.device).train()

    def batch(self) -> Batch:
        """Read the first batch onto the device."""
        items = build.sampler(self.source, self.settings).draw(0)
        rng = np.random.default_rng(self.seed)
        return load(self.source, items, sites=self.settings.sites, rng=rng, device=self.device)

    def train(self, hook: Callable[[int], None]) -> None:
        """Run the stage itself until the hook ends it."""
        with suppress(Done):
            run.run(
                read(Encoder, self.entry),
                self.source,
                name="rate",
                channels=list(CHANNELS),
                seed=self.seed,
                options=read(Train, self.options),
                checkpoint=self.folder / "checkpoint.pt",
                hook=hook,
            )

    def rate(self, arm: str, *, seconds: float) -> float:
        """Return the steps per second of an arm."""
        # The loop reads ahead: what is timed begins when what was read during its first step is used up.
        readers = min(max(torch.get_num_threads() // 2, 1), reading.READERS)
        timer = Watch(self.device, skip=2 * readers + 2 if arm == "store" else 2, seconds=seconds)
        if arm == "bare":
            bare(self.objective(), self.batch(), self.settings, timer)
        else:
            with ExitStack() as stack:
                if arm in ("ready", "views"):
                    stack.enter_context(mock.patch.object(loop, "reading", partial(_ready, self.batch())))
                if arm == "views":
                    _keep_views(stack)
                self.train(timer)
        return timer.rate


def wait(device: torch.device) -> None:
    """Wait until the device has finished its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bare(method: nn.Module, batch: Batch, settings: Settings, hook: Callable[[int], None]) -> None:
    """Repeat the step alone until the hook ends it."""
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[settings.optimiser]
    optimiser = kind(networks.groups(method), lr=settings.lr)
    with suppress(Done):
        for step in range(settings.steps):
            optimiser.zero_grad(set_to_none=True)
            forward(method, batch, step)["loss"].backward()
            method.before_update(step)
            nn.utils.clip_grad_norm_(method.parameters(), settings.clip)
            optimiser.step()
            method.after_update(step)
            hook(step)


def forward(method: nn.Module, batch: Batch, step: int) -> dict[str, torch.Tensor]:
    """Return the terms of the objective."""
    return method(batch, step, torch.Generator(batch.images.device).manual_seed(step))[0]


def flops(step: Callable[[], object]) -> int:
    """Return the floating-point operations of what `step` does: products of matrices and convolutions, 2 a product.

    Attention is computed as two products of matrices meanwhile; a fused one's backward would count its forward again.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def flops_a_step(trial: Trial) -> int:
    """Return the operations of a step of the objective, views not counted."""
    method, batch = trial.objective(), trial.batch()
    with ExitStack() as stack:
        _keep_views(stack)
        forward(method, batch, 0)
        return flops(lambda: forward(method, batch, 0)["loss"].backward())


def peak(device: torch.device, *, repeats: int = 5) -> tuple[float, str]:
    """Return the FLOP/s of a device in bfloat16 that are taken for its most, and where the number is from."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for part, value in PEAK.items():
            if part in name:
                return value, f"data sheet of {part}"
    best = 0.0
    for size in (1024, 2048) if device.type == "cpu" else (4096, 8192):
        one, two = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
        for _ in range(repeats + 1):
            wait(device)
            began = time.perf_counter()
            one @ two
            wait(device)
            best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best, "measured, product of square matrices"


def middle(values: list[float]) -> list[float]:
    """Return median, least and most of the rounds."""
    return [float(np.median(values)), float(min(values)), float(max(values))]


def compare(rounds: list[dict[str, float]]) -> dict[str, object]:
    """Return the figures of a setting from the rates of its arms, round by round."""
    found: dict[str, object] = {arm: float(np.median([each[arm] for each in rounds])) for arm in ARMS}
    found["ratio"] = middle([each["store"] / each["bare"] for each in rounds])
    found["reading"] = middle([each["store"] / each["ready"] for each in rounds])
    found["augmentation"] = middle([1 - each["ready"] / each["views"] for each in rounds])
    return found


def sections(trial: Trial, *, seconds: float) -> dict[str, float]:
    """Return the share of each section in a step of the whole loop."""
    known = Sections(trial.device)
    timer = Watch(trial.device, skip=2, seconds=seconds)

    def hook(step: int) -> None:
        if step == timer.skip:
            known.seconds.clear()
        timer(step)

    def watched(method: nn.Module, **options: object) -> nn.Module:
        method = fit(method, **options)
        for name, module in method.named_modules():
            part = "teacher" if name.startswith("teacher") else "student"
            if name.endswith("backbone"):
                module.forward_features = known.timed(f"{part}_forward", module.forward_features)
            elif name.endswith(("head", "projector")) and "backbone" not in name:
                module.forward = known.timed(f"{part}_forward", module.forward)
        method.after_update = known.timed("ema", method.after_update)
        return method

    @contextmanager
    def waited(*args: object, **options: object) -> Iterator[Iterator]:
        with read(*args, **options) as blocks:
            following = known.timed("wait_for_batch", blocks.__next__)
            yield iter(following, None)

    fit, read = hardware.fit, loop.reading
    with ExitStack() as stack:
        replace = [
            (hardware, "fit", watched),
            (loop, "reading", waited),
            (torch.Tensor, "backward", known.timed("backward", torch.Tensor.backward)),
            (nn.utils, "clip_grad_norm_", known.timed("optimiser", nn.utils.clip_grad_norm_)),
            *((kind, "step", known.timed("optimiser", kind.step)) for kind in (torch.optim.AdamW, torch.optim.Adam)),
            *((module, "view", known.timed("augmentation", module.view)) for module in (simclr, sslprofiler)),
            *(
                (losses, name, known.timed("losses", function))
                for name, function in vars(losses).items()
                if callable(function) and getattr(function, "__module__", "") == losses.__name__
            ),
        ]
        for where, name, function in replace:
            stack.enter_context(mock.patch.object(where, name, function))
        trial.train(hook)
    return known.shares(timer.taken)


def utilisation(trial: Trial, most: float, *, seconds: float) -> dict[str, float]:
    """Return images per second of the whole loop, and its FLOP utilisation and that of the bare step."""
    count = flops_a_step(Trial(**vars_of(trial) | {"options": trial.options | {"compile": False}}))
    rate = {arm: trial.rate(arm, seconds=seconds) for arm in ("store", "bare")}
    used = [rate[arm] * count / most for arm in ("store", "bare")]
    return dict(zip(FIGURES, (rate["store"] * trial.settings.batch, count / 1e12, *used), strict=True))


def vars_of(trial: Trial) -> dict[str, object]:
    """Return what a trial was made of."""
    return {name: getattr(trial, name) for name in ("entry", "source", "options", "device", "seed", "folder")}


def sources(
    name: str, entry: Mapping, size: int | None, paths: Mapping[object, Mapping], options: Mapping
) -> dict[str, Source]:
    """Open the training sets of a setting: of tiles one in memory and one that is read, of cells one."""
    if size is not None:
        return {name: plates.source(entry, paths[size], options=options)}
    cached = plates.source(entry, paths[None], options=options)
    cached.read(np.arange(len(cached.frame)), np.random.default_rng(0))  # fills the memory
    return {
        f"{name}.cached": cached,
        f"{name}.stored": plates.source(entry, paths[None], options=dict(options) | {"cache_mb": 0}),
    }


def show(found: Mapping[str, object], names: list[str]) -> None:
    """Print the tables of (a) and (b), and of (c)."""
    print(f"\n{'setting':24}{'bare, /s':>10}{'store':>8}{'store / bare':>22}{'store / ready':>22}{'augmentation':>22}")
    for name in names:
        row = [
            ("{:.2f} ({:.2f} to {:.2f})".format(*found[f"{name}.{key}"]))
            for key in ("ratio", "reading", "augmentation")
        ]
        print(
            f"{name:24}{found[f'{name}.bare']:10.2f}{found[f'{name}.store']:8.2f}{row[0]:>22}{row[1]:>22}{row[2]:>22}"
        )
    print("\nshares of a step, by section")
    for name in names:
        parts = {key.split(".section.")[1]: value for key, value in found.items() if key.startswith(f"{name}.section.")}
        print(
            f"{name:24}" + "  ".join(f"{key} {value:.1%}" for key, value in sorted(parts.items(), key=lambda x: -x[1]))
        )


def chosen(only: str | None, *, big: bool) -> dict[str, dict]:
    """Return the entries that are trained, with their batches for a GPU (`big`) or a CPU."""
    known = {name: (entry, *batches) for name, (entry, _, *batches) in SETTINGS.items() if only in (None, name)}
    known |= NETS if only in (None, "utilisation") else {}
    found = {}
    for name, (entry, *batches) in known.items():
        batch = batches[0 if big else 1]
        # Runs are ended by the clock, so their steps are never all made.
        found[name] = entry | {"steps": 1_000_000} | ({} if batch is None else {"batch": batch})
    return found


def speeds(name: str, trial: Trial, *, rounds: int, seconds: float) -> dict[str, object]:
    """Return the figures of a setting: its arms in turns, and the sections of its step."""
    rates = []
    for turn in range(rounds):
        order = ARMS if turn % 2 else ARMS[::-1]
        rates.append({arm: trial.rate(arm, seconds=seconds) for arm in order})
    found = {f"{name}.{key}": value for key, value in compare(rates).items()}
    return found | {f"{name}.section.{key}": value for key, value in sections(trial, seconds=seconds).items()}


def main() -> None:
    """Measure, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds; on a CPU no compile and no ViT-B/16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", choices=[*SETTINGS, "utilisation"], help="one part")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    encoder.device()  # the switches of the stage
    device, quick = torch.device(arguments.device), arguments.quick
    big = device.type == "cuda"
    config = plates.settings(chosen(arguments.only, big=big))
    entries = config["encoders"]
    options = config["train"] | {"precision": "bfloat16" if big else "float32", "checkpoint_minutes": 1e6}
    found: dict[str, object] = {}
    names, before = [], plates.load()
    with tempfile.TemporaryDirectory() as temporary:
        folder, pool = Path(temporary), plates.drawn(SIDE, seed=arguments.seed)
        paths: dict[object, Mapping] = {None: plates.fields(folder / "fields", pool, 24 if quick else 96)}
        for size in {SETTINGS[name][1] for name in SETTINGS if name in entries} - {None}:
            paths[size] = plates.crops(folder / f"crops{size}", pool, 2048 if quick else 8192, size=size)
        common = {"device": device, "seed": arguments.seed, "folder": folder}
        for setting in [name for name in SETTINGS if name in entries]:
            fast = big or setting.startswith("demo")
            rounds, seconds = (7, 6.0) if not quick else (3, 2.0) if fast else (2, 1.0)
            for name, source in sources(setting, entries[setting], SETTINGS[setting][1], paths, options).items():
                trial = Trial(entries[setting], source, options, **common)
                found |= speeds(name, trial, rounds=rounds, seconds=seconds)
                names.append(name)
        show(found, names)
        if "vit_base" in entries:
            most, origin = peak(device)
            found["peak_tflops"] = most / 1e12
            print(f"\nbfloat16, peak {most / 1e12:.2f} TFLOP/s ({origin})")
            print(
                f"{'network':12}{'compiled':>9}{'batch':>6}{'images/s':>10}{'TFLOP/step':>11}{'utilisation':>12}{'bare':>7}"
            )
            for name, compiled in [(name, compiled) for name in NETS for compiled in (False, True)]:
                further = options | {"precision": "bfloat16", "compile": compiled}
                source = next(iter(sources(name, entries[name], None, paths, options).values()))
                trial, row = Trial(entries[name], source, further, **common), dict.fromkeys(FIGURES)
                if big or not quick or (name, compiled) == ("vit_small", False):
                    row = utilisation(trial, most, seconds=2.0 if quick else 6.0)
                    print(
                        f"{name:12}{compiled!s:>9}{trial.settings.batch:6d}{row['images_a_second']:10.1f}"
                        f"{row['tflop_a_step']:11.3f}{row['utilisation']:12.3f}{row['utilisation_bare']:7.3f}",
                        flush=True,
                    )
                found |= {f"utilisation.{name}.{'compiled' if compiled else 'plain'}.{k}": v for k, v in row.items()}
    known = {"device": plates.device_name(device), "threads": arguments.threads, "precision": options["precision"]}
    print("\n" + ", ".join(map(str, known.values())) + f"; {before}, at the end {plates.load()}")
    rounded = {key: _rounded(value) for key, value in found.items()}
    print(json.dumps({"benchmark": "train_rate", "quick": quick, "seed": arguments.seed} | known | rounded))


def _rounded(value: object) -> object:
    """Return the value with floats to four digits; a figure that was not measured stays null."""
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


@contextmanager
def _ready(batch: Batch, *args: object, **options: object) -> Iterator[Iterator[tuple[int, int, Batch]]]:
    """Stand in for `reading`: one batch, on the device, at every step."""
    yield ((step, 0, batch) for step in range(options["first"], 10**9))


def _keep_views(stack: ExitStack) -> None:
    """Let objectives draw each kind of view once, and then see the same ones again."""
    for module in (simclr, sslprofiler):
        kept: dict[tuple, torch.Tensor] = {}
        draw = module.view

        def again(
            images: torch.Tensor, strengths: object, *args: object, kept: dict = kept, draw: Callable = draw, **options
        ) -> torch.Tensor:
            key = (len(images), options["size"], strengths)
            if key not in kept:
                kept[key] = draw(images, strengths, *args, **options)
            return kept[key]

        stack.enter_context(mock.patch.object(module, "view", again))


if __name__ == "__main__":
    main()
