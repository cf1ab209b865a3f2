"""The command `wellspring`, also `python -m wellspring`: a subcommand and its options."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module

from wellspring.io.credentials import masking

COMMANDS = {  # name: its module, which is loaded when it is asked for, and what it does
    "init": ("init.__main__", "set up a screen from folders of images, or from tables"),
    "check": ("report.checked", "check the screen in the current folder: config, sheet, platemaps, images, disk"),
    "score": ("api.score_command", "evaluate a table of profiles of any tool, without a screen"),
}


def main(given: Sequence[str] | None = None) -> int:
    """Run the subcommand that the first argument names, and return its exit status."""
    name, *rest = [*(sys.argv[1:] if given is None else given), ""]
    if name in COMMANDS:
        out, err = masking(sys.stdout), masking(sys.stderr)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                status: int = import_module(f"wellspring.{COMMANDS[name][0]}").main(rest[:-1])
        finally:
            out.flush()
            err.flush()
        return status
    asked = name in ("-h", "--help")
    unknown = [f"wellspring: expected one of {', '.join(COMMANDS)}, found {name!r}", ""] if name and not asked else []
    lines = [
        *unknown,
        "usage: wellspring COMMAND ...",
        "",
        *(f"  {name:<8}{text}" for name, (_, text) in COMMANDS.items()),
    ]
    lines += ["", "`wellspring COMMAND --help` lists the options. A screen is run by snakemake, see the README."]
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main())
