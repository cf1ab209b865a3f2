"""Compare the wells and channels of a table of images with those in the names of the files.

If the table agrees with the names of most files but not of a few, only a part of it was sorted or edited. Channels are
compared by the word that most files of a channel have in their names; it is found from the table itself, since every
microscope has words of its own. Where no word has a majority, the words of each field are compared with each other.
"""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

import pandas as pd

from wellspring.screen import well_names

logger = logging.getLogger(__name__)

MOST = 0.5  # share of the files above which their names state the well, or a word states the channel
SHOWN = 4
_ROWS = "|".join(sorted(map(well_names.row_name, range(well_names.ROWS)), key=len, reverse=True))
_WELL = re.compile(rf"(?i)(?<![a-z0-9])(?:r([0-9]{{2}})c([0-9]{{2}})|({_ROWS})(?: - |-)?([0-9]{{1,3}}))(?![0-9])")
_PART = re.compile(r"[0-9]+|[A-Za-z]+|[^0-9A-Za-z]+")


def check(planes: pd.DataFrame, *, plate: str, where: str) -> None:
    """Check the wells and channels that a table gives the files of a plate.

    Parameters
    ----------
    planes
        As ``listing.complete``.
    where
        Name of the table, for messages.

    Raises
    ------
    ValueError
        Most names agree with the table, and some state another well of the table. Other disagreement is a warning:
        names may follow a scheme of their own, and channels may have had another order in a part of the plate.
    """
    columns = ["path", "well", "site", "plane", "timepoint", "channel", "acquisition"]
    there = planes.loc[planes["path"].notna(), columns].drop_duplicates()
    there = there.assign(name=[str(path).rpartition("/")[2] for path in there["path"]])
    for column, compare in (("well", _wells), ("channel", _channels)):
        once = there.drop_duplicates(["path", column])
        compare(once[~once["path"].duplicated(keep=False)], plate, where)


def _wells(files: pd.DataFrame, plate: str, where: str) -> None:
    """Compare the wells; a name may state others than its own, as that of a plate."""
    said = [list(_stated(name)) for name in files["name"]]
    rows = [(name, well, wells) for name, well, wells in zip(files["name"], files["well"], said, strict=True) if wells]
    against = [(f"{name} is of {well}", wells) for name, well, wells in rows if well not in wells]
    wrong, known = [text for text, _ in against], set(files["well"])
    if not wrong:
        return
    words = f"expected the wells in the names of the files, found other wells for {len(wrong)} of {len(rows)} files"
    if len(wrong) < MOST * len(rows) and any(known & {*wells} for _, wells in against):
        raise ValueError(
            f"{plate}: {where}: {words}: {', '.join(wrong[:SHOWN])} (are rows of the table out of order, or its wells "
            "turned? correct the table)"
        )
    if len(wrong) < MOST * len(rows) or any(set(place) == known for place in zip(*said, strict=False)):
        logger.warning("%s: %s: %s: %s (is the table of another plate, or are its wells turned?)", plate, where, words,
                       ", ".join(wrong[:SHOWN]))  # fmt: skip


def _stated(name: str) -> Iterator[str]:
    """Yield the wells that a name states, as `A01` or `r01c01`."""
    for match in _WELL.finditer(name):
        row, column = (str(int(match[1])), match[2]) if match[1] else (match[3], match[4])
        try:
            yield well_names.of_pair(row, column)
        except ValueError:
            continue  # row 99 or column 0


def _channels(files: pd.DataFrame, plate: str, where: str) -> None:
    """Warn of files whose name has another channel's name, or the word that most files of another channel have."""
    names = {name.casefold(): name for name in files["channel"]}
    if len(names) < 2:
        return
    parts = [tuple(_PART.findall(name)) for name in files["name"]]
    shapes = [tuple("a" if part.isalpha() else "0" if part.isdecimal() else part for part in each) for each in parts]
    groups: dict[object, list[int]] = defaultdict(list)
    for row, key in enumerate(zip(files["acquisition"], shapes, strict=True)):
        groups[key].append(row)
    wrong: dict[str, str] = {}
    divided: list[str] = []
    channels, named = files["channel"].tolist(), files["name"].tolist()
    fields = list(files[["well", "site", "plane", "timepoint", "acquisition"]].itertuples(index=False, name=None))
    for rows in groups.values():
        for place in range(len(parts[rows[0]])):
            words = {row: parts[row][place].casefold() for row in rows}
            known = names if 1 < len(names.keys() & set(words.values())) == len(set(words.values())) else {}
            own = known or _own([(channels[row], word) for row, word in words.items()])
            if not own and not divided:
                divided = _divided([(fields[row], channels[row], word, named[row]) for row, word in words.items()])
            wrong |= {
                named[row]: channels[row]
                for row, word in words.items()
                if own.get(word, channels[row]) != channels[row]
            }
    if wrong:
        listed = ", ".join(f"{name} is of {channel}" for name, channel in list(wrong.items())[:SHOWN])
        logger.warning(
            "%s: %s gives %d files another channel than their names state: %s (are two channels swapped?)",
            plate, where, len(wrong), listed,
        )  # fmt: skip
    elif divided:
        logger.warning(
            "%s: %s gives files of one word in their names to several channels, none to most of them: %s (are two "
            "channels swapped in a part of the table?)", plate, where, ", ".join(divided),
        )  # fmt: skip


def _divided(rows: list[tuple[object, str, str, str]]) -> list[str]:
    """Return a file per channel that share a word which states a channel; rows are field, channel, word and name.

    A word states a channel where the files of each field have words of their own, as many as there are channels.
    """
    of_field: dict[object, list[str]] = defaultdict(list)
    owners: dict[str, dict[str, str]] = defaultdict(dict)
    for field, channel, word, name in rows:
        of_field[field].append(word)
        owners[word].setdefault(channel, name)
    count = len({channel for _, channel, _, _ in rows})
    if count < 2 or any(sorted(words) != sorted(owners) for words in of_field.values()):
        return []
    first = next((names for names in owners.values() if len(names) > 1), {})
    return [f"{name} is of {channel}" for channel, name in first.items()]


def _own(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return the word that most files of each channel have, to the channel; empty unless each has a word of its own."""
    words: dict[str, Counter[str]] = defaultdict(Counter)
    for channel, word in pairs:
        words[channel][word] += 1
    usual = {channel: found.most_common(1)[0] for channel, found in words.items()}
    if any(count <= MOST * words[channel].total() for channel, (_, count) in usual.items()):
        return {}
    own = {word: channel for channel, (word, _) in usual.items()}
    return own if 1 < len(own) == len(words) else {}
