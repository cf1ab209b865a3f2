"""Tables of quality and exclusions: one row per plate, channel, reason, spared site and well without a profile."""

import pandas as pd

from wellspring.io.keys import WELL_KEY
from wellspring.report.gather import Record, Screen, pick
from wellspring.report.svg import fixed
from wellspring.report.wording import kinds, worded

WELLS = 500  # wells without a profile that are listed; all are counted
NO_REASON = "no reason given"
REASONS = 40  # reasons that are listed; all images are counted


def by_plate(screen: Screen) -> list[Record]:
    """Return one dict per plate: its row of the sheet, its verdict, and its wells, controls, images and cells."""
    sheet = screen.sheet.assign(plate=screen.sheet["plate"].astype(str)).drop_duplicates("plate").set_index("plate")
    wells, survey = screen.wells, screen.survey
    kind = pick(wells, "Metadata_pert_type")
    counted = {
        "wells": _count(wells),
        "negative": _count(wells[kind == "negcon"]) if len(wells) else {},
        "positive": _count(wells[kind == "poscon"]) if len(wells) else {},
        "images": _count(survey),
        "out": _count(survey[survey["Metadata_Verdict"] != "keep"]) if len(survey) else {},
        "without": _count(undefined(screen)),
    }
    cells = screen.cells.groupby("Metadata_Plate")["Cells"].sum().to_dict() if len(screen.cells) else {}
    rows = []
    for plate in screen.plates:
        known = sheet.loc[plate].to_dict() if plate in sheet.index else {}
        verdict = screen.verdicts[plate]
        row: Record = {name: int(found.get(plate, 0)) for name, found in counted.items()}
        row |= {name: str(known.get(name) or "") for name in ("batch", "cell_line", "role")}
        row |= {"plate": plate, "keep": verdict.keep, "reasons": verdict.reasons}
        row["share"] = row["out"] / row["images"] if row["images"] else float("nan")
        row["cells"] = f"{cells[plate] / max(row['wells'], 1):.0f}" if plate in cells else "–"
        rows.append(row)
    return rows


def by_channel(screen: Screen) -> list[Record]:
    """Return one dict per channel: images, excluded ones, and the 5th, 50th and 95th percentile of its measures."""
    rows = []
    for channel in screen.channels if len(screen.survey) else ():
        mine = screen.survey[screen.survey["Metadata_Channel"] == channel]
        row = {"channel": channel, "images": len(mine), "out": int((mine["Metadata_Verdict"] != "keep").sum())}
        for name, decimals in (("focus", 2), ("sharpness", 3), ("foreground", 3), ("saturated", 3)):
            ends = pd.to_numeric(pick(mine, name), errors="coerce").dropna().astype(float).quantile([0.05, 0.5, 0.95])
            row[name] = " / ".join(fixed(value, decimals) for value in ends) if ends.notna().any() else "–"
        rows.append(row)
    return rows


def by_reason(screen: Screen) -> list[Record]:
    """Return one dict per reason why images were left out, most frequent first, with the sentence of one image."""
    if screen.survey.empty:
        return []
    bad = screen.survey[screen.survey["Metadata_Verdict"] != "keep"]
    reasons = bad["Metadata_Reason"].fillna("").astype(str)
    known = {reason: (kinds(reason) or NO_REASON, worded(reason)) for reason in reasons.unique()}
    bad = bad.assign(Kind=[known[one][0] for one in reasons], Example=[known[one][1] for one in reasons])
    rows = [
        {
            "reason": kind,
            "images": len(mine),
            "plates": mine["Metadata_Plate"].nunique(),
            "wells": len(mine[WELL_KEY].drop_duplicates()),
            "example": mine["Example"].iloc[0] if mine["Example"].iloc[0] != kind else "",
        }
        for kind, mine in bad.groupby("Kind", sort=True)
    ]
    return sorted(rows, key=lambda row: (-row["images"], row["reason"]))[:REASONS]


def spared(screen: Screen) -> list[Record]:
    """Return one dict per site with images beyond a limit that the user's list keeps."""
    if screen.survey.empty:
        return []
    survey = screen.survey
    against = survey[(survey["Metadata_Verdict"] == "keep") & (survey["Metadata_Reason"].fillna("") != "")]
    return [
        {
            "plate": plate,
            "well": well,
            "site": site,
            "images": len(rows),
            "example": worded(rows["Metadata_Reason"].iloc[0]),
        }
        for (plate, well, site), rows in against.groupby([*WELL_KEY, "Metadata_Site"], sort=True)
    ]


def undefined(screen: Screen) -> pd.DataFrame:
    """Return the wells of kept plates without a profile, with compound and reason, of the encoder that lacks most."""
    frames = [frame for frame in screen.aligned.values() if "Metadata_Verdict" in frame]
    lost = [frame[frame["Metadata_Verdict"] == "undefined"] for frame in frames]
    most = max(lost, key=len, default=pd.DataFrame(columns=WELL_KEY))
    named = {name: pick(most, name, "") for name in (*WELL_KEY, "Metadata_Compound", "Metadata_Reason")}
    found = pd.DataFrame(named).reset_index(drop=True)
    return found.assign(Metadata_Reason=found["Metadata_Reason"].map(worded))


def _count(frame: pd.DataFrame) -> dict[str, int]:
    return frame.groupby("Metadata_Plate").size().to_dict() if len(frame) else {}
