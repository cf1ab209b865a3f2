"""Read and check the YAML description of a synthetic screen; make its platemaps and its rows of the plate sheet."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from wellspring.simulate.traits import CHANNELS, TRAITS

FAULTS = {"truncated": "truncated", "blank": "blank", "missing": "missing", "debris": "saturated"}
"""Kinds of planted fault, and the status that a survey of the plate should report for each."""

LAYOUT_STREAM = 3


@dataclass(frozen=True)
class Batch:
    """A batch; `layout` is "fixed" (its plates share one layout) or "shuffled" (each plate has its own)."""

    name: str
    layout: str


@dataclass(frozen=True)
class CellLine:
    """A cell line: cells on 400 x 400 pixels, and a factor on the radius of nucleus and cell."""

    name: str
    density: float
    size: float


@dataclass(frozen=True)
class Nuisance:
    """Strengths of disturbances of the images; the screen file gives the unit of each number."""

    well_gain: float
    plate_gain: float
    gradient: float
    edge_gain: tuple[float, float]
    edge_density: float
    edge_blur: float
    density_jitter: float
    focus: tuple[float, float]
    misregistration: float
    vignette: tuple[float, float]
    vignette_centre: float
    haze: float
    background: float
    offset: float
    shot_noise: float
    read_noise: float


@dataclass(frozen=True)
class Fault:
    """One planted fault: its kind and its planes (`channel` may be "all")."""

    kind: str
    plate: str
    well: str
    site: str
    channel: str

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that have the fault."""
        return CHANNELS if self.channel == "all" else (self.channel,)


@dataclass(frozen=True)
class Screen:
    """A whole synthetic screen; a plate for each pair of batch and cell line."""

    batches: tuple[Batch, ...]
    cell_lines: tuple[CellLine, ...]
    rows: int
    columns: int
    sites: int
    field: int
    pixel_size: float
    controls: int
    control: str
    mechanism_count: int
    compounds_per_mechanism: int
    inactive: int
    doses: tuple[float, ...]
    half_dose: float
    strength: float
    compound_factors: tuple[float, ...]
    signature: float
    cell_jitter: float
    stain_jitter: float
    mechanisms: dict[str, dict[str, float]]
    nuisance: Nuisance
    faults: tuple[Fault, ...] = ()

    @property
    def plates(self) -> dict[str, tuple[Batch, CellLine]]:
        """Name of each plate -> its batch and cell line, in order."""
        return {f"{batch.name}_{line.name}": (batch, line) for batch in self.batches for line in self.cell_lines}

    @property
    def wells(self) -> tuple[str, ...]:
        """Positions of a plate, row by row."""
        return tuple(f"{chr(65 + row)}{column + 1:02d}" for row in range(self.rows) for column in range(self.columns))

    @property
    def active_mechanisms(self) -> dict[str, dict[str, float]]:
        """The mechanisms in use: the first `mechanism_count`."""
        return dict(list(self.mechanisms.items())[: self.mechanism_count])

    def plate_number(self, plate: str) -> int:
        """Return the index of a plate in the screen; raises ValueError for a plate that the screen does not have."""
        if plate not in self.plates:
            raise ValueError(f"{plate}: expected a plate of the screen ({', '.join(self.plates)})")
        return list(self.plates).index(plate)


def stream(seed: int, *key: int) -> np.random.Generator:
    """Return a random generator that depends only on the seed and a position."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def read_screen(path: str | Path) -> Screen:
    """Read and check a screen file; a ValueError names the key, the expected and the found value."""
    path = Path(path)
    return screen_of(yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))


def screen_of(data: Mapping[str, object], *, where: str) -> Screen:
    """Check a screen's description as YAML gives it; `where` names it in an error."""
    screen: Screen = _build(Screen, data, where=where)
    _check(screen, where=where)
    return screen


def _build(kind: type, data: Any, *, where: str) -> Any:
    """Fill a dataclass from a mapping, recursively, by its field types."""
    if not isinstance(data, dict):
        raise ValueError(f"{where}: expected a mapping, found {type(data).__name__}")
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(set(data) - set(known))
    lacking = sorted(name for name, field in known.items() if name not in data and field.default is MISSING)
    if unknown or lacking:
        raise ValueError(f"{where}: unknown keys {unknown}, lacking keys {lacking}")
    return kind(**{name: _convert(known[name].type, value, where=f"{where}: {name}") for name, value in data.items()})


def _convert(kind: Any, value: Any, *, where: str) -> Any:
    """Cast one value to the type of its field."""
    items: Any = getattr(kind, "__args__", ())
    if getattr(kind, "__origin__", None) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where}: expected a list, found {value!r}")
        if items[-1] is not Ellipsis and len(value) != len(items):
            raise ValueError(f"{where}: expected {len(items)} values, found {len(value)}")
        return tuple(_convert(items[0], item, where=where) for item in value)
    if getattr(kind, "__origin__", None) is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{where}: expected a mapping, found {value!r}")
        return {str(key): _convert(items[1], item, where=f"{where}: {key}") for key, item in value.items()}
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or kind(value) != value:
            raise ValueError(f"{where}: expected {kind.__name__}, found {value!r}")
        return kind(value)
    return str(value) if kind is str else _build(kind, value, where=where)


def _check(screen: Screen, *, where: str) -> None:
    """Raise ValueError for numbers that cannot make a screen."""
    for name in ("rows", "columns", "sites", "field", "controls", "compounds_per_mechanism"):
        if getattr(screen, name) < 1:
            raise ValueError(f"{where}: {name}: expected 1 or more, found {getattr(screen, name)}")
    if screen.field < 64:
        raise ValueError(f"{where}: field: expected 64 pixels or more, found {screen.field}")
    if screen.rows > 26:
        raise ValueError(f"{where}: rows: expected 26 or fewer, found {screen.rows}")
    if not 0 <= screen.mechanism_count <= len(screen.mechanisms):
        raise ValueError(
            f"{where}: mechanism_count: expected 0 to {len(screen.mechanisms)} (those described), "
            f"found {screen.mechanism_count}"
        )
    for name, shifts in screen.mechanisms.items():
        unknown = sorted(set(shifts) - {*TRAITS, "density"})
        if unknown:
            raise ValueError(
                f"{where}: mechanisms: {name}: expected shape parameters ({', '.join(TRAITS)}, density), "
                f"found {unknown}"
            )
    treatments = (screen.mechanism_count * screen.compounds_per_mechanism + screen.inactive) * len(screen.doses)
    if screen.controls + treatments > screen.rows * screen.columns:
        raise ValueError(
            f"{where}: expected at most {screen.rows * screen.columns} wells in use, "
            f"found {screen.controls} controls and {treatments} treatments"
        )
    for batch in screen.batches:
        if batch.layout not in ("fixed", "shuffled"):
            raise ValueError(f"{where}: batches: {batch.name}: expected layout fixed or shuffled, found {batch.layout}")
    for fault in screen.faults:
        allowed = {
            "kind": tuple(FAULTS),
            "plate": tuple(screen.plates),
            "well": screen.wells,
            "site": tuple(str(site + 1) for site in range(screen.sites)),
            "channel": (*CHANNELS, "all"),
        }
        for name, values in allowed.items():
            if getattr(fault, name) not in values:
                raise ValueError(
                    f"{where}: faults: expected {name} to be one of {', '.join(values)}, found {getattr(fault, name)}"
                )


def treatments(screen: Screen) -> pd.DataFrame:
    """List the treatments of a plate, controls aside: compound, concentration, mechanism (None: inactive), factor."""
    names: list[str | None] = [name for name in screen.active_mechanisms for _ in range(screen.compounds_per_mechanism)]
    factors = [
        screen.compound_factors[number % len(screen.compound_factors)]
        for _ in screen.active_mechanisms
        for number in range(screen.compounds_per_mechanism)
    ]
    names, factors = names + [None] * screen.inactive, factors + [0.0] * screen.inactive
    return pd.DataFrame(
        [
            {"compound": f"WS-{number + 1:03d}", "concentration": dose, "mechanism": name, "factor": factor}
            for number, (name, factor) in enumerate(zip(names, factors, strict=True))
            for dose in screen.doses
        ],
        columns=["compound", "concentration", "mechanism", "factor"],
    )


def layout(screen: Screen, *, seed: int) -> dict[str, pd.DataFrame]:
    """Place the treatments on every plate.

    Returns plate -> platemap: well_position, compound, concentration (float64, NaN for controls), pert_type
    (negcon or trt), moa (None for controls and inactive compounds). Unused wells have no row and no images.
    """
    listed = treatments(screen)
    contents = pd.concat(
        [
            pd.DataFrame(
                {
                    "compound": [screen.control] * screen.controls,
                    "concentration": np.nan,
                    "pert_type": "negcon",
                    "moa": None,
                }
            ),
            pd.DataFrame(
                {
                    "compound": listed["compound"],
                    "concentration": listed["concentration"],
                    "pert_type": "trt",
                    "moa": listed["mechanism"],
                }
            ),
        ],
        ignore_index=True,
    )
    maps = {}
    for number, (plate, (batch, _)) in enumerate(screen.plates.items()):
        place = [number] if batch.layout == "shuffled" else [len(screen.plates), screen.batches.index(batch)]
        order = stream(seed, LAYOUT_STREAM, *place).permutation(len(screen.wells))[: len(contents)]
        placed = contents.assign(well_position=[screen.wells[position] for position in order])
        columns = ["well_position", "compound", "concentration", "pert_type", "moa"]
        maps[plate] = placed[columns].sort_values("well_position", ignore_index=True)
    return maps


def sheet(screen: Screen, *, folder: str = "results/demo") -> pd.DataFrame:
    """Rows for the sheet of plates: plate, batch, cell_line, images, platemap, role; the folder holds the plates."""
    return pd.DataFrame(
        [
            {
                "plate": plate,
                "batch": batch.name,
                "cell_line": line.name,
                "images": f"{folder}/{plate}",
                "platemap": f"{folder}/{plate}/platemap.csv",
                "role": "fit",
            }
            for plate, (batch, line) in screen.plates.items()
        ]
    )
