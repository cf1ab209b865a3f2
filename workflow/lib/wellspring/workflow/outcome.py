"""The last line of a run: the path of its page, how many treatments are active, and what was left out."""

from pathlib import Path

import pandas as pd

from wellspring.io.phrases import count


def outcome(report: str | Path, *, since: float = 0.0) -> str | None:
    """Return the last line of a run; None if its page is absent, or older than the time `since` (seconds since 1970).

    Parameters
    ----------
    report
        Folder of the page `index.html`, of `hits.csv`, and of `failures.tsv`, which names the plates left out.
    """
    page, listed, lost = (Path(report) / name for name in ("index.html", "hits.csv", "failures.tsv"))
    if not page.is_file() or page.stat().st_mtime < since or not listed.is_file():
        return None
    hits = pd.read_csv(listed, usecols=["active", "type", "encoder"], dtype=str, keep_default_na=False)
    treated = hits[hits["type"] == "trt"]
    tested = treated[treated["active"] != "not tested"]
    active = int((tested["active"] == "yes").sum())
    parts = [
        f"{active} of {count(len(tested), 'treatment')} active ({treated['encoder'].iloc[0]})" if len(tested) else ""
    ]
    untested = len(treated) - len(tested)
    parts.append(f"{count(untested, 'treatment')} not tested" if untested else "")
    if not len(treated):
        parts.append("no treatment was tested")
    plates = _left_out(lost)
    parts.append(f"left out: {', '.join(plates)}" if plates else "no plate left out")
    return f"{page}: {'; '.join(filter(None, parts))}"


def _left_out(path: Path) -> list[str]:
    """Return the plates that were left out, each with its first reason."""
    if not path.is_file():
        return []
    rows = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False).drop_duplicates("plate")
    return [f"plate {row['plate']} ({row['reason'].split('; ')[0]})" for row in rows.to_dict("records")]
