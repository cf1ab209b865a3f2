"""Check that the folder which a table names is the plate's folder, although the table names it as another machine did.

Tables of re-imaged wells, of a second measurement or of another plate name files that have the same names in every
measurement. A file is therefore taken only where the table's folder and the folder of the file may be the same.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

# Folders that hold the images of any measurement and so distinguish none.
GENERIC = frozenset(("images", "image", "img", "imgs", "tif", "tiff", "tiffs", "raw", "flex", "data", "pics"))
STEPS = ("timepoint_", "zstep_")


def folders(path: str) -> tuple[str, ...]:
    r"""Return the folders of a path as any system writes it, without the file's name; ``..`` and drives are left out.

    Examples
    --------
    >>> folders(r"C:\scans\P1\Images\a.tif")
    ('scans', 'P1', 'Images')
    """
    parts = PurePosixPath(path.partition("://")[2] or path.replace("\\", "/")).parts[:-1]
    return tuple(part for part in parts if part not in ("/", ".", "..") and not part.endswith(":"))


def measurement(parts: Sequence[str]) -> tuple[str, ...]:
    """Return the folders down to the one that identifies a measurement, in small letters: generic ones are left out."""
    kept = [part.casefold() for part in parts]
    while kept and (kept[-1] in GENERIC or kept[-1].startswith(STEPS)):
        kept.pop()
    return tuple(kept)


def rank(stated: Sequence[str], actual: Sequence[str], *, plate: str) -> int:
    """Return how well a table's folder agrees with a file's.

    3: equal in name. 2: named as the plate. 1: begins with the plate's name, and the plate's folder is named as the
    plate. 0: another name, such as that of a bucket. -1: the name of another plate or measurement.

    Parameters
    ----------
    stated, actual
        The folders as the table names them, and as they are on this disk.
    plate
        The plate, whose name the folder of a measurement usually begins with.

    Examples
    --------
    >>> rank(["home", "P1__run1", "Images"], ["data", "P1__run1"], plate="P1")
    3
    >>> rank(["home", "P1__run2", "Images"], ["data", "P1__run1"], plate="P1")
    -1
    >>> rank(["home", "bucket", "Images"], ["data", "P1__run1"], plate="P1")
    0
    """
    named, here, plate = measurement(stated), measurement(actual), plate.casefold()
    if not named:
        return 3
    last, own = named[-1], here[-1] if here else ""
    if last == own:
        return 3
    if plate in named:
        return 2
    if any(_begins(part, plate) for part in named):
        return 1 if own == plate else -1
    return -1 if _shape(last) and _shape(last) in (_shape(own), _shape(plate)) else 0


def disagreeing(
    found: Mapping[str, str], home: Sequence[str], *, plate: str, where: str, near: Collection[str] = ()
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the names whose folder is not the plate's, and these folders.

    A folder of another name (rank 0) is taken for the plate's if it is the only one that the table names. Names without
    folder always agree.

    Parameters
    ----------
    found
        Name in the table -> the end of it that is a file below ``home``.
    home
        The folders of the plate's own path.
    plate, where
        For the agreement, and for an error.
    near
        Topmost folders of names that are files on this disk: another folder beside them is not the plate's.

    Raises
    ------
    ValueError
        Several folders of the table agree equally well, so that it cannot be known which one is here.
    """
    ranks: dict[tuple[str, ...], int] = {}
    roots: dict[str, tuple[str, ...]] = {}
    for name, end in found.items():
        stated, below = folders(name), folders(end)
        root = measurement(stated[: len(stated) - len(below)])
        if root:
            roots[name] = root
            value = rank(stated, (*home, *below), plate=plate)
            ranks[root] = max(ranks.get(root, -1), -1 if value == 0 and root[0] in near else value)
    best = max(ranks.values(), default=-1)
    chosen = [root for root, value in ranks.items() if value == best >= 0]
    if len(chosen) > 1:
        raise ValueError(
            f"{plate}: {where} names files of several folders, and one of them alone can be {'/'.join(home)}: "
            f"{_shown(chosen)} (state where each lies in index.moved)"
        )
    lost = [name for name, root in roots.items() if root not in chosen]
    return lost, sorted({root for root in ranks if root not in chosen})


def _begins(part: str, plate: str) -> bool:
    return part.startswith(plate) and not part[len(plate) : len(plate) + 1].isalnum()


def _shape(name: str) -> str:
    """Return a name with 0 for each of its numbers: plates of one screen differ in these."""
    return re.sub(r"[0-9]+", "0", name) if re.search("[0-9]", name) else ""


def _shown(roots: Iterable[tuple[str, ...]]) -> list[str]:
    return sorted("/".join(root) for root in roots)[:10]
