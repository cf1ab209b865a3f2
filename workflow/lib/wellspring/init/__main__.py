"""`wellspring init FOLDER...`: set up a screen from folders of images, or from tables, and check it.

`python -m wellspring.init --help` lists the options.
"""

import argparse
import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from wellspring.init import images, profiles, ready
from wellspring.init.subfolders import MEANINGS
from wellspring.io.shipped import CLONE
from wellspring.report import checked


def main(given: Sequence[str] | None = None) -> int:
    """Write `config/` of a new screen and check it; return 0, 1 if there are problems, 2 if nothing was written."""
    options = _parser().parse_args(given)
    out = (options.out or Path.cwd()).resolve()
    try:
        channels = _channels(options.channels)
        home = out / "config"
        there = [name for name in ("config.yaml", "plates.tsv") if (home / name).exists()]
        if there and not options.overwrite:
            raise ValueError(f"{home}: expected no screen here yet, found {there} (--overwrite replaces them)")
        _missing([*options.folders, *options.tables, *([one for one in (options.platemap, options.positions) if one])])
        if not options.folders and not options.tables:
            raise ValueError("expected the folders of images, or --tables FILE..., found neither")
        crops = ready.recognised(options.folders[0], len(channels)) if options.folders else None
        if crops is not None and len(options.folders) > 1:
            raise ValueError(f"expected one folder of ready-made crops, found {len(options.folders)} folders")
        if crops is not None and not options.tables:
            made = ready.screen(crops, platemap=options.platemap, out=out, channels=channels, steps=options.steps)
        elif options.tables:
            made = profiles.screen(options.tables, platemap=options.platemap, out=out)
        else:
            ask = images.answers() and not options.yes
            made = images.screen(
                options.folders,
                platemap=options.platemap,
                out=out,
                channels=channels,
                ask=ask,
                steps=options.steps,
                subfolders=options.subfolders,
                positions=options.positions,
            )
        home.mkdir(parents=True, exist_ok=True)
        (home / "plates.tsv").write_text(made.sheet)
        (home / "config.yaml").write_text(made.config)
    except (ValueError, OSError) as error:
        print(f"wellspring init: {error}", file=sys.stderr)
        return 2
    except EOFError:
        print("\nwellspring init: no answer, so that no config was written (--yes takes the guesses)", file=sys.stderr)
        return 2
    print("\n".join([*made.notes, f"written: {home / 'plates.tsv'}, {home / 'config.yaml'}\n"]))
    with contextlib.chdir(out):
        status = checked.main([])
    print("\nMend the problems, then run it:" if status else "\nRun it:")
    print(f"    cd {shlex.quote(str(out))}\n    snakemake -s {shlex.quote(str(CLONE / 'Snakefile'))} --cores all")
    return status


def _channels(given: Sequence[str]) -> dict[str, str]:
    wrong = [each for each in given if "=" not in each]
    if wrong:
        raise ValueError(f"--channels: expected NAME=NAME_IN_FILES, as DNA=w1, found {wrong}")
    pairs = [each.split("=", 1) for each in given]
    for which, names in zip(("name", "channel of the files"), zip(*pairs, strict=True), strict=False):
        if len(set(names)) < len(names):
            raise ValueError(f"--channels: expected each {which} once, found {list(given)}")
    return dict(pairs)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, found {text!r}")
    return int(text)


def _missing(paths: Sequence[Path]) -> None:
    lost = [str(path) for path in paths if not path.exists()]
    if lost:
        raise ValueError(f"there is no file or folder {', '.join(lost)}: correct the path")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wellspring init", description="Set up a screen: write config/ and check it.")
    add = parser.add_argument
    add("folders", nargs="*", type=Path, metavar="FOLDER", help="images of a plate, one folder per plate")
    add("--platemap", type=Path, help="platemap of all plates: CSV, TSV, .xlsx, or a folder by barcodes")
    add("--tables", nargs="+", default=[], type=Path, metavar="FILE", help="profile tables, instead of images")
    add("--out", type=Path, help="folder of the screen; by default the current one")
    add("--channels", nargs="+", default=[], metavar="NAME=IN_FILES", help="names of the channels, as DNA=w1")
    add("--subfolders", choices=MEANINGS, help="meaning of sub-folders of images, where their names do not decide")
    add("--positions", type=Path, metavar="FOLDER", help="lists of positions, filled in, for names without wells")
    add("--steps", type=_positive, help="training steps of each encoder, as 20 to try the whole run in minutes")
    add("--yes", action="store_true", help="ask nothing: take the guesses")
    add("--overwrite", action="store_true", help="replace a config that is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
