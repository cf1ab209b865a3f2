"""The command `wellspring`, also `python -m wellspring`: a subcommand and its options."""

import sys
from collections.abc import Sequence

COMMANDS = {
    "init": "set up a screen from folders of images, or from tables",
    "check": "check the screen in the current folder: config, sheet, platemaps, images, disk",
    "score": "evaluate a table of profiles of any tool, without a screen",
}


def main(given: Sequence[str] | None = None) -> int:
    """Run the subcommand that the first argument names, and return its exit status."""
    given = sys.argv[1:] if given is None else list(given)
    if given[:1] == ["score"]:
        from wellspring.score.__main__ import main as score

        return score(given[1:])
    if given[:1] == ["init"]:
        from wellspring.init.__main__ import main as init

        return init(given[1:])
    if given[:1] == ["check"]:
        from wellspring.report.checked import main as check

        return check(given[1:])
    asked = given[:1] in (["-h"], ["--help"])
    lines = ["usage: wellspring COMMAND ...", "", *(f"  {name:<8}{text}" for name, text in COMMANDS.items())]
    lines += ["", "`wellspring COMMAND --help` lists the options. A screen is run by snakemake, see the README."]
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main())
