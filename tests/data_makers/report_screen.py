"""Write the tables of a made-up screen of given sizes, for tests of the report."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from options import options
from wellspring.align.alignment import fit_alignment
from wellspring.io import ngff, tables
from wellspring.io.notes import Note, dumps
from wellspring.io.tables import Verdict

UNTRAINED = "random"  # the encoder whose card states that it is not trained
CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")
HOSTILE = "</script><img src=x onerror=owned(1)><script>owned(2)</script>\"' &amp;"
MADE = {
    "version": "0.1.0",
    "commit": "0" * 40,
    "rule": "test",
    "options": "a" * 64,
    "code": "b" * 64,
    "packages": {"numpy": "2"},
    "seed": 1,
}
LEVELS = ("aggregated", "normalised", "aligned")


def fabricate(
    folder: Path,
    *,
    plates: int = 3,
    bad: int = 1,
    encoders: tuple[str, ...] = ("sslprofiler", "random"),
    cells: bool = True,
    rows: int = 8,
    columns: int = 12,
    treatments: int = 15,
    channels: tuple[str, ...] = CHANNELS,
    sites: int = 2,
    metrics: int = 0,
) -> tuple[dict, dict]:
    """Write a screen of which the last `bad` plates are left out; return (inputs, the other arguments of `gather`).

    The last of the `treatments` compounds has a hostile name, as other strings have. `metrics` further metrics are
    summarised beside the usual ones.
    """
    rng = np.random.default_rng(0)
    names = [f"P{number + 1}" for number in range(plates)]
    verdicts = {
        name: Verdict() if number < plates - bad else Verdict().because("62 % of the images are bad").because(HOSTILE)
        for number, name in enumerate(names)
    }
    inputs: dict[str, list] = {}
    layouts = {name: _layout(name, number, rows, columns, treatments) for number, name in enumerate(names)}
    for name in names:
        for key, path in _plate(
            folder, name, layouts[name], verdicts[name], rng, cells=cells, channels=channels, sites=sites
        ).items():
            inputs.setdefault(key, []).append(str(path))
    kept = pd.concat(
        [layouts[name] for name in names if verdicts[name].keep] or [layouts[names[0]].head(0)], ignore_index=True
    )
    for number, encoder in enumerate(encoders):
        strength = 1.5 / (1 + 4 * number)
        for key, path in _encoder(folder, encoder, kept, rng, strength=strength, further=metrics).items():
            inputs.setdefault(key, []).append(str(path))
        normalised = _normalised(folder, encoder, layouts, verdicts, rng, strength)
        inputs.setdefault("tables", []).extend(normalised)
        inputs.setdefault("fits", []).append(_fit(folder / "fit" / f"{encoder}.npz", normalised[:2]))
    inputs["illumination"] = [str(_illumination(folder / "illumination" / "scope.npz", channels))]
    sheet = [
        {"plate": name, "batch": f"batch{number % 2 + 1}", "role": "fit", "optics": "scope", "cell_line": HOSTILE}
        for number, name in enumerate(names)
    ]
    return inputs, {
        "plates": names,
        "encoders": list(encoders),
        "channels": list(channels),
        "sheet": sheet,
        "seed": 1,
        "benchmarks": _benchmarks(folder / "benchmarks", names, encoders),
    }


def _benchmarks(folder: Path, plates: list[str], encoders: tuple[str, ...]) -> Path:
    """Write run times as Snakemake does, one of them of a plate that is no longer in the sheet."""
    names = [f"survey/{plate}" for plate in [*plates, "gone"]] + [f"train/{encoder}" for encoder in encoders]
    names += [f"embed/{encoder}/{plate}" for encoder in encoders for plate in plates[:3]] + ["report/verdict"]
    for number, name in enumerate(names):
        path = folder / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        seconds, memory = 0.4 + 61.3 * number, "NA" if number == 0 else f"{150 + number:.2f}"
        path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds:.2f}\t0:00:00\t{memory}\t{seconds / 2:.2f}\n")
    return folder


def _normalised(
    folder: Path, encoder: str, layouts: dict, verdicts: dict, rng: np.random.Generator, strength: float
) -> list[str]:
    paths = []
    for name, wells in layouts.items():
        path = folder / "profile" / encoder / f"{name}.normalised.parquet"
        frame = _profiles(encoder, wells, rng, strength)
        paths.append(str(_write(frame, path, "profile", "profile", verdicts[name])))
    return paths


def _write(frame: pd.DataFrame, path: Path, table: str, rule: str, verdict: Verdict | None = None) -> Path:
    tables.write(frame, path, table=table, provenance=MADE | {"rule": rule}, verdict=verdict)
    return path


def _fit(path: Path, normalised: list[str]) -> str:
    """Fit an alignment of one step, which finds too few controls."""
    frame = pd.concat([tables.read(one) for one in normalised], ignore_index=True)
    fit_alignment(frame, options=options("fit", steps=["sphere"], min_controls=100_000)).save(path)
    return str(path)


def _layout(plate: str, number: int, rows: int, columns: int, treatments: int) -> pd.DataFrame:
    spots = [(row, column) for row in range(rows) for column in range(columns)]
    wells = pd.DataFrame(
        {"Metadata_Plate": plate, "Metadata_Well": [f"{chr(65 + row)}{column + 1:02d}" for row, column in spots]}
    )
    wells = wells.assign(
        Metadata_Batch=f"batch{number % 2 + 1}",
        Metadata_Cell_Line="A549" if number % 2 else "U2OS",
        Metadata_Optics="scope",
        Metadata_Role="fit",
    )
    mechanisms = ["tubulin", "HDAC", "Aurora kinase", "proteasome", HOSTILE]
    kind, compound, dose, moa = [], [], [], []
    for place, (_, column) in enumerate(spots):
        if column in (0, columns - 1):
            kind.append("negcon"), compound.append("DMSO"), dose.append(None), moa.append(None)
        elif column == 1:
            kind.append("poscon"), compound.append("taxol"), dose.append(1.0), moa.append("tubulin")
        else:
            # further plates hold further compounds where one plate does not hold them all
            index = int((place * 7 + (number // 3 * len(spots) if treatments > 15 else 0)) % treatments)
            kind.append("trt"), compound.append(HOSTILE if index == treatments - 1 else f"compound {index + 1}")
            dose.append([0.1, 1.0, 10.0][place // 15 % 3])
            family = mechanisms[index % 5] if treatments == 15 else f"mechanism {index // 5}"
            moa.append(None if index >= 0.8 * treatments else family)
    wells = wells.assign(
        Metadata_Compound=compound,
        Metadata_Concentration=dose,
        Metadata_pert_type=kind,
        Metadata_moa=moa,
        Metadata_target=None,
    )
    named = [f"{name}@{dose}" if dose is not None else name for name, dose in zip(compound, dose, strict=True)]
    return wells.assign(Metadata_Perturbation=named)


def _plate(
    folder: Path,
    plate: str,
    wells: pd.DataFrame,
    verdict: Verdict,
    rng: np.random.Generator,
    *,
    cells: bool,
    channels: tuple[str, ...],
    sites: int,
) -> dict[str, Path]:
    numbers = pd.DataFrame({"Metadata_Site": [str(number + 1) for number in range(sites)]})
    planes = (
        wells.merge(numbers, how="cross")
        .merge(pd.DataFrame({"Metadata_Channel": channels}), how="cross")
        .assign(Metadata_Plane="1")
    )
    planes = planes.sort_values(["Metadata_Well", "Metadata_Site", "Metadata_Channel"], kind="stable").reset_index(
        drop=True
    )
    path = [f"{row.Metadata_Well}_{row.Metadata_Site}_{row.Metadata_Channel}.tif" for row in planes.itertuples()]
    planes = planes.assign(Metadata_Path=path, Metadata_Page=0, Metadata_Bytes=1000, Metadata_Timepoint="1")
    places = ("Pixel_Size", "Position_X", "Position_Y", "Position_Z", "Exposure")
    planes = planes.assign(**{f"Metadata_{name}": np.arange(len(planes), dtype=float) for name in places})
    planes.loc[3, "Metadata_Path"] = None
    out = {"index": _write(planes, folder / "index" / f"{plate}.parquet", "index", "index", verdict)}
    audit = wells[["Metadata_Plate", "Metadata_Well"]].assign(
        Metadata_In_Images=True,
        Metadata_In_Platemap=True,
        Metadata_Doubled=False,
        Metadata_Sites_Found=sites,
        Metadata_Sites_Expected=sites,
        Metadata_Channels_Missing="",
    )
    out["audit"] = _write(audit, folder / "index" / f"{plate}.audit.parquet", "audit", "index", verdict)
    survey = planes[["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Channel", "Metadata_Plane"]].assign(
        Metadata_Status="ok",
        Metadata_Height=256,
        Metadata_Width=256,
        Metadata_Dtype="uint16",
        Metadata_Pixel_Size=0.65,
        Metadata_Verdict="keep",
        Metadata_Reason="",
        Metadata_Digest=[f"{number:032x}" for number in range(len(planes))],
        Metadata_Zero_Rows=0,
    )
    for name in (
        "quantile_0.001",
        "quantile_0.01",
        "quantile_0.5",
        "quantile_0.99",
        "quantile_0.999",
        "mean",
        "saturated",
        "focus",
        "sharpness",
        "foreground",
    ):
        survey[name] = 1.0
    views = _views(len(survey), rng)
    for row, status, reason in (
        (3, "missing", "missing"),
        (17, "blank", str(Note("blank", {"value": 0}))),
        (40, "ok", str(Note("low_focus", {"value": -4.1, "limit": -2.2}))),
        (41, "unreadable", str(Note("unreadable", {"detail": HOSTILE}))),
    ):
        survey.loc[row, ["Metadata_Status", "Metadata_Verdict", "Metadata_Reason"]] = [status, "exclude", reason]
        views[row] = np.nan if status == "missing" else views[row]
    out["survey"] = _write(survey, folder / "survey" / f"{plate}.parquet", "survey", "survey", verdict)
    out["views"] = _array(folder / "survey" / f"{plate}.npy", views)
    scale = pd.DataFrame(
        {
            "Metadata_Plate": plate,
            "Metadata_Channel": channels,
            "low": 100.0,
            "high": 4000.0,
            "mean": 0.2,
            "std": 0.1,
            "fields": 10,
            "Metadata_Pixel_Size": 0.65,
        }
    )
    out["intensity"] = _write(scale, folder / "images" / f"{plate}.parquet", "intensity", "images", verdict)
    if cells:
        out |= _cells(folder, plate, wells, verdict, rng, len(channels))
        out |= _stored(folder, plate, tables.read(out["cells"]), rng, channels)
    return out


def _cells(
    folder: Path, plate: str, wells: pd.DataFrame, verdict: Verdict, rng: np.random.Generator, channels: int
) -> dict[str, Path]:
    counts = np.where(np.arange(len(wells)) == 30, 0, rng.poisson(12, len(wells)))
    rows = wells.loc[wells.index.repeat(counts), ["Metadata_Plate", "Metadata_Well", "Metadata_Batch"]].reset_index(
        drop=True
    )
    rows = rows.assign(
        Metadata_Site="1", Metadata_Cell=np.arange(len(rows)) + 1, Metadata_Center_Y=10.0, Metadata_Center_X=10.0
    )
    cells = rows.drop(columns="Metadata_Batch").assign(Metadata_Matched=True, Metadata_Border=False, Metadata_Flags="")
    cells = cells.assign(Metadata_Nucleus_Brightness=100.0, Metadata_Nucleus_Sharpness=8.0)
    cells.loc[cells.index % 4 == 1, "Metadata_Flags"] = "border;small"
    for name in ("Box_Y0", "Box_X0", "Box_Y1", "Box_X1", "Nucleus_Area", "Cell_Area"):
        cells[f"Metadata_{name}"] = 10
    out = {"cells": _write(cells, folder / "cells" / f"{plate}.parquet", "cells", "cells", verdict)}
    packed = rows.groupby("Metadata_Well").head(2).reset_index(drop=True)
    packed["Metadata_Row"] = np.arange(len(packed))
    out["crop_tables"] = _write(packed, folder / "crops" / f"{plate}.parquet", "crops", "crops", verdict)
    out["crops"] = _array(folder / "crops" / f"{plate}.npy", _crops(len(packed), rng, channels))
    return out


def _stored(
    folder: Path, plate: str, cells: pd.DataFrame, rng: np.random.Generator, channels: tuple[str, ...]
) -> dict[str, Path]:
    """Write fields of 60 px of the wells of the first row, their cells as squares of 12 px around nuclei of 6 px."""
    paths = [folder / kind / f"{plate}.zarr" for kind in ("images", "cells")]
    with (
        ngff.PlateWriter(paths[0], plate=plate, channels=list(channels), pixel_size=0.65) as images,
        ngff.LabelWriter(paths[1], plate=plate, source=f"{plate}.zarr") as labels,
    ):
        for well, rows in cells[cells["Metadata_Well"].str.startswith("A")].groupby("Metadata_Well"):
            found = {name: np.zeros((60, 60), np.uint32) for name in ("nuclei", "cells")}
            for place, number in enumerate(rows["Metadata_Cell"].head(16)):
                y, x = 14 * (place // 4) + 2, 14 * (place % 4) + 2
                found["cells"][y : y + 12, x : x + 12] = found["nuclei"][y + 3 : y + 9, x + 3 : x + 9] = number
            labels.write(well, "1", found)
            field = rng.poisson(150, (len(channels), 60, 60)) + 1500 * (found["cells"] > 0)
            images.write(well, "1", field.astype(np.uint16))
    return {name: path / "zarr.json" for name, path in zip(("images", "labels"), paths, strict=True)}


def _crops(count: int, rng: np.random.Generator, channels: int, size: int = 48) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2
    crops = rng.poisson(150, (count, channels, size, size)).astype(float)
    for number in range(count):
        radius = np.hypot(y * rng.uniform(0.8, 1.3), x * rng.uniform(0.8, 1.3))
        crops[number, 0] += 3000 * (radius < 8)
        for channel in range(1, channels):
            crops[number, channel] += (
                2000 * np.exp(-(((radius - 4 * channel) / 4) ** 2)) * rng.uniform(0.5, 1.2, (size, size))
            )
    return crops.astype(np.uint16)


def _views(count: int, rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:24, :24] / 12 - 1
    light = 1.2 - 0.3 * (y**2 + (x - 0.2) ** 2)
    return (100 + 800 * light * rng.gamma(4, 0.25, (count, 24, 24))).astype(np.float32)


def _illumination(path: Path, channels: tuple[str, ...]) -> Path:
    y, x = np.mgrid[:96, :96] / 48 - 1
    count = len(channels)
    flat = np.stack([1.2 - 0.3 * (y**2 + (x - 0.2) ** 2)] * count).astype(np.float32)
    flat /= flat.mean(axis=(1, 2), keepdims=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    after = np.array([0.02, 0.03, 0.02, 0.25, 0.04])[:count]
    around = lambda value: np.stack([value, value - 0.01, value + 0.01], axis=1)  # noqa: E731
    np.savez(
        path,
        channel=np.array(channels),
        flat=flat,
        dark=np.full_like(flat, 100),
        method="basic",
        fields=np.array([300, 300, 300, 12, 300])[:count],
        residual_before=around(np.full(count, 0.19)),
        residual_after=around(after),
        residual_change=around(after - 0.19),
        edge_before=around(np.full(count, -0.3)),
        edge_after=around(np.full(count, -0.02)),
    )
    return path


def _array(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)
    return path


def _encoder(
    folder: Path, encoder: str, wells: pd.DataFrame, rng: np.random.Generator, *, strength: float, further: int
) -> dict[str, Path]:
    training = "untrained" if encoder == UNTRAINED else "trained"
    out = {}
    (folder / "train" / encoder).mkdir(parents=True, exist_ok=True)
    out["cards"] = folder / "train" / encoder / "encoder.json"
    out["cards"].write_text(
        json.dumps(
            {
                "kind": encoder,
                "training": training,
                "network_sha256": "1" * 64,
                "backbone": "vit_tiny",
                "channels": list(CHANNELS),
                "note": HOSTILE,
                "train": {"steps": 300, "lr": 5e-4},
            }
        )
    )
    steps = np.arange(0, 300, 10)
    history = pd.DataFrame(
        {
            "Metadata_Step": steps,
            "loss": 8 * np.exp(-steps / 90) + 2,
            "loss_dino": 6 * np.exp(-steps / 90) + 1,
            "loss_ibot": 2 * np.exp(-steps / 60) + 1,
        }
    )
    history = history.assign(lr=5e-4, feature_std=0.4 + steps / 1000, rank=20 + steps / 10)
    history = history.assign(retrieval=np.where(steps % 100, np.nan, 0.3 + steps / 1000), retrieval_chance=1 / 16)
    schema = tables.schema("history")["columns"]
    history = history.assign(**{name: np.nan for name in schema if name not in history}).loc[
        :, lambda frame: [name for name in frame if name in schema]
    ]
    out["history"] = _write(history, folder / "train" / encoder / "history.parquet", "history", "train")
    out["aligned"] = _write(
        _profiles(encoder, wells, rng, strength), folder / "align" / f"{encoder}.parquet", "profile", "align"
    )
    kept = np.arange(16) % 5 > 0
    reasons = np.where(kept, "", str(Note("correlated", {"with": HOSTILE, "r": 0.95, "allowed": 0.9})))
    features = pd.DataFrame(
        {
            "Metadata_Feature": [f"{encoder}_{number:02d}" for number in range(16)],
            "Metadata_Kept": kept,
            "Metadata_Reason": reasons,
            "spread": 1.0,
        }
    )
    out["features"] = _write(features, folder / "fit" / f"{encoder}.features.parquet", "features", "fit")
    items, summary = _scores(wells, rng, strength, further)
    out["per_item"] = _write(items, folder / "evaluate" / f"{encoder}.items.parquet", "items", "evaluate")
    out["summary"] = _write(summary, folder / "evaluate" / f"{encoder}.summary.parquet", "summary", "evaluate")
    return out


def _profiles(encoder: str, wells: pd.DataFrame, rng: np.random.Generator, strength: float) -> pd.DataFrame:
    codes = pd.factorize(wells["Metadata_moa"].fillna(wells["Metadata_pert_type"]))[0]
    centres = rng.normal(size=(codes.max(initial=0) + 2, 12))
    dose = wells["Metadata_Concentration"].fillna(0).to_numpy(dtype=float)[:, None]
    matrix = rng.normal(size=(len(wells), 12)) + strength * centres[codes] * (0.4 + 0.3 * np.log10(10 * dose + 1))
    features = pd.DataFrame(matrix, columns=[f"{encoder}_{number}" for number in range(12)])
    frame = pd.concat([wells.reset_index(drop=True), features], axis=1)
    frame = frame.assign(
        Metadata_Site_Count=2,
        Metadata_View_Count=20,
        Metadata_Count_Cells=12,
        Metadata_Verdict="keep",
        Metadata_Reason="",
    )
    if len(frame) > 30:
        frame.loc[30, ["Metadata_Verdict", "Metadata_Reason"]] = ["undefined", "no_cells"]
        frame.loc[30, features.columns] = np.nan
    return frame


def _scores(
    wells: pd.DataFrame, rng: np.random.Generator, strength: float, further: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    treated = wells[wells["Metadata_pert_type"] == "trt"].drop_duplicates("Metadata_Perturbation")
    items, summary = [], []
    for step, level in enumerate(LEVELS if len(treated) else ()):
        power = strength * (0.5 + 0.25 * step)
        for row in treated.itertuples():
            value = float(np.clip(0.25 + 0.4 * power * rng.random(), 0, 1))
            q = float(10 ** (-4 * power * rng.random()))
            items.append(("activity", level, row.Metadata_Perturbation, value, q / 2, q, 6, 0, row.Metadata_moa))
            if row.Metadata_moa is not None:
                predicted = row.Metadata_moa if rng.random() < power else "HDAC"
                items.append(
                    (
                        "nsc",
                        level,
                        row.Metadata_Perturbation,
                        float(predicted == row.Metadata_moa),
                        None,
                        None,
                        1,
                        0,
                        predicted,
                    )
                )
        for compound, rows in treated[treated["Metadata_moa"].notna()].groupby("Metadata_Compound"):
            items.append(
                (
                    "consistency",
                    level,
                    compound,
                    float(min(1, rng.random() * power)),
                    None,
                    None,
                    4,
                    0,
                    rows["Metadata_moa"].iloc[0],
                )
            )
            items.append(("dose.spearman", level, compound, float(rng.uniform(-0.2, 1)), None, None, 12, 0, None))
        for pair in ("A549->A549", "A549->U2OS", "U2OS->A549", "U2OS->U2OS"):
            items.append(
                ("transfer.cell_line.mechanism.k1", level, pair, float(rng.uniform(0.3, 0.9)), None, None, 40, 0, None)
            )
        confounded = dumps([Note("treatment_fixed_to_wells", {"fixed": 6, "total": 6}), Note("two_halves")])
        for metric, value, chance, guard, note in (
            ("activity", 0.3 + 0.3 * power, 0.21, "random ranking", confounded),
            ("activity.position_only", 0.34, 0.21, "random ranking", ""),
            ("activity.retrieved", 0.5 * power, 0.05, "threshold on q", ""),
            ("consistency", 0.2 + 0.3 * power, 0.18, "random ranking", ""),
            ("consistency.permuted", 0.18, None, "", ""),
            ("nsc", 0.3 + 0.3 * power, 0.22, "frequency of mechanisms", ""),
            ("nsc.drop", 0.1, None, "", ""),
            ("nscb", None, None, "", "no_labelled_treatments_in_batches"),
            ("transfer.cell_line.mechanism.k1", 0.6, 0.2, "share of the compared wells that have the label", ""),
            ("nuisance.batch", 0.9 - 0.2 * step, 0.5, "one over the number of classes", ""),
            ("dose.z_prime", -0.4, None, "", ""),
            ("something_new", 3.2, None, HOSTILE, str(Note("needs_metrics", {"metrics": HOSTILE}))),
            ("mixing.kbet.batch", 0.2 + 0.1 * step, 0.9, "full mixing", ""),
            *(
                (f"nuisance.row.kind {number}", 0.5, 0.5, "one over the number of classes", "")
                for number in range(further)
            ),
        ):
            low, high = (None, None) if value is None else (value - 0.08, value + 0.08)
            summary.append((metric, level, value, low, high, 48, 2, chance, guard, note))
    keys = ["Metadata_Metric", "Metadata_Level"]
    head = [*keys, "Metadata_Item", "value", "p", "q", "n", "n_undefined", "Metadata_Group"]
    short = [*keys, "value", "low", "high", "n", "n_undefined", "chance", "Metadata_Guard", "Metadata_Note"]
    return pd.DataFrame(items, columns=head), pd.DataFrame(summary, columns=short).assign(Metadata_Left_Out="")
