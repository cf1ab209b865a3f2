"""Mutation testing: change the library in small ways, run the tests that reach the change, list what no test notices.

    python tests/mutation.py --draw 300 --packages evaluate cells profile io

Mutants are drawn with a seed over the lines of the packages. A first run of each package's unit tests records which
tests reach which line; a mutant is then judged by those tests alone, the fastest first. A mutant that no test reaches
lives. Prints the survivors with their place and, last, one JSON object with the share that was killed per package.
"""

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = Path("workflow/lib/wellspring")
COPIED = ("workflow", "tests", "config", "resources", "envs", "docs", "benchmarks", "pyproject.toml", "Snakefile")
SELECTED = "not slow and not gpu and not slurm"
LIMIT = 90  # seconds for one mutant; one that takes longer counts as killed
MOST = 60  # tests per mutant, the fastest of those that reach it

COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPARED |= {ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}
COMPUTED |= {ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}
CALLED = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "nanmean": "nanmedian",
    "mean": "max",
    "median": "mean",
}
CALLED |= {"floor": "ceil", "ceil": "floor", "argmin": "argmax", "argmax": "argmin", "sum": "max"}
CALLED |= {"nanmean": "nanmedian"}


@dataclass(frozen=True)
class Mutant:
    """One change: the file, the line, what stood there and what stands there now, and the changed source."""

    package: str
    file: Path
    line: int
    before: str
    after: str
    source: str


def sites(tree: ast.Module) -> Iterator[tuple[ast.AST, Callable[[ast.AST], None]]]:
    """Yield each place that can be changed, with the function that changes its copy."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
            yield node, lambda twin: twin.ops.__setitem__(0, COMPARED[type(twin.ops[0])]())
        elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED:
            yield node, lambda twin: setattr(twin, "op", COMPUTED[type(twin.op)]())
        elif isinstance(node, ast.BoolOp):
            yield node, lambda twin: setattr(twin, "op", ast.Or() if isinstance(twin.op, ast.And) else ast.And())
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
            yield node, lambda twin: setattr(twin, "op", ast.UAdd() if isinstance(twin.op, ast.USub) else ast.Not())
        elif isinstance(node, ast.Call) and _called(node) in CALLED:
            yield node, _other_call
        elif isinstance(node, ast.keyword) and node.arg == "axis" and isinstance(node.value, ast.Constant):
            if node.value.value in (0, 1):
                yield node.value, lambda twin: setattr(twin, "value", 1 - twin.value)
        elif isinstance(node, ast.If | ast.IfExp):
            yield node, lambda twin: setattr(twin, "test", ast.UnaryOp(ast.Not(), twin.test))
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float) and hasattr(node, "lineno"):
            yield node, lambda twin: setattr(twin, "value", twin.value + 1)
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield node, lambda twin: setattr(twin, "value", not twin.value)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _other_call(twin: ast.Call) -> None:
    other = CALLED[_called(twin)]
    if isinstance(twin.func, ast.Attribute):
        twin.func.attr = other
    else:
        twin.func.id = other


def mutants(package: str) -> list[Mutant]:
    """Return every mutant of a package's modules; annotations and docstrings are left alone."""
    found = []
    for file in sorted((ROOT / LIBRARY / package).rglob("*.py")):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):  # annotations hold numbers and names that nothing computes with
            for name in ("annotation", "returns"):
                if getattr(node, name, None) is not None and not isinstance(node, ast.AnnAssign):
                    setattr(node, name, None)
        for number, (node, _) in enumerate(sites(tree)):
            twin = copy.deepcopy(tree)
            place, change = list(sites(twin))[number]
            before = ast.unparse(place)
            change(place)
            after, source = ast.unparse(place), ast.unparse(ast.fix_missing_locations(twin))
            if after != before:
                found.append(Mutant(package, file.relative_to(ROOT), node.lineno, before, after, source))
    return found


def reached(package: str, folder: Path) -> dict[tuple[str, int], list[str]]:
    """Return which tests reach each line of a package, the fastest first."""
    tests, data, timed = f"tests/unit/{package}", folder / f".coverage.{package}", folder / f"{package}.xml"
    command = [sys.executable, "-m", "pytest", tests, "-q", "-m", SELECTED, "-p", "no:cacheprovider"]
    command += [f"--cov={LIBRARY / package}", "--cov-context=test", "--cov-report=", f"--junitxml={timed}"]
    environment = os.environ | {"COVERAGE_FILE": str(data), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{package}: expected tests that pass before anything is changed, found:\n{done.stdout[-3000:]}"
        )
    seconds = {}
    for case in ET.parse(timed).iter("testcase"):  # written by the line above
        path = case.attrib["classname"].replace(".", "/") + ".py"
        seconds[f"{path}::{case.attrib['name']}"] = float(case.attrib["time"])
    from coverage import CoverageData

    coverage = CoverageData(str(data))
    coverage.read()
    found: dict[tuple[str, int], list[str]] = {}
    for file in coverage.measured_files():
        for line, contexts in coverage.contexts_by_lineno(file).items():
            names = {name.partition("|")[0] for name in contexts if name}
            place = str(Path(file).relative_to(ROOT)), line
            found[place] = sorted(names, key=lambda name: seconds.get(name, 60.0))[:MOST]
    return found


def lives(mutant: Mutant, tests: list[str], copied: Path) -> bool:
    """Return whether the tests pass with the change in a copy of the clone."""
    if not tests:
        return True
    path = copied / mutant.file
    kept = path.read_text()
    path.write_text(mutant.source)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-W", "ignore", *tests]
    try:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=copied, env=environment, capture_output=True, timeout=LIMIT, check=False)
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        path.write_text(kept)


def main() -> None:
    """Draw mutants, judge them, and print what lives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", nargs="+", default=["evaluate", "cells", "profile", "io"])
    parser.add_argument("--draw", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    start, rng = time.monotonic(), random.Random(given.seed)
    everything = [mutant for package in given.packages for mutant in mutants(package)]
    drawn = rng.sample(everything, min(given.draw, len(everything)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = {package: reached(package, folder) for package in given.packages}
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(given.workers):
            for part in COPIED:
                source, target = ROOT / part, folder / str(number) / part
                target.parent.mkdir(parents=True, exist_ok=True)
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, target, ignore=ignored) if source.is_dir() else shutil.copy(source, target)
            copies.put(folder / str(number))

        def judge(mutant: Mutant) -> bool:
            copied = copies.get()
            try:
                return lives(mutant, lines[mutant.package].get((str(mutant.file), mutant.line), []), copied)
            finally:
                copies.put(copied)

        with ThreadPoolExecutor(given.workers) as pool:
            alive = list(pool.map(judge, drawn))
    for mutant, living in sorted(zip(drawn, alive, strict=True), key=lambda pair: (str(pair[0].file), pair[0].line)):
        if living:
            print(f"{mutant.file}:{mutant.line}: lives: {mutant.before[:100]}  ->  {mutant.after[:100]}")
    counts = {}
    for package in given.packages:
        mine = [not living for mutant, living in zip(drawn, alive, strict=True) if mutant.package == package]
        counts[package] = {"killed": sum(mine), "of": len(mine)}
    total = {"killed": len(drawn) - sum(alive), "of": len(drawn), "possible": len(everything)}
    print(json.dumps({"packages": counts, "all": total, "seconds": round(time.monotonic() - start)}))


if __name__ == "__main__":
    main()
