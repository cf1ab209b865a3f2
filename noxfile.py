"""The project's commands: `nox -s tests`, `nox -l` for all of them. They run in the environment that `nox` is in."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "doctests", "docs", "tests"]
ENVIRONMENTS = ("python", "-m", "wellspring.workflow.environments")
QUICK = "not slow and not gpu and not slurm"
PARALLEL = ("-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder")  # the order of tests/conftest.py
ADVISORIES = "https://pypi.org/pypi/pip/json"  # of the service that pip-audit asks


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of Python, Snakemake and the generated files."""
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("snakefmt", "--check", "Snakefile", "workflow/Snakefile", "workflow/rules")
    session.run("snakemake", "--lint")
    session.run(*ENVIRONMENTS, "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the library."""
    session.run("mypy")


@nox.session
def doctests(session: nox.Session) -> None:
    """Run the examples of the docstrings."""
    session.run("pytest", "--doctest-modules", "workflow/lib/wellspring", "-q", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site into `site/`."""
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests that need neither a GPU nor much time; on SLURM where it is installed."""
    session.run("pytest", "-m", "not slow and not gpu", *PARALLEL, *session.posargs)


@nox.session
def slurm(session: nox.Session) -> None:
    """Run the quick tests on a SLURM cluster that they start."""
    session.run("pytest", "-m", "slurm and not slow", *session.posargs)


@nox.session
def environments(session: nox.Session) -> None:
    """Update the conda environments in `envs/` from the lock and the imports of the scripts."""
    session.run(*ENVIRONMENTS)


@nox.session
def images(session: nox.Session) -> None:
    """Build the images of jobs (core, harmony, full) with buildah, podman or docker; options go to the builder."""
    for target in ("core", "harmony", "full"):
        session.run("envs/image.sh", target, *session.posargs, external=True)


@nox.session
def coverage(session: nox.Session) -> None:
    """Print the lines of the library that the unit tests do not reach."""
    measured = ("--cov=wellspring", "--cov-report=term-missing:skip-covered")
    session.run("pytest", "tests/unit", "-m", QUICK, *PARALLEL, *measured)


@nox.session
def mutation(session: nox.Session) -> None:
    """Change the library in small ways and report which changes no test notices."""
    session.run("python", "tests/mutation.py", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Look up published advisories about the packages of the lock; skipped without a network."""
    try:
        with urllib.request.urlopen(ADVISORIES, timeout=15):
            pass
    except (urllib.error.URLError, TimeoutError) as error:
        session.skip(f"the advisories are at {ADVISORIES}, which does not answer here ({error}); run it with a network")
    # An environment of its own: what pip-audit needs is no part of the lock.
    folder = Path(session.create_tmp()) / "audit"
    session.run(sys.executable, "-m", "venv", str(folder))
    python = str(folder / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    session.run(python, "-m", "pip", "install", "--quiet", "pip-audit>=2.7", external=True)
    locked = ("--requirement", "requirements.lock", "--require-hashes", "--disable-pip", "--strict")
    session.run(python, "-m", "pip_audit", *locked, *session.posargs, external=True)
