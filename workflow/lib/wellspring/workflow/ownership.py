"""Ownership of a results folder: it belongs to one screen, so that two screens never mix their files.

Snakemake locks a working directory. Two working directories with the same results folder (an absolute path, a link)
would each take the other's files for its own. A run therefore writes the path of its working directory into the results
folder, and refuses a folder that names another one.
"""

from pathlib import Path

from wellspring.io.tables import atomic

FILE = ".screen"


def claim(results: str | Path, working: str | Path) -> None:
    """Record that `results` belong to the screen in the folder `working`.

    Results whose owner no longer exists are taken over. A screen that was moved or copied together with its results
    keeps them: they are inside its folder and not inside the former one.

    Raises
    ------
    ValueError
        The results belong to another screen (names both and the remedy), or the folder cannot be written.
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
            f"folders. To continue here with those results, if the other screen never runs again, delete {file}"
        )
    try:
        with atomic(file) as temporary:
            temporary.write_text(f"{working}\n")
    except OSError as error:
        raise ValueError(f"{results}: cannot be written: {error}") from error
