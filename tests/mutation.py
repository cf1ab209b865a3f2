"""Mutation testing: change the library in small ways, run the tests that reach the change, list what no test notices.

    python tests/mutation.py --draw 300 --packages evaluate cells profile io

Mutants are drawn with a seed over the lines of the packages. A first run of each package's unit tests records which
tests reach which line; a mutant is then judged by those tests alone, the fastest first. A mutant that no test reaches
lives. A line that runs only at import (a constant, a default) is judged by the tests that reach its module. Prints the
survivors with their place and, last, one JSON object with the share that was killed per package.

Not drawn, because a change is equivalent or concerns only wording: annotations and docstrings; text inside a
`raise` or a call of `logger` or `warnings`; the keywords of `INERT` (checks of what holds anyway, copies, the form of
threads and files); arguments of decorators.
"""

import argparse
import ast
import copy
import json
import multiprocessing
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
FORKS = multiprocessing.get_context("forkserver")
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
INERT = {
    "strict",
    "copy",
    "frozen",
    "zero_copy_only",
    "max_workers",
    "ensure_ascii",
    "row_group_size",
    "mmap",
    "stacklevel",
}
# Loaded once, before the processes that judge are forked; none of them loads the library.
LOADED = ["pytest", "hypothesis", "numpy", "pandas", "pyarrow.parquet", "scipy.ndimage", "scipy.stats", "zarr"]
LOADED += ["skimage.measure", "skimage.segmentation", "sklearn.linear_model", "sklearn.metrics"]


@dataclass(frozen=True)
class Mutant:
    """One change: the file, the line, the lines of its statement, what stood there and what is there now."""

    package: str
    file: Path
    line: int
    lines: range
    before: str
    after: str
    source: str


def sites(tree: ast.Module) -> Iterator[tuple[ast.AST, Callable[[ast.AST], None]]]:
    """Yield each place that can be changed, with the function that changes its copy."""
    left = {id(inner) for node in ast.walk(tree) for part in _inert(node) for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) in left:
            continue
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


def _inert(node: ast.AST) -> list[ast.AST]:
    """Return the parts of a node in which no change is drawn."""
    if isinstance(node, ast.Raise):
        return [node]
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute) and getattr(function.value, "id", "") in ("logger", "warnings"):
        return [node]
    if isinstance(node, ast.keyword) and node.arg in INERT:
        return [node]
    return list(getattr(node, "decorator_list", []))


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
        spans = _spans(tree)
        for number, (node, _) in enumerate(sites(tree)):
            twin = copy.deepcopy(tree)
            place, change = list(sites(twin))[number]
            before = ast.unparse(place)
            change(place)
            after, source = ast.unparse(place), ast.unparse(ast.fix_missing_locations(twin))
            if after != before:
                place = file.relative_to(ROOT)
                found.append(Mutant(package, place, node.lineno, spans[id(node)], before, after, source))
    return found


def _spans(tree: ast.Module) -> dict[int, range]:
    """Return the lines of the simple statement, or of the head of the compound one, that holds each node."""
    found: dict[int, range] = {}
    for statement in (node for node in ast.walk(tree) if isinstance(node, ast.stmt)):
        body = getattr(statement, "body", None) or getattr(statement, "cases", None)
        end = body[0].lineno - 1 if body and hasattr(body[0], "lineno") else statement.end_lineno or statement.lineno
        lines = range(statement.lineno, max(end, statement.lineno) + 1)
        # Walked from the outside in: the innermost statement is the last to write.
        found |= {id(inner): lines for inner in ast.walk(statement)}
    return found


def judges(mutant: Mutant, lines: dict[tuple[str, int], list[str]]) -> list[str]:
    """Return the tests that reach a mutant: its line, else its statement, else (run at import only) its module."""
    file = str(mutant.file)
    for places in ([mutant.line], mutant.lines, sorted(line for path, line in lines if path == file)):
        tests = list(dict.fromkeys(test for line in places for test in lines.get((file, line), [])))
        if tests:
            return tests[:MOST]
    return []


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
    try:
        process = FORKS.Process(target=judged, args=(str(copied), tests))
        process.start()
        process.join(LIMIT)
        if process.exitcode is None:
            process.kill()
            process.join()
        return process.exitcode == 0
    finally:
        path.write_text(kept)


def judged(folder: str, tests: list[str]) -> None:
    """Run tests in a copy of the clone, quietly, and end the process with pytest's exit code."""
    sys.dont_write_bytecode = True
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    os.chdir(folder)
    import pytest

    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore", *tests]))


def main() -> None:
    """Draw mutants, judge them, and print what lives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", nargs="+", default=["evaluate", "cells", "profile", "io"])
    parser.add_argument("--draw", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    FORKS.set_forkserver_preload(LOADED)
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
                living = lives(mutant, judges(mutant, lines[mutant.package]), copied)
                if living:
                    print(
                        f"{mutant.file}:{mutant.line}: lives: {mutant.before[:100]}  ->  {mutant.after[:100]}",
                        flush=True,
                    )
                return living
            finally:
                copies.put(copied)

        with ThreadPoolExecutor(given.workers) as pool:
            alive = list(pool.map(judge, drawn))
    counts = {}
    for package in given.packages:
        mine = [not living for mutant, living in zip(drawn, alive, strict=True) if mutant.package == package]
        counts[package] = {"killed": sum(mine), "of": len(mine)}
    total = {"killed": len(drawn) - sum(alive), "of": len(drawn), "possible": len(everything)}
    print(json.dumps({"packages": counts, "all": total, "seconds": round(time.monotonic() - start)}))


if __name__ == "__main__":
    main()
