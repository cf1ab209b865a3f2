"""`wellspring check`: everything that is wrong with a screen, in one go, before any job and without Snakemake.

Mistakes in the config do not hide those of the sheet, nor these those of the plates: what can be read is checked. The
rule `check` and a refused start of Snakemake print the same findings.
"""

import argparse
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from wellspring.index import times
from wellspring.io import credentials
from wellspring.io.shipped import CLONE, read_yaml
from wellspring.report import wording
from wellspring.screen import config, config_mistakes, doubled_keys, exclusions, panels, sheet
from wellspring.screen.config_checks import check_roles
from wellspring.screen.encoder_kinds import needs_images, ready_made
from wellspring.screen.sections import Config
from wellspring.simulate.screen import screen_of
from wellspring.workflow import preflight
from wellspring.workflow.finding import Finding, message

CONFIG = Path("config/config.yaml")


def main(given: Sequence[str] | None = None) -> int:
    """Print the findings of the screen in the current folder; return 1 if there are problems."""
    parser = argparse.ArgumentParser(prog="wellspring check", description="Check the screen in the current folder.")
    parser.add_argument("--configfile", type=Path, default=CONFIG, help="config of the screen")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the results")
    options = parser.parse_args(given)
    logging.getLogger("wellspring").addHandler(logging.NullHandler())  # warnings are among the findings
    found = findings(options.configfile, results=options.results)
    print(preflight.table(found, worded=wording.worded))
    problems = sum(one.grade == "problem" for one in found)
    print(ending(found))
    return 1 if problems else 0


def ending(found: Sequence[Finding]) -> str:
    """Return the last line: whether the screen can run."""
    count = sum(one.grade == "problem" for one in found)
    warnings = sum(one.grade == "warning" for one in found)
    beside = f", {warnings} warning{'s' * (warnings != 1)}" if warnings else ""
    return f"Cannot run: {count} problem{'s' * (count > 1)}{beside}" if count else f"Can run{beside}"


def findings(path: Path, *, results: Path) -> list[Finding]:
    """Return all findings of the screen whose config is at `path`, relative to the current folder."""
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = (
            "run this in the folder of a screen, name the file by --configfile, or set up a screen by `wellspring init`"
        )
        return [Finding("problem", "config", f"{path}: expected a screen's config, found no such file ({remedy})")]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return [Finding("problem", "config", f"{path}: expected YAML, found: {error}")]
    if not isinstance(written, Mapping):
        return [Finding("problem", "config", f"{path}: expected keys with values, found {written!r}")]
    twice = [Finding("problem", "config", text) for text in doubled_keys.doubled(path)]
    return twice + of(dict(written), results=results)


def of(written: Mapping[str, Any], *, results: Path, plates: bool = True) -> list[Finding]:
    """Return all findings of a screen, its config as written; paths are relative to the current folder.

    Without `plates` only those of config and sheet.
    """
    looked = config_mistakes.examined(written)
    found = [Finding("problem", "config", line) for text in looked.problems for line in text.splitlines()]
    complete = looked.config
    path, demo = Path(str(written.get("plates") or "config/plates.tsv")), results / "demo"
    simulated = _simulated()
    partial = any(key.startswith("encoders") for key in looked.removed)
    imaged = partial or complete is None or needs_images(complete.encoders)
    rows, wrong = sheet.examined(path, demo=demo, simulated=simulated, images=imaged)
    found += [Finding("problem", "plate sheet", line) for text in wrong for line in text.splitlines()]
    ours = [
        str(row["plate"]) for row in rows if Path(str(row["images"])).resolve() == (demo / str(row["plate"])).resolve()
    ]
    if complete is None:
        return found
    if not ready_made(complete.crops):
        rows, complete, wrong = _by_time(rows, complete, simulated=ours)
        found += [Finding("problem", "plates", text) for text in wrong]
    found += _rules(complete, path, rows)
    if not plates:
        return found
    return found + preflight.run(rows, config=complete, results=results, simulated=ours, unknown=looked.removed)


def refusal(written: Mapping[str, Any], error: Exception, *, results: Path, plates: bool) -> str:
    """Return the problems of a screen whose start failed with `error`, one per line; `plates`: those of plates too."""
    found = of(written, results=results, plates=plates)
    words = preflight.table([one for one in found if one.grade == "problem"], worded=wording.worded)
    rest = "" if all(line in words for line in str(error).splitlines()) else f"{error}\n"
    return credentials.redacted(f"{rest}{words}\n{ending(found)}" if words else str(error))


def _simulated() -> tuple[str, ...]:
    """Return the plates of the demo, which the workflow makes itself."""
    described = read_yaml(CLONE / "resources" / "demo" / "screen.yaml")
    return tuple(screen_of(described, where="resources/demo/screen.yaml").plates)


def _by_time(
    rows: list[dict[str, str]], complete: Config, *, simulated: Sequence[str]
) -> tuple[list[dict[str, str]], Config, list[str]]:
    """Return the rows by time point, the config that compares them so, and a problem if the folders cannot be read."""
    try:
        rows = times.expanded(rows, complete.index, simulated=simulated)
    except (ValueError, OSError) as error:
        return rows, complete, [message(error)]
    sections = times.grouped(dataclasses.asdict(complete))
    return rows, config.typed(dataclasses.asdict(complete) | sections), []


def _rules(complete: Config, path: Path, rows: Sequence[Mapping[str, str]]) -> list[Finding]:
    """Check what config and sheet must agree on."""
    found = []
    try:
        check_roles(complete.fit, {row["plate"]: row["role"] for row in rows})
    except ValueError as error:
        found.append(Finding("problem", "config", str(error)))
    if needs_images(complete.encoders):
        found += [Finding("problem", "plates", text) for text in panels.problems(rows, complete)]
    try:
        listed = exclusions.read(complete.survey.exclusions)
        if rows:  # else the sheet's own problems are found
            exclusions.check(listed, [*sheet.names(path), *(row["plate"] for row in rows)])
    except (ValueError, KeyError, OSError) as error:
        found.append(Finding("problem", "exclusions", str(error)))
    return found
