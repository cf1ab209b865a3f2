"""Mutation testing: change the library in small ways, run the tests that reach the change, list what no test notices.

    python tests/mutation.py --draw 300 --packages evaluate cells profile io

Mutants are drawn with a seed, the same number per package. A first run of the unit tests of each package, and of those
of `BESIDE`, in a copy of the clone, records which tests reach which line; a mutant is then judged by those tests alone,
the fastest first, as many as take `SECONDS` of the processor together. A mutant that no test reaches lives. A line that
runs only at import (a constant, a default) is judged by the tests that reach the function or class that holds it, then
by those of its module, then by the others of its package. Prints the survivors with their place and, last, one JSON
object with the share that was killed, per package and together, each with its 95 % interval (Wilson). A mutant whose
tests exceed the time limit counts as killed, and their number is given. As a control, some of the drawn mutants are
also judged without their change: these must live. Several numbers after `--draw` are the draws of the packages, in
their order.

Tests that were written against the survivors of one seed are measured with another seed.

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
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = Path("workflow/lib/wellspring")
COPIED = ("workflow", "tests", "config", "resources", "envs", "docs", "benchmarks", "pyproject.toml", "Snakefile")
SELECTED = "not slow and not gpu and not slurm"
LIMIT = 400  # seconds of the processor for one mutant; one that takes longer counts as killed
PATIENCE = 7200  # seconds by the clock, for a mutant that waits for something
FORKS = multiprocessing.get_context("forkserver")
BESIDE = {"evaluate": ("api",), "profile": ("api",), "io": ("index",)}  # packages whose tests also judge a package
PRINTED = ".printed"  # file of a copy with what the last tests printed
SECONDS = 60.0  # of tests per mutant, the fastest of those that reach it
QUICK = 0.05  # seconds of a test that judges lines which run at import, whatever it reaches

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
LOADED += ["skimage.measure", "skimage.segmentation", "sklearn.linear_model", "sklearn.metrics", "pycytominer", "regex"]
LOADED += [
    "torch",
    "skimage.feature",
    "mahotas",
    "jsonschema",
    "boto3",
    "botocore.client",
    "moto.server",
    "ome_zarr_models",
]


@dataclass(frozen=True)
class Mutant:
    """One change: the file, which of its places, the line, the code before and after.

    `lines` are those of its statement, `scope` those of the innermost function or class.
    """

    package: str
    file: Path
    number: int
    line: int
    lines: range
    scope: range
    before: str
    after: str

    def source(self, folder: Path) -> str:
        """Return the module of a copy of the clone with the change."""
        tree = bare(folder / self.file)
        place, change = list(sites(tree))[self.number]
        change(place)
        return ast.unparse(ast.fix_missing_locations(tree))


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
            yield node, _other_sign
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
    if isinstance(node, ast.AnnAssign):
        return [node.annotation]
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute) and getattr(function.value, "id", "") in ("logger", "warnings"):
        return [node]
    if isinstance(node, ast.keyword) and node.arg in INERT:
        return [node]
    return list(getattr(node, "decorator_list", []))


def _other_sign(twin: ast.UnaryOp) -> None:
    if isinstance(twin.op, ast.Not):
        twin.operand = ast.UnaryOp(ast.Not(), twin.operand)
    else:
        twin.op = ast.UAdd() if isinstance(twin.op, ast.USub) else ast.Not()


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _other_call(twin: ast.Call) -> None:
    other = CALLED[_called(twin)]
    if isinstance(twin.func, ast.Attribute):
        twin.func.attr = other
    else:
        twin.func.id = other


def bare(file: Path) -> ast.Module:
    """Return a module without annotations, which hold numbers and names that nothing computes with."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None and not isinstance(node, ast.AnnAssign):
                setattr(node, name, None)
    return tree


def mutants(package: str) -> list[Mutant]:
    """Return every mutant of a package's modules; annotations and docstrings are left alone."""
    found = []
    for file in sorted((ROOT / LIBRARY / package).rglob("*.py")):
        tree = bare(file)
        spans, scopes = _spans(tree), _scopes(tree)
        for number, (node, change) in enumerate(sites(tree)):
            twin = copy.deepcopy(node)
            change(twin)
            before, after = ast.unparse(node), ast.unparse(ast.fix_missing_locations(twin))
            if after != before:
                place = file.relative_to(ROOT)
                lines, scope = spans[id(node)], scopes.get(id(node), range(0))
                found.append(Mutant(package, place, number, node.lineno, lines, scope, before, after))
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


def _scopes(tree: ast.Module) -> dict[int, range]:
    """Return the lines of the innermost function or class that holds each node; none for a module's own statements."""
    found: dict[int, range] = {}
    for part in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)):
        lines = range(part.lineno, (part.end_lineno or part.lineno) + 1)
        found |= {id(inner): lines for inner in ast.walk(part)}
    return found


@dataclass(frozen=True)
class Reach:
    """Which tests reach each line (file, line), and how many seconds each test takes."""

    tests: dict[tuple[str, int], frozenset[str]]
    seconds: dict[str, float]

    def judges(self, mutant: Mutant) -> list[str]:
        """Return the tests that judge a mutant: those that reach its line, else its statement.

        Of a line that runs at import only (a default, a constant): the quick ones of its package, which may read it
        without a call, then those of its function or class, of its module, of its package.
        """
        file = str(mutant.file)
        for lines in ([mutant.line], mutant.lines):
            if tests := self._at((file, line) for line in lines):
                return self._first(tests)
        mine, every = self._at(place for place in self.tests if place[0] == file), self._at(self.tests)
        quick = frozenset(test for test, seconds in self.seconds.items() if seconds < QUICK)
        return self._first(quick, self._at((file, line) for line in mutant.scope), mine, every)

    def _at(self, places: Iterable[tuple[str, int]]) -> frozenset[str]:
        return frozenset[str]().union(*(self.tests.get(place, frozenset()) for place in places))

    def _first(self, *groups: frozenset[str]) -> list[str]:
        """Return the tests of the groups in turn, the fastest of each first, as many as take `SECONDS`."""
        found: dict[str, float] = {}
        for group in groups:
            for test in sorted(group, key=lambda name: (self.seconds.get(name, 1.0), name)):
                if sum(found.values()) < SECONDS:
                    found.setdefault(test, self.seconds.get(test, 1.0))
        return list(found)


def reached(package: str, copied: Path, folder: Path) -> Reach:
    """Return which tests reach each line of a package in a copy of the clone."""
    data, timed = folder / f".coverage.{package}", folder / f"{package}.xml"
    tests = [f"tests/unit/{name}" for name in (package, *BESIDE.get(package, ()))]
    command = [sys.executable, "-m", "pytest", *tests, "-q", "-m", SELECTED, "-p", "no:cacheprovider"]
    command += [f"--cov={LIBRARY / package}", "--cov-context=test", "--cov-report=", f"--junitxml={timed}"]
    environment = os.environ | {"COVERAGE_FILE": str(data)}
    before = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    done = subprocess.run(command, cwd=copied, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{package}: expected tests that pass before anything is changed, found:\n{done.stdout[-3000:]}"
        )
    seconds = {}
    for case in ET.parse(timed).iter("testcase"):  # written by the line above
        path = case.attrib["classname"].replace(".", "/") + ".py"
        seconds[f"{path}::{case.attrib['name']}"] = float(case.attrib["time"])
    # By the clock they are longer on a busy machine, which would leave fewer tests to judge.
    busy = (sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - before) / max(sum(seconds.values()), 1.0)
    seconds = {name: taken * min(busy, 1.0) for name, taken in seconds.items()}
    from coverage import CoverageData

    coverage = CoverageData(str(data))
    coverage.read()
    found: dict[tuple[str, int], frozenset[str]] = {}
    for file in coverage.measured_files():
        for line, contexts in coverage.contexts_by_lineno(file).items():
            place = str(Path(file).relative_to(copied)), line
            found[place] = frozenset(name.rpartition("|")[0] for name in contexts if name)
    return Reach(found, seconds)


def outcome(mutant: Mutant, tests: list[str], copied: Path, change: bool = True) -> str:
    """Return whether a mutant "lives", is "killed" or runs into the "limit" in a copy of the clone."""
    if not tests:
        return "lives"
    path = copied / mutant.file
    kept, before = path.read_text(), path.stat()
    if change:
        path.write_text(mutant.source(copied))
    try:
        process = FORKS.Process(target=judged, args=(str(copied), tests))
        process.start()
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
            return "limit"
    finally:
        path.write_text(kept)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # its compiled file is valid again
    if process.exitcode == -signal.SIGXCPU:
        return "limit"
    if process.exitcode in (4, 5):  # a name that pytest does not find, or no test at all
        raise SystemExit(f"{mutant.file}:{mutant.line}: expected to collect {tests}, pytest did not find them all")
    return "lives" if process.exitcode == 0 else "killed"


def interval(killed: int, total: int) -> list[float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    if not total:
        return [0.0, 1.0]
    z, share = 1.959964, killed / total
    middle = share + z**2 / (2 * total)
    half = z * ((share * (1 - share) + z**2 / (4 * total)) / total) ** 0.5
    return [round((middle + sign * half) / (1 + z**2 / total), 3) for sign in (-1, 1)]


def counted(outcomes: list[str]) -> dict[str, object]:
    """Return the counts of some mutants: killed, of which at the limit, drawn, and the share with its interval."""
    total, killed = len(outcomes), sum(one != "lives" for one in outcomes)
    share = round(killed / total, 3) if total else None
    return {
        "killed": killed,
        "limit": outcomes.count("limit"),
        "of": total,
        "share": share,
        "interval": interval(killed, total),
    }


def judged(folder: str, tests: list[str]) -> None:
    """Run tests in a copy of the clone, quietly, and end the process with pytest's exit code."""
    # Not by the clock: on a busy machine a mutant that lives would run into the limit and count as killed.
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 60))
    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # loading them takes longer than most tests
    printed = os.open(Path(folder) / PRINTED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(Path(folder) / LIBRARY.parent)  # of the Pythons that tests start
    import pytest

    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore", *tests]))


def main() -> None:
    """Draw mutants, judge them, and print what lives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", nargs="+", default=["evaluate", "cells", "profile", "io"])
    parser.add_argument("--draw", type=int, nargs="+", default=[300], help="mutants in all, or of each package")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--controls", type=int, default=10, help="mutants judged also without their change")
    given = parser.parse_args()
    if len(given.draw) not in (1, len(given.packages)):
        parser.error("--draw: expected one number, or one for each package")
    os.environ["OMP_NUM_THREADS"] = "1"
    FORKS.set_forkserver_preload(LOADED)
    start, rng = time.monotonic(), random.Random(given.seed)
    possible = {package: mutants(package) for package in given.packages}
    drawn = [mutant for package in possible for mutant in _draw(package, possible, given)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        copies: SimpleQueue[Path] = SimpleQueue()
        _copy(folder / "0")
        os.environ["PYTHONPATH"] = str(folder / "0" / LIBRARY.parent)  # of the Pythons that tests start
        reach = {package: reached(package, folder / "0", folder) for package in given.packages}
        copies.put(folder / "0")
        for number in range(1, given.workers):  # with the compiled files of the first run, which keep their times
            shutil.copytree(folder / "0", folder / str(number))
            copies.put(folder / str(number))

        def judge(mutant: Mutant, change: bool = True) -> str:
            copied, tests = copies.get(), reach[mutant.package].judges(mutant)
            try:
                found = outcome(mutant, tests, copied, change)
                printed = (copied / PRINTED).read_text() if tests and not change and found != "lives" else ""
            finally:
                copies.put(copied)
            if (found == "lives") == change:
                changed = f"{mutant.before[:100]}  ->  {mutant.after[:100]}" if change else "the control\n"
                unseen = "" if tests else " (no test reaches it)"
                print(f"{mutant.file}:{mutant.line}: {found}{unseen}: {changed}{printed}", flush=True)
            return found

        with ThreadPoolExecutor(given.workers) as pool:
            controls = pool.map(partial(judge, change=False), rng.sample(drawn, min(given.controls, len(drawn))))
            outcomes, controlled = list(pool.map(judge, drawn)), list(controls)
    counts = {}
    for package in given.packages:
        mine = [found for mutant, found in zip(drawn, outcomes, strict=True) if mutant.package == package]
        counts[package] = counted(mine) | {"possible": len(possible[package])}
    result = {"seed": given.seed, "packages": counts, "all": counted(outcomes)}
    lived = controlled.count("lives")
    print(json.dumps(result | {"controls": [lived, len(controlled)], "seconds": round(time.monotonic() - start)}))
    if lived < len(controlled):
        raise SystemExit("expected tests that pass without a change, found the controls above: the share is too high")


def _draw(package: str, possible: dict[str, list[Mutant]], given: argparse.Namespace) -> list[Mutant]:
    """Return a package's part of the draw: the start of an order that depends only on the seed and the package."""
    mixed = random.Random(f"{given.seed} {package}").sample(possible[package], len(possible[package]))
    count = given.draw[given.packages.index(package)] if len(given.draw) > 1 else given.draw[0] // len(possible)
    return mixed[:count]


def _copy(target: Path) -> None:
    """Copy what the tests read of the clone."""
    for part in COPIED:
        source, place = ROOT / part, target / part
        place.parent.mkdir(parents=True, exist_ok=True)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, place, ignore=ignored) if source.is_dir() else shutil.copy(source, place)


if __name__ == "__main__":
    main()
