"""The constraint of a wildcard: the names that it may take in, a regular expression of just these out.

Snakemake goes through the whole constraint for each file of each job, so names written one after the other cost
plates x jobs. Names of plates mostly differ in a few places, and what they share is written once.
"""

import re
from collections import defaultdict
from collections.abc import Iterable


def one_of(names: Iterable[str]) -> str:
    """Return a regular expression that matches each of `names` and nothing else; nothing where there are none."""
    tree: dict = {}
    for name in names:
        node = tree
        for character in name:
            node = node.setdefault(character, {})
        node[""] = {}
    return _expression(tree) if tree else "(?!)"


def _expression(node: dict) -> str:
    """Return what may follow: characters with the same continuation are one class of characters."""
    continuations = defaultdict(list)
    for character in sorted(node.keys() - {""}):
        continuations[_expression(node[character])].append(re.escape(character))
    parts = [f"[{''.join(these)}]" if len(these) > 1 else these[0] for these in continuations.values()]
    ways = [part + rest for part, rest in zip(parts, continuations, strict=True)]
    if "" in node and ways:
        return f"(?:{'|'.join(ways)})?"
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})" if ways else ""
