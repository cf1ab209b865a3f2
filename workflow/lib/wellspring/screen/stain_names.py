"""Stains, by the names that microscopes and people give to channels."""

import re
from collections.abc import Mapping, Sequence

# Stain, by words in the names that microscopes give to channels. The first that matches counts.
WORDS = {
    "DNA": ("dna", "dapi", "hoechst", "draq5", "nuclei", "nucleus", "nuclear", "h2b", "405", "385", "387"),
    "Mito": ("mito", "mitotracker", "tmrm", "cy5", "640", "641", "647"),
    "RNA": ("rna", "syto", "syto14", "nucleoli", "532"),
    "AGP": ("agp", "phalloidin", "wga", "actin", "golgi", "561", "568", "txred", "texas"),
    "ER": ("er", "cona", "concanavalin", "endoplasmic", "488"),
    "GFP": ("gfp", "egfp", "fitc"),
    "RFP": ("rfp", "mcherry", "tritc", "cy3", "tdtomato"),
    "Tubulin": ("tubulin", "microtubule"),
    "Brightfield": ("brightfield", "bf", "transmitted", "phase", "dic"),
}


def of_name(name: str) -> str | None:
    """Return the stain that a channel's name states, None if it states none.

    Examples
    --------
    >>> of_name("HOECHST 33342"), of_name("Alexa 488"), of_name("w1"), of_name("Channel2")
    ('DNA', 'ER', None, None)
    """
    parts = set(re.findall(r"[a-z]+[0-9]*|[0-9]+", name.casefold())) | set(
        re.findall(r"[a-z]+|[0-9]+", name.casefold())
    )
    return next((stain for stain, words in WORDS.items() if parts & set(words)), None)


def swapped(channels: Sequence[str], aliases: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return pairs of channels that take each other's image by the names in the files, or one by another's name.

    Wavelengths count for nothing, since a stain is bought in several.

    Parameters
    ----------
    channels, aliases
        `channels` and `index.channels` of the config: name to the name in the files.

    Examples
    --------
    >>> swapped(["DNA", "ER", "Mito"], {"DNA": "ConA", "ER": "Hoechst", "Mito": "568"})
    [('DNA', 'ER')]
    >>> swapped(["DNA", "ER"], {"DNA": "er"}), swapped(["Mito", "AGP"], {"Mito": "561", "AGP": "641"})
    ([('DNA', 'ER')], [])
    """
    plain = {name.casefold(): name for name in channels}
    own = {stain: name for name in reversed(channels) if (stain := of_name(name)) is not None}
    other: dict[str, str] = {}
    stated: dict[str, str] = {}
    for name, alias in aliases.items():
        stain = of_name(re.sub("[0-9]+", "", alias))
        if plain.get(alias.casefold(), name) != name:
            stated[name] = plain[alias.casefold()]
        elif stain is not None and own.get(stain, name) != name and of_name(name) not in (None, stain):
            other[name] = own[stain]
    both = stated | other
    pairs = [(name, of) for name, of in both.items() if name in stated or both.get(of) == name]
    return list({frozenset(pair): pair for pair in reversed(pairs)}.values())[::-1]
