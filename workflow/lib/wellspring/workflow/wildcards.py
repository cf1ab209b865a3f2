"""The constraint of a wildcard: a regular expression that matches a list of names and nothing else.

Snakemake matches the whole constraint for each file of each job, so names that are listed one after the other cost
plates x jobs. Names of plates mostly differ in a few places; the expression contains their common parts once.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

Tree: TypeAlias = dict[str, "Tree"]  # character to the possible next ones; the empty string ends a name


def one_of(names: Iterable[str]) -> str:
    """Return a regular expression that matches each of `names` and nothing else; without names it matches nothing.

    Examples
    --------
    >>> one_of(["P1", "P2", "Q"])
    '(?:P[12]|Q)'
    """
    tree: Tree = {}
    for name in names:
        node = tree
        for character in name:
            node = node.setdefault(character, {})
        node[""] = {}
    return _expression(tree) if tree else "(?!)"


def _expression(node: Tree) -> str:
    """Return the expression for the rest; characters with the same continuation become one class."""
    continuations = defaultdict(list)
    for character in sorted(node.keys() - {""}):
        continuations[_expression(node[character])].append(re.escape(character))
    parts = [f"[{''.join(these)}]" if len(these) > 1 else these[0] for these in continuations.values()]
    ways = [part + rest for part, rest in zip(parts, continuations, strict=True)]
    if "" in node and ways:
        return f"(?:{'|'.join(ways)})?"
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})" if ways else ""
