"""Common: put the library on the path, read and check the config and the sheet.

No other rule file reads the config or the sheet. `config` is the complete config as a dict, from which rules take their
parameters; `settings` is the same as dataclasses; `plates` is the sheet as a frame, one row per plate.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml


def folder_of(source):
    """Return the folder `workflow` of the clone that a rule file belongs to.

    If a module names a tag of a repository, as snakedeploy does, Snakemake fetches rules and scripts one by one from its
    copy of the repository; the library and its data files are then extracted into `.snakemake` of the working directory.
    """
    repository = getattr(source, "repo_path", None) or getattr(source, "hosted_repo", None)
    if repository is None:
        return Path(source.get_path_or_uri(secret_free=True)).resolve().parent
    git = ["git", "-C", str(getattr(repository, "repo_clone", repository))]
    commit = subprocess.check_output([*git, "rev-parse", f"{source.ref}^{{commit}}"], text=True).strip()
    folder = Path(".snakemake", "wellspring", commit).resolve()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            archive = subprocess.check_output([*git, "archive", commit])
            subprocess.run(["tar", "-x", "-C", temporary], input=archive, check=True)
            Path(temporary).rename(folder)
    return folder / "workflow"


here = folder_of(workflow.current_basedir)
sys.path.insert(0, str(here / "lib"))
# Scripts run in processes of their own: they must import this library, not an installed one of another clone.
os.environ.update(PYTHONPATH=os.pathsep.join([str(here / "lib"), *filter(None, [os.environ.get("PYTHONPATH")])]))

# Threads that spin while waiting slow down other jobs on the node: training was ten times slower beside other jobs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from wellspring.index import times
from wellspring.io import object_store
from wellspring.screen import doubled_keys, exclusions, panels, sheet
from wellspring.screen.config import resolve, typed
from wellspring.screen.config_checks import check_roles
from wellspring.screen.encoder_kinds import needs_images, ready_made, trains
from wellspring.simulate.screen import screen_of
from wellspring.report import checked
from wellspring.workflow import credentials, travel
from wellspring.workflow.code_digest import age
from wellspring.workflow.code_digest import code as digest_of_code
from wellspring.workflow.wildcards import one_of

age(here / "scripts")
began = time.time()

given_config = {key: value for key, value in config.items() if key != "pathvars"}


def refuse(error):
    """Return an error with all that is wrong with config and sheet, and with the plates if the target is `check`."""
    results = Path(workflow.pathvars.apply("<results>"))
    return WorkflowError(checked.refusal(given_config, error, results=results, plates="check" in sys.argv))


twice = [text for path in workflow.configfiles for text in doubled_keys.doubled(Path(str(path)))]
try:
    if twice:
        raise ValueError("\n".join(twice))
    config.update(resolve(given_config))
except ValueError as error:
    raise refuse(error) from None
settings = typed(config)
store = settings.index.object_store
os.environ.update(object_store.environment(anonymous=store.anonymous, endpoint=store.endpoint))
# With a default storage provider, jobs share no folder: each input and output travels through a store (docs/cloud.md).
stored = workflow.storage_settings.default_storage_provider is not None
if stored and workflow.is_main_process:
    prefix_of_results = workflow.storage_settings.default_storage_prefix
    unanswered = credentials.of_store(workflow.storage_registry.default_storage_provider, prefix=prefix_of_results)
    if unanswered:
        raise WorkflowError(unanswered)
demo_screen = yaml.safe_load(Path(workflow.source_path("../../resources/demo/screen.yaml")).read_text())
demo = tuple(screen_of(demo_screen, where="resources/demo/screen.yaml").plates)
demo_folder = Path(workflow.pathvars.apply("<results>/demo"))
seeing = needs_images(settings.encoders)
imaged = seeing and not ready_made(settings.crops)
try:
    plates = sheet.read(settings.plates, demo=demo_folder, simulated=demo, images=seeing)
    own = {name: (demo_folder / name).resolve() for name in plates.index}
    simulated = [name for name in own if imaged and Path(plates.loc[name, "images"]).resolve() == own[name]]
    if imaged:
        # Jobs do not list the folders again: the main process gives them the time points that it found.
        again, rows = workflow.is_main_process, plates.to_dict("records")
        rows = times.expanded(rows, settings.index, simulated=simulated, known=os.environ, again=again)
        plates = pd.DataFrame(rows).set_index("plate", drop=False)
        config.update(times.grouped(config))
        settings = typed(config)
    check_roles(settings.fit, plates["role"].to_dict())
    if seeing and (lacking := list(panels.problems(plates.to_dict("records"), settings))):
        raise ValueError("\n".join(lacking))
except ValueError as error:
    raise refuse(error) from None
obstacles = travel.obstacles(settings, plates, simulated=simulated) if stored else []
if obstacles:
    raise WorkflowError("\n".join(obstacles))
listed = exclusions.read(settings.survey.exclusions)
exclusions.check(listed, [*sheet.names(settings.plates), *plates.index])
encoders = list(settings.encoders)
classical = [name for name, entry in settings.encoders.items() if entry.kind == "classical"]
foreign = [name for name, entry in settings.encoders.items() if entry.kind == "table"]
learned = [name for name in encoders if name not in (*classical, *foreign)]
celled = [name for name, entry in settings.encoders.items() if entry.view.kind == "cell"]
trained = [name for name in learned if trains(settings.encoders[name])]
ready, pictured = ([], plates.index.tolist()) if imaged else (plates.index.tolist() if seeing else [], [])
segmented = imaged and settings.cells.activate
networked = segmented and settings.cells.method == "cellpose"
fitted = plates.index[plates["role"] == "fit"].tolist()


wildcard_constraints:
    plate=one_of(plates.index),
    optics=one_of(plates["optics"]),
    encoder=one_of(encoders),


def code(script, *also):
    """Return the digest of a script, the library code that it imports and further files; None without `track_code`."""
    if not settings.track_code:
        return None
    return digest_of_code(here / "scripts" / f"{script}.py", *(here / file for file in also))
