"""Style: linters, the lock, the conda environments, the profile, the README's blocks, unwanted files."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import wellspring
from screens import snakemake
from wellspring.io.version import __version__
from wellspring.workflow import containers

ENVIRONMENTS = Path(__file__).resolve().parents[2] / "envs"


def blocks(path: Path) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", path.read_text(), re.M | re.S)


def lock(root: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (root / "requirements.lock").read_text(), re.M))


def torch_of(root: Path) -> dict[str, str]:
    return dict(re.findall(r"(torch\w*)==(\S+)", (root / "envs" / "torch.txt").read_text()))


def rule_files(root: Path) -> list[Path]:
    return sorted((root / "workflow" / "rules").glob("*.smk"))


def call(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff(root):
    call(sys.executable, "-m", "ruff", "check", cwd=root)
    call(sys.executable, "-m", "ruff", "format", "--check", cwd=root)


def test_snakefmt(root):
    call(sys.executable, "-m", "snakefmt", "--check", "Snakefile", "workflow/Snakefile", "workflow/rules", cwd=root)


def test_snakemake_lint(root):
    done = snakemake("--lint", cwd=root)
    assert done.returncode == 0, done.stdout


def test_lock_pins_by_hash_and_names_no_registry(root):
    text = (root / "requirements.lock").read_text()
    assert not re.search(r"https?://|--index-url|--extra-index-url|--find-links|--trusted-host", text)
    entries = [line for line in text.replace("\\\n", "").splitlines() if not re.match(r"\s*(#|$)", line)]
    assert len(entries) > 100
    wrong = [
        entry[:60]
        for entry in entries
        if not re.fullmatch(r"[\w.-]+==\S+(?: ;.*?)?(?:\s+--hash=sha256:\w{64})+", entry)
    ]
    assert wrong == []
    names = [entry.split("==")[0] for entry in entries]
    assert names == sorted(set(names))
    assert not {"torch", "torchvision", "triton"} & lock(root).keys()


def test_no_file_has_the_marks_of_a_conflict(root):
    marks = r"^(<{7} |={7}$|>{7} )"
    found = subprocess.run(["git", "grep", "-nIE", marks], cwd=root, capture_output=True, text=True, check=False)
    if found.returncode > 1:
        pytest.skip("not a git clone")
    assert found.stdout == ""


def test_lock_meets_every_requirement(root):
    """Nothing that pyproject.toml asks for is missing from the lock or the README's torch line."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    pinned = {**lock(root), **torch_of(root)}
    for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        wanted = Requirement(line)
        found = pinned.get(wanted.name.lower())
        assert found is not None, f"{line}: not in the lock"
        assert wanted.specifier.contains(found), f"{line}: the lock has {found}"


def test_every_locked_package_runs_on_the_lowest_python(root):
    """pip refuses a package for a later one: Debian 12, for example, has Python 3.11.2."""
    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["requires-python"]
    lowest = re.match(r">=([\d.]+),", wanted)[1]
    installed = {each.name.lower().replace("_", "-"): each for each in metadata.distributions()}
    pinned = {name: installed[name].metadata.get("Requires-Python") for name in lock(root) if name in installed}
    assert len(pinned) > 100
    assert {name: needs for name, needs in pinned.items() if needs and lowest not in SpecifierSet(needs)} == {}


def test_conda_environments_are_made_from_the_imports_and_the_lock(root):
    call(sys.executable, "-m", "wellspring.workflow.environments", "--check", cwd=root)
    pinned = {**lock(root), **torch_of(root)}
    for file in sorted((root / "envs").glob("*.yaml")):
        environment = yaml.safe_load(file.read_text())
        assert "nodefaults" in environment["channels"]
        for line in environment["dependencies"][-1]["pip"]:
            package, version = line.split("==")
            assert pinned.get(package, "2.1.0" if package == "harmonypy" else None) == version, f"{file.name}: {line}"


def test_harmony_is_in_an_environment_of_its_own(root):
    """Its package is GPL: it is core's twin, and neither the lock nor pyproject.toml has it."""
    core, own = (yaml.safe_load((root / "envs" / f"{name}.yaml").read_text()) for name in ("core", "harmony"))
    further = own["dependencies"][-1]["pip"]
    assert [line for line in further if line not in core["dependencies"][-1]["pip"]] == ["harmonypy==2.1.0"]
    assert own["dependencies"][:-1] == core["dependencies"][:-1]
    assert set(core["dependencies"][-1]["pip"]) < set(further)
    assert further == sorted(further)
    assert "harmonypy" not in lock(root)
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    listed = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    assert not [line for line in listed if "harmonypy" in line]


def test_each_conda_environment_is_used_by_a_rule(root):
    used = {name for file in rule_files(root) for name in re.findall(r"envs/(\w+)\.yaml", file.read_text())}
    assert used == {file.stem for file in ENVIRONMENTS.glob("*.yaml")}


def test_an_environment_has_all_that_its_packages_require(root):
    """The lock's comments are complete: what an installed package of core requires is in core, too."""
    listed = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        for line in yaml.safe_load((ENVIRONMENTS / "core.yaml").read_text())["dependencies"][-1]["pip"]
    }
    for name in sorted(listed):
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert re.sub(r"[-_.]+", "-", needed.name).lower() in listed, f"{name} requires {text}"


def test_the_image_is_set_up_by_the_lines_of_the_setup(root):
    """And nobody in it is root."""
    text = (root / "envs" / "Containerfile").read_text()
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", text, re.M | re.S))
    assert list(stages) == ["base", "core", "harmony", "full"]  # the last one is built by default
    stated = re.findall(r'^"\$venv/bin/pip" install --quiet (.*)$', (root / "envs" / "setup.sh").read_text(), re.M)
    assert re.findall(r"^RUN pip install (.*)$", stages["full"], re.M) == stated and len(stated) == 3
    python = yaml.safe_load((ENVIRONMENTS / "core.yaml").read_text())["dependencies"][0].split("=")[1]
    assert re.search(rf"^ARG BASE=\S+/python:{re.escape(python)}-slim-\w+\nFROM \$", text, re.M)
    for stage in ("core", "harmony", "full"):
        users = re.findall(r"^USER (.*)$", stages[stage], re.M)
        assert users and users[-1] not in ("root", "0"), stage
    assert "\nENTRYPOINT " not in stages["core"] + stages["harmony"]  # Snakemake of the host runs their jobs
    assert stages["full"].rindex("\nUSER ") < stages["full"].index("\nENTRYPOINT ")
    assert not re.search(
        r"https?://|--(extra-)?index-url|\bcurl\b|\bwget\b|:latest$", re.sub(r"^#.*$", "", text, flags=re.M)
    )
    ignored = (root / ".dockerignore").read_text().split()
    assert {".git", ".venv", "results"} <= set(ignored)


def test_the_images_of_jobs_have_what_conda_would_install(root):
    """Core by hash out of the lock; harmony is core with the one package that its environment adds."""
    text = (root / "envs" / "Containerfile").read_text()
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", text, re.M | re.S))
    assert "python3 envs/subset.py core >" in stages["core"] and "--no-deps --require-hashes -r" in stages["core"]
    printed = subprocess.run(
        [sys.executable, "envs/subset.py", "core"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    core, harmony = (
        yaml.safe_load((ENVIRONMENTS / f"{name}.yaml").read_text())["dependencies"][-1]["pip"]
        for name in ("core", "harmony")
    )
    entries = re.split(r"^(?=[\w.-]+==)", printed, flags=re.M)[1:]
    assert [entry.split(" ", 1)[0] for entry in entries] == core
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "FROM core AS harmony" in text
    assert re.findall(r"pip install --no-deps (\S+)", stages["harmony"]) == sorted(set(harmony) - set(core))


def test_each_rule_takes_the_image_of_its_environment(root):
    """The directives `conda:` and `container:` of a rule name the same environment."""
    for file in rule_files(root):
        text = file.read_text()
        conda = re.findall(r"^    conda:\n        (.*)$", text, re.M)
        assert re.findall(r"^    container:\n        image\((.*)\)$", text, re.M) == conda, file.name
        assert len(conda) == len(re.findall(r"^    script:$", text, re.M)), file.name
    targets = re.findall(r"^FROM \S+ AS (\w+)$", (root / "envs" / "Containerfile").read_text(), re.M)
    assert {*containers.TARGETS.values(), "full"} == set(targets) - {"base"}
    assert set(containers.TARGETS) < {file.stem for file in ENVIRONMENTS.glob("*.yaml")}


def test_the_published_images_are_those_that_jobs_take(root):
    """The workflow file of the owner's forge builds each target with the script, and tags it as jobs ask for it."""
    text = (root / ".github" / "workflows" / "images.yaml").read_text()
    (job,) = yaml.safe_load(text)["jobs"].values()
    assert set(job["strategy"]["matrix"]["target"]) == {*containers.TARGETS.values(), "full"}
    runs = "\n".join(step.get("run", "") for step in job["steps"])
    assert "envs/image.sh ${{ matrix.target }}" in runs and "$version-${{ matrix.target }}" in runs
    assert containers.image("core", where="docker://x/y").endswith(f":{__version__}-core")


def test_the_catalog_knows_how_it_is_used(root):
    """Keys as the Snakemake workflow catalog reads them, and what it asks of a repository besides."""
    usage = yaml.safe_load((root / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment"}
    deployment = usage["software-stack-deployment"]
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda", "report"}
    assert deployment["apptainer"] and not deployment["apptainer+conda"]
    assert deployment["conda"] and ENVIRONMENTS.joinpath("core.yaml").exists()
    readme = (root / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (root / "Snakefile").exists() and (root / "config" / "README.md").exists()
    assert list((root / "workflow" / "rules").glob("*.smk"))


def test_rule_script_log_and_benchmark_bear_one_name(root):
    for file in rule_files(root):
        for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^rule |\Z)", file.read_text(), re.M | re.S):
            assert f'"../scripts/{name}.py"' in body, name
            if name == "check":  # makes nothing, and leaves nothing in the folder of results
                continue
            assert f'code=code("{name}"' in body, f"{name}: a change of its code would rerun nothing"
            folder = "report" if name == "verdict" else name
            assert f'"<logs>/{folder}/' in body, name
            assert f'"<benchmarks>/{folder}/' in body, name
        if file.stem not in ("common", "inputs", "handlers"):
            assert "def " not in file.read_text(), file
            assert f"rule {file.stem}:" in file.read_text(), file


def test_library_knows_nothing_of_snakemake(root):
    for file in sorted((root / "workflow" / "lib").rglob("*.py")):
        text = file.read_text()
        assert not re.search(r"^\s*(import|from) snakemake", text, re.M), file
        assert not re.search(
            r"^\s*(import|from) pickle|np\.load\([^)]*allow_pickle=True|weights_only=False", text, re.M
        ), file
        if file.name != "sections.py":  # generated
            assert len(text.splitlines()) <= 300, f"{file}: one idea a module, 300 lines at most"
        assert ast.get_docstring(ast.parse(text)), file


def test_scripts_are_short_and_guarded(root):
    for file in sorted((root / "workflow" / "scripts").glob("*.py")):
        text = file.read_text()
        assert 'if __name__ == "__main__":' in text, file
        begins = ["log_to(snakemake.log[0])"] + ["claim(snakemake)"] * (file.stem != "check")  # without outputs
        assert re.search(r"\s+".join(map(re.escape, begins)), text), file


def test_no_default_profile_and_the_slurm_link(root):
    assert not (root / "profiles" / "default").exists()
    assert (root / "slurm").is_symlink()
    assert (root / "slurm" / "config.yaml").samefile(root / "profiles" / "slurm" / "config.yaml")


def test_profile_names_options_and_rules_that_exist(root):
    profile = yaml.safe_load((root / "profiles" / "slurm" / "config.yaml").read_text())
    known = snakemake("--help", cwd=root).stdout
    for key in profile:
        assert re.search(rf"--{key}\b", known), f"profiles/slurm: {key}: expected an option of snakemake"
    rules = {name for file in rule_files(root) for name in re.findall(r"^rule (\w+):", file.read_text(), re.M)}
    assert set(profile["set-resources"]) | set(profile["set-threads"]) <= rules
    gpu = {
        name
        for file in rule_files(root)
        for name in re.findall(r"^rule (\w+):(?=.*^        gpu=)", file.read_text(), re.M | re.S)
    }
    # With thresholds, the default, `cells` asks for none.
    stated = {name for name, set_ in profile["set-resources"].items() if set_.get("slurm_partition") == "gpu"}
    assert stated == gpu - {"cells"}


def test_every_line_of_the_profile_has_its_reason(root):
    lines = (root / "profiles" / "slurm" / "config.yaml").read_text().split("\n\n")
    for paragraph in lines:
        assert paragraph.lstrip().startswith("#") or re.match(r"\S+:\n\s+#", paragraph.lstrip()), paragraph


def test_readme_blocks_are_the_run_and_the_test_command(root):
    run, test, *_ = blocks(root / "README.md")
    assert run == "envs/setup.sh && . .venv/bin/activate &&\nsnakemake --cores all\n"
    assert test == "envs/setup.sh && . .venv/bin/activate &&\nnox -s tests\n"
    assert "--no-deps --require-hashes -r requirements.lock" in (root / "envs" / "setup.sh").read_text()
    for script in ("envs/setup.sh", "envs/lock.sh", ".ci/run", "tests/slurm/install.sh"):
        assert subprocess.run(["bash", "-n", str(root / script)], check=False).returncode == 0, script


def test_the_checks_of_ci_are_the_runners(root):
    """CI parses no page: it calls sessions of the runner, which exist."""
    called = re.findall(r"^nox .*?-s ([a-z ]+?)(?: --.*)?$", (root / ".ci" / "run").read_text(), re.M)
    sessions = re.findall(r"^@nox.session\ndef (\w+)", (root / "noxfile.py").read_text(), re.M)
    named = {name for names in called for name in names.split()}
    assert named == {"lint", "types", "doctests", "docs", "tests"}
    assert named <= set(sessions)


def test_packages_import_each_other_in_one_direction(root):
    """A package that imports another is never imported by it, not by way of others either."""
    library = root / "workflow" / "lib" / "wellspring"
    packages = {path.name for path in library.iterdir() if (path / "__init__.py").exists()}
    imported = {name: set() for name in packages}
    for name in packages:
        for file in (library / name).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    parts = node.names if node.module == "wellspring" else []
                    modules = [node.module, *(f"wellspring.{part.name}" for part in parts)]
                else:
                    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                imported[name] |= {one.split(".")[1] for one in modules if one.startswith("wellspring.")} & packages
        imported[name].discard(name)
    assert sum(map(len, imported.values())) > 50
    order = list(TopologicalSorter(imported).static_order())  # a circle is an error that names it
    assert order.index("io") < order.index("index") < order.index("workflow") < order.index("report")


def test_the_version_is_stated_once(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert yaml.safe_load((root / "CITATION.cff").read_text())["version"] == wellspring.__version__


def test_the_root_snakefile_includes_the_workflow(root):
    """The workflow catalogue looks for workflow/Snakefile; the root's one lets `snakemake` run in the clone."""
    text = re.sub(r'^""".*?"""', "", (root / "Snakefile").read_text(), flags=re.S)
    assert text.strip() == 'workflow.include("workflow/Snakefile", overwrite_default_target=True)'


def test_nothing_large_or_made_is_tracked(root):
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git clone")
    files = [root / name for name in done.stdout.split("\0") if name]
    assert [file for file in files if file.is_file() and file.stat().st_size > 2**20] == []
    assert [file for file in files if "results" in file.relative_to(root).parts] == []
