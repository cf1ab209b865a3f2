"""What metrics are called: the evaluation's names in, words, group and rank out.

One entry of `KNOWN` a metric. A name that begins with a known one is called by it and its further parts in words; a
metric that is not known is shown under its own name, without saying which way is good.
"""

import re

BIOLOGY, NUISANCE = "Biology: higher is better", "Nuisance: lower is better"
# No effect is the chance level here, and the most that can be had: a value below it is a batch effect.
MIXING = "Mixing of batches and plates: higher is better, chance is full mixing"
GUARDS, OTHER = "Guards: how far the others can be trusted", "Other"
GROUPS = (BIOLOGY, NUISANCE, MIXING, GUARDS, OTHER)
# metric -> (what it is called, group)
KNOWN = {
    "activity": ("Phenotypic activity (mAP)", BIOLOGY),
    "activity.retrieved": ("Active treatments (share)", BIOLOGY),
    "replicating": ("Treatments whose replicates correlate (percent replicating)", BIOLOGY),
    "grit": ("Replicates against the controls' spread (grit)", BIOLOGY),
    "consistency": ("Consistency of mechanisms (mAP)", BIOLOGY),
    "nsc": ("Mechanism of the nearest other compound (NSC)", BIOLOGY),
    "nscb": ("The same in another batch (NSCB)", BIOLOGY),
    "hit": ("Mechanism among the nearest treatments (hit)", BIOLOGY),
    "precision": ("Share of the nearest with the mechanism (precision)", BIOLOGY),
    "enrichment": ("The same over its frequency (enrichment)", BIOLOGY),
    "matching": ("Mechanisms whose compounds correlate (percent matching)", BIOLOGY),
    "transfer": ("Transfer", BIOLOGY),
    "clisi": ("Neighbourhoods of one mechanism (cLISI)", BIOLOGY),
    "connectivity": ("Replicates joined in the neighbour graph (graph connectivity)", BIOLOGY),
    "dose.spearman": ("Dose monotonicity (Spearman)", BIOLOGY),
    "dose.z_prime": ("Z′ of the positive controls", BIOLOGY),
    "nsc.drop": ("Drop from NSC to NSCB", NUISANCE),
    "nuisance.batch": ("Batch read from the controls", NUISANCE),
    "nuisance.plate": ("Plate read from the controls", NUISANCE),
    "nuisance.row": ("Row read from the controls", NUISANCE),
    "nuisance.column": ("Column read from the controls", NUISANCE),
    "nuisance.edge": ("Edge read from the controls", NUISANCE),
    "nuisance": ("Nuisance", NUISANCE),
    "mixing.kbet": ("Neighbourhoods mixed as all wells are (kBET)", MIXING),
    "mixing.ilisi": ("Labels in a neighbourhood (iLISI)", MIXING),
    "mixing.silhouette": ("Overlap of replicates (1 - silhouette)", MIXING),
}
# The metrics that the table shows at first and the overview names; all others unfold. Transfer: nearest neighbour only.
MAIN = ("activity", "activity.retrieved", "consistency", "nsc", "nscb", "dose.spearman", "nuisance.batch")
MAIN += ("nuisance.plate", "nuisance.edge")
BASELINES = {".permuted": "labels dealt anew", ".position_only": "position alone"}
HELD_OUT = ".heldout"
WORDS = {
    "k1": "k = 1",
    "k5": "k = 5",
    "k10": "k = 10",
    "controls": "among the controls",
    "wells": "among all wells",
    "gap": "gap to the diagonal",
    "cell line": "cell lines",
    "batch": "batches",
    "plate": "plates",
}


def baseline(metric: str) -> tuple[str, str]:
    """Return (metric it belongs to, its ending) of a baseline's name; the ending is empty for any other metric."""
    stem = metric.removesuffix(HELD_OUT)
    for ending in BASELINES:
        if stem.endswith(ending):
            return stem.removesuffix(ending) + metric[len(stem) :], ending
    return metric, ""


def known(metric: str) -> str:
    """Return the longest known name that a metric begins with, empty for none."""
    stem = metric.removesuffix(HELD_OUT)
    return max((name for name in KNOWN if stem == name or stem.startswith(f"{name}.")), default="", key=len)


def describe(metric: str) -> tuple[str, str, int]:
    """Return (name, group, direction) of a metric; parts that follow a known name are added to it in words.

    Direction is 1 where high is good, -1 where low is, 0 where neither is known.
    """
    stem, start = metric.removesuffix(HELD_OUT), known(metric)
    held = " on held-out plates" if stem != metric else ""
    if not start:
        return metric.replace("_", " "), OTHER, 0
    name, group = KNOWN[start]
    parts = [part.replace("_", " ") for part in stem[len(start) :].split(".") if part]
    if start == "transfer" and parts:
        name = f"Transfer between {WORDS.get(parts[0], parts[0])}"
        group = NUISANCE if parts[-1] == "gap" else group
        parts = parts[1:]
    rest = ", ".join(WORDS.get(part, part) for part in parts)
    return f"{name}{', ' if rest else ''}{rest}{held}", group, {BIOLOGY: 1, NUISANCE: -1}.get(group, 0)


def main(metric: str) -> bool:
    """Return whether a metric stands in the table at first; a metric that is not known does, lest it be overlooked."""
    stem = metric.removesuffix(HELD_OUT)
    return not known(metric) or stem in MAIN or (stem.startswith("transfer.") and stem.endswith(".k1"))


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a key that puts `compound 2` before `compound 10`."""
    parts = re.split(r"([0-9]+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def order(metric: str) -> tuple:
    """Return a metric's sort key: held-out plates last, then by group, main ones first, as they stand in `KNOWN`."""
    name, group, _ = describe(metric)
    start = known(metric)
    place = list(KNOWN).index(start) if start else len(KNOWN)
    return metric.endswith(HELD_OUT), GROUPS.index(group), not main(metric), place, natural(name)
