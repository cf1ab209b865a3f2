"""Print the lines of requirements.lock, with their hashes, of the packages of a conda environment without torch.

python3 envs/subset.py core >core.lock    for `pip install --no-deps --require-hashes -r core.lock`

It needs nothing but Python, since the images run it before anything is installed (envs/Containerfile).
"""

import re
import sys
from pathlib import Path

ENVIRONMENTS = Path(__file__).resolve().parent


def main() -> None:
    """Print the subset; it fails if the lock has another version than the environment, or lacks a package."""
    lock = (ENVIRONMENTS.parent / "requirements.lock").read_text()
    entries = {entry.split(" ", 1)[0]: entry for entry in re.split(r"^(?=[\w.-]+==)", lock, flags=re.M)}
    for pinned in re.findall(r"^ +- (\S+==\S+)$", (ENVIRONMENTS / f"{sys.argv[1]}.yaml").read_text(), re.M):
        if pinned not in entries:
            sys.exit(
                f"envs/{sys.argv[1]}.yaml: expected {pinned} in requirements.lock, found none (nox -s environments)"
            )
        print(entries[pinned], end="")


if __name__ == "__main__":
    main()
