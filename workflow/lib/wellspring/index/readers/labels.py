"""Compare the labels that ImageJ keeps with the pages of a stack with the channels as which these pages are taken."""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import tifffile

logger = logging.getLogger(__name__)

SHOWN = 3


def of(tiff: tifffile.TiffFile) -> tuple[str, ...]:
    """Return the label of each page; empty where ImageJ kept none."""
    found = (tiff.imagej_metadata or {}).get("Labels", ()) if tiff.is_imagej else ()
    return tuple(str(label).strip() for label in found)


def check(found: Mapping[str, Sequence[str]], aliases: Mapping[str, str], *, plate: str) -> None:
    """Warn of labels that contradict the config, and of stacks whose channels are in another order than most.

    Parameters
    ----------
    found
        File to the labels of its channels, in the order of the pages.
    aliases
        `index.channels`: name to number of the channel.
    """
    named = {path: tuple(labels) for path, labels in found.items() if labels and all(labels)}
    if not named:
        return
    numbers = {alias: name for name, alias in aliases.items()}
    first = next(iter(named.values()))
    if not set(numbers) & {str(number) for number in range(1, len(first) + 1)}:
        stated = ", ".join(f"{number} is {label!r}" for number, label in enumerate(first, 1))
        logger.warning("%s: channels are numbered, by their labels %s: name them in index.channels", plate, stated)
    for path, labels in named.items():
        wrong = [
            f"page {number} of {path} is labelled {label!r} and taken as {numbers[str(number)]}"
            for number, label in enumerate(labels, 1)
            if str(number) in numbers and (of_label := _name(label, aliases)) and of_label != numbers[str(number)]
        ]
        if wrong:
            logger.warning("%s: %s (are two channels swapped? correct index.channels)", plate, "; ".join(wrong[:SHOWN]))
            break
    usual = Counter(named.values()).most_common(1)[0][0]
    odd = [path for path, labels in named.items() if labels != usual and sorted(labels) == sorted(usual)]
    if odd:
        logger.warning(
            "%s: %d of %d stacks have their channels in another order by their labels, as %s: %s, where most have %s "
            "(page n is channel n in all of them: save them in one order)",
            plate, len(odd), len(named), odd[0], list(named[odd[0]]), list(usual),
        )  # fmt: skip


def _name(label: str, aliases: Mapping[str, str]) -> str | None:
    """Return the channel of the config whose name is a word of a label, if it is one alone."""
    words = set(re.findall(r"[^\W_]+", label.casefold()))
    found = [name for name in aliases if name.casefold() in words]
    return found[0] if len(found) == 1 else None
