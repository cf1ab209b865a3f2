"""Whose results a folder holds: one screen's, so that two screens, or two people's runs of one, never mix their files.

Snakemake locks a working directory. Two of them whose results are one folder (an absolute path, a link) would each take
the other's files for its own. So a run leaves the path of its working directory in the folder, and refuses another's.
"""

from pathlib import Path

from wellspring.io.tables import atomic

FILE = ".screen"


def claim(results: str | Path, working: str | Path) -> None:
    """Note that `results` belong to the screen in the folder `working`; those of a folder that is gone are taken over.

    A screen that was moved or copied with its results keeps them: they lie in its folder and not in the other one.

    Raises
    ------
    ValueError
        The results belong to another screen, names both and what to do; or nothing can be written there.
    """
    results, working = Path(results).resolve(), Path(working).resolve()
    file = results / FILE
    owner = Path(file.read_text().strip()) if file.exists() else working
    if owner == working and file.exists():
        return
    moved = results.is_relative_to(working) and not results.is_relative_to(owner)
    if owner != working and owner.is_dir() and not moved:
        raise ValueError(
            f"{results}: expected results of the screen in {working}, found those of {owner}. Two screens need two "
            f"folders; if this one is to go on with the other's results, and that one never runs again, delete {file}"
        )
    try:
        with atomic(file) as temporary:
            temporary.write_text(f"{working}\n")
    except OSError as error:
        raise ValueError(f"{results}: expected a folder that may be written, found {error}") from error
