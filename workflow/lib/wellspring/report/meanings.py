"""What each metric is, in a sentence: names of metrics in, the sentences of those that there are out."""

from collections.abc import Iterable

from wellspring.report import naming

MEANS = {
    "activity": "For each well of a treatment, how far ahead of its plate's negative controls its replicates stand "
    "when all are ranked by likeness; 1 where every replicate comes first.",
    "activity.retrieved": "Share of treatments whose activity is larger than chance gives, at a false discovery rate.",
    "replicating": "Share of treatments whose replicates' median correlation is above the 95th percentile of that of "
    "random groups of as many wells of different compounds; of inactive ones 5 % are.",
    "grit": "How many standard deviations above the negative controls a well correlates with its replicates.",
    "consistency": "For each well, how far ahead of all others wells of other compounds with its mechanism stand when "
    "all are ranked by likeness.",
    "nsc": "Share of treatments whose nearest treatment of another compound has their mechanism.",
    "nscb": "The same, where the nearest treatment must also come from another batch.",
    "nsc.drop": "What the nearest treatment loses when it must come from another batch: likeness that was the batch's.",
    "hit": "Share of treatments with their mechanism among the k nearest treatments of other compounds.",
    "precision": "Share of the k nearest treatments of other compounds that have the treatment's mechanism.",
    "enrichment": "That share over the mechanism's share among all treatments; 1 where likeness says nothing.",
    "matching": "Share of mechanisms whose compounds' median correlation is above the 95th percentile of that of "
    "random groups of as many compounds of different mechanisms; without effects 5 % are.",
    "transfer": "Share of wells of one group (cell line, batch) whose label is that of their nearest wells in another; "
    "the gap is how much better it is read within a group, on other plates.",
    "clisi": "How pure in mechanism the neighbourhoods of wells are, wells of the same compound left out; 1 where a "
    "neighbourhood has one mechanism, 0 where it has all alike.",
    "connectivity": "Share of a compound's wells that hang together in the graph of nearest neighbours.",
    "dose.spearman": "Rank correlation of a compound's dose and its place between negative and positive controls.",
    "dose.z_prime": "How far apart positive and negative controls stand for their spread; above 0.5 is an excellent "
    "assay.",
    "nuisance.batch": "How well the batch of a negative control is read from its nearest one of the same cell line.",
    "nuisance.plate": "How well the plate of a negative control is read from its nearest one of the same cell line.",
    "nuisance.row": "How well the row of a negative control is read from its nearest one on another plate.",
    "nuisance.column": "How well the column of a negative control is read from its nearest one on another plate.",
    "nuisance.edge": "How well it is read from the nearest one on another plate whether a control stands at the edge.",
    "mixing.kbet": "Share of wells whose neighbourhood has batches (plates) in the proportions of all wells, by a "
    "chi-squared test at 5 %.",
    "mixing.ilisi": "How many batches (plates) a neighbourhood holds, effectively: 0 for one, 1 for all alike.",
    "mixing.silhouette": "How little wells of one batch (plate) lie together, within sets of replicates: 1 where "
    "batches overlap wholly.",
}


def meanings(metrics: Iterable[str]) -> list[tuple[str, str]]:
    """Return (name, sentence) of each known metric that one of `metrics` begins with, in `naming`'s order."""
    there = {naming.known(metric) for metric in metrics}
    return [(naming.KNOWN[name][0], MEANS[name]) for name in naming.KNOWN if name in there and name in MEANS]
