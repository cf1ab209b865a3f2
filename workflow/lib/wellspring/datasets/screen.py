"""The folder of a screen: sheet, platemaps and the recipe's config in, files in ``config/`` out.

Also the arguments that the recipes' commands share.
"""

import argparse
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from wellspring.io import object_store
from wellspring.io.shipped import DATASET_RECIPES
from wellspring.io.tables import atomic

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Screen:
    """What a recipe makes: the sheet, further tables by their path in ``config/``, and settings of ``index``."""

    sheet: pd.DataFrame  # plate, batch, cell_line, images, platemap, role, ...: strings
    files: Mapping[str, pd.DataFrame]  # CSV by its path below config/
    settings: Mapping[str, str] = field(default_factory=dict)  # key of the config's section index -> value as in YAML
    encoders: Mapping[str, str] = field(default_factory=dict)  # encoder of kind table, one row per tile -> its files
    channels: Sequence[str] = ()  # of the config, where the recipe's config does not state them


def write(screen: Screen, folder: Path | str, *, recipe: str, overwrite: bool = False) -> Path:
    """Write ``config/`` of the screen's folder and return its path.

    Parameters
    ----------
    screen
        What to write; concentrations are written so that the same double is read back.
    folder
        The screen's folder; raw images are neither copied nor linked.
    recipe
        Folder of ``resources/datasets`` whose ``config.yaml`` becomes the screen's.
    overwrite
        Replace files that are there; without it they are an error, since a sheet may have been edited.

    Raises
    ------
    ValueError
        Files are there already, or the recipe's config has not exactly one line for a setting.
    """
    home = Path(folder) / "config"
    names = ["plates.tsv", "config.yaml", *screen.files]
    there = [name for name in names if (home / name).exists()]
    if there and not overwrite:
        raise ValueError(f"{home}: expected none of {names[:3]}, found {there[:3]} (--overwrite replaces them)")
    config = settled((DATASET_RECIPES / recipe / "config.yaml").read_text(), screen.settings)
    config = with_tables(config, screen.encoders)
    if screen.channels:
        config = re.sub(r"(?m)^channels: .*$", f"channels: [{', '.join(screen.channels)}]", config, count=1)
    for stale in {home / Path(name).parent for name in screen.files} - {home}:
        if stale.is_dir() and overwrite:
            shutil.rmtree(stale)  # else a plate that is no longer part of the screen keeps its platemap
    for name, table in screen.files.items():
        with atomic(home / name) as path:
            table.to_csv(path, index=False)
    with atomic(home / "plates.tsv") as path:
        screen.sheet.to_csv(path, sep="\t", index=False)
    with atomic(home / "config.yaml") as path:
        path.write_text(config)
    logger.info("%s: %d plates; run: snakemake -s CLONE/Snakefile -d %s -n", home, len(screen.sheet), folder)
    return home


def settled(config: str, settings: Mapping[str, str]) -> str:
    """Return a config's text with values of the section ``index`` replaced; its comments stay."""
    head, section, rest = re.split(r"(?ms)^(index:\n.*?)(?=^\S)", config, maxsplit=1)
    for key, value in settings.items():
        section, count = re.subn(rf"(?m)^  {key}: .*$", lambda _, k=key, v=value: f"  {k}: {v}", section)
        if count != 1:
            raise ValueError(f"the recipe's config: expected one line index.{key}, found {count}")
    return head + section + rest


def with_tables(config: str, tables: Mapping[str, str]) -> str:
    """Return a config's text with encoders of kind table, one row per tile, at the end of the section ``encoders``."""
    if not tables:
        return config
    head, section, rest = re.split(r"(?ms)^(encoders:\n.*?)(?=^\S)", config, maxsplit=1)
    entries = (
        f"  {name}:\n    kind: table\n    files: {files}\n    view: {{kind: tile}}\n" for name, files in tables.items()
    )
    return f"{head}{section.rstrip()}\n{''.join(entries)}\n{rest}"


def checked(found: Iterable[str], known: Iterable[str], *, images: Path | str, metadata: Path | str) -> None:
    """Refuse a folder of images whose plate the published metadata do not have."""
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise ValueError(f"{images}: expected plates of {metadata}, found folders of {unknown[:5]}, which it lacks")


def present(plates: Sequence[str], found: Iterable[str], *, images: Path | str, partial: bool) -> list[str]:
    """Return the plates that have a folder of images; all of them must, unless `partial`."""
    held = set(found)
    absent = [plate for plate in plates if plate not in held]
    if absent and not partial:
        message = f"found none for {len(absent)} of them: {absent[:5]} (--partial goes on without them)"
        raise ValueError(f"{images}: expected a folder for each of {len(plates)} plates, {message}")
    if absent:
        logger.warning("%s: %d of %d plates have no images here: %s", images, len(absent), len(plates), absent)
    kept = [plate for plate in plates if plate in held]
    if not kept:
        raise ValueError(f"{images}: expected a folder for some of the plates {list(plates)[:5]}, found none")
    return kept


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments of all recipes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--images", type=Path, required=True, help="folder that holds the plates' folders of images")
    made.add_argument("--metadata", type=Path, required=True, help="folder with the published metadata files")
    return incomplete(outcome(made))


def outcome(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the arguments that concern what is written, and return the parser."""
    made.add_argument("--out", type=Path, required=True, help="folder of the screen; its config/ is written")
    made.add_argument("--overwrite", action="store_true", help="replace a config/ that is there")
    return made


def incomplete(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the argument by which what is missing is left out, and return the parser."""
    made.add_argument("--partial", action="store_true", help="go on with the plates whose images are there")
    return made


def store(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the arguments of an object store, and return the parser."""
    made.add_argument("--credentials", action="store_true", help="use your credentials; without it, none (public data)")
    made.add_argument("--endpoint", help="address of a store other than Amazon's, as https://minio.example.org:9000")
    return made


def reach(given: argparse.Namespace) -> dict[str, str]:
    """Let fsspec use the store that the arguments of `store` name; returns the setting of the section ``index``."""
    import fsspec

    os.environ.update(object_store.environment(anonymous=not given.credentials, endpoint=given.endpoint))
    fsspec.config.set_conf_env(fsspec.config.conf)  # read once, when fsspec was imported
    return {"object_store": json.dumps({"anonymous": not given.credentials, "endpoint": given.endpoint})}


def run(main: Callable[[Sequence[str] | None], None]) -> None:
    """Run a command; an error of its input ends it with one line and no traceback."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        main(None)
    except ConnectionError as error:
        sys.exit(f"error: {error}. Without a network, give a folder with a mirror in place of the URL")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
