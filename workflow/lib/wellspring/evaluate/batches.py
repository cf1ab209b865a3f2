"""How well batches and plates mix, after scIB (Luecken et al. 2022).

In flow well profiles, out flow scores: `mixing.<kbet | ilisi | silhouette>.<batch | plate>.<controls | wells>`.
Neighbours are the nearest by cosine, at the chord's length |x - y| of unit rows, among wells of the same cell line, so
that lines do not count as batches. Chance is the same score of the same neighbourhoods after labels are dealt anew,
because what full mixing gives depends on how many wells and labels there are.

The controls are one treatment, so that a batch that differs there differs by itself. Over all wells batches also differ
where they hold other compounds.
"""

from functools import partial

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.mixing import LEAST, ROUNDS, SHARE, by_label, chord, few, kbet, kernel, mixture, silhouettes
from wellspring.evaluate.neighbours import nearest
from wellspring.evaluate.score import Score, absent

TARGETS = {"batch": wells.BATCH, "plate": wells.PLATE}
ALPHA = 0.05  # of kBET's test (Büttner et al. 2019)


def mixing(
    features: np.ndarray,
    metadata: pd.DataFrame,
    *,
    neighbours: int = 90,
    tested: int = 50,
    queries: int | None = None,
    seed: int = 0,
) -> list[Score]:
    """Return kBET's acceptance rate, scaled iLISI and batch silhouette, of batch and plate, of controls and all wells.

    All lie in 0 to 1, 1 for full mixing. kBET: the share of wells whose neighbourhood passes the test at .05. iLISI:
    (median LISI - 1) / (labels - 1). Silhouette: mean over sets of replicates in a line (the controls are one set) of
    the mean of 1 - |s|.

    Parameters
    ----------
    neighbours, tested
        Wells of a neighbourhood for LISI and for kBET (there with the well itself), at most a quarter of the wells of
        the line; under 10 the line's wells are undefined.
    queries
        Wells at most whose neighbourhoods are read, drawn evenly over replicates; None: all.
    """
    usable, control = wells.defined(features, metadata), wells.kind(metadata, "negcon")
    scopes, found = {"controls": control, "wells": ~wells.kind(metadata, "empty")}, []
    names = wells.perturbations(metadata).astype(str)
    names[control] = "control"
    line = wells.column(metadata, wells.LINE).astype(str)
    for scope, member in scopes.items():
        keep = np.flatnonzero(member & usable)
        lost, part = int(member.sum() - len(keep)), metadata.iloc[keep].reset_index(drop=True)
        rows, place = wells.units(features[keep]), pd.factorize(line[keep])[0]
        given = {"queries": queries, "seed": seed, "lost": lost, "scope": scope}
        found += _local(rows, part, names[keep], place, neighbours=neighbours, tested=tested, **given)
        found += _silhouette(rows, part, names[keep], place, **given)
    return found


def _local(
    rows: np.ndarray,
    metadata: pd.DataFrame,
    names: np.ndarray,
    place: np.ndarray,
    *,
    neighbours: int,
    tested: int,
    queries: int | None,
    seed: int,
    lost: int,
    scope: str,
) -> list[Score]:
    """Return kBET and iLISI of one set of wells; `place` are the codes of their cell lines."""
    taken = np.arange(len(rows)) if queries is None else wells.drawn(names, at_most=queries, seed=seed)
    note, largest = wells.sampling(len(taken), len(rows)), int(np.bincount(place).max()) if len(place) else 0
    metrics = [(kind, target) for kind in ("kbet", "ilisi") for target in TARGETS]
    parts: dict[tuple[str, str], list] = {key: [] for key in metrics}
    for number in range(int(place.max(initial=-1)) + 1):
        here, mine = np.flatnonzero(place == number), taken[place[taken] == number]
        reach = len(here) // SHARE
        if reach < LEAST or not len(mine):
            continue
        near = nearest(
            rows,
            queries=mine,
            references=here,
            k=min(max(neighbours, tested), reach),
            barred=lambda query, all_=here: query[:, None] == all_[None, :],
        )
        k, size = min(neighbours, reach), min(tested, reach)
        weights = kernel(chord(near.similarity[:, :k]), k // 3)
        itself = np.column_stack([mine, near.index[:, : size - 1]])
        for target, column in TARGETS.items():
            truth = wells.column(metadata, column).astype(str)
            code = np.full(len(rows), -1)
            labels, code[here] = np.unique(truth[here], return_inverse=True)
            if len(labels) < 2:
                continue
            share = np.bincount(code[here]) / len(here)
            readers = {
                "kbet": partial(_accepted, neighbours=itself, expected=share),
                "ilisi": partial(mixture, neighbours=near.index[:, :k], weights=weights, count=len(labels)),
            }
            for kind, read in readers.items():
                rng, dealt, chances = np.random.default_rng(seed), code.copy(), []
                for _ in range(ROUNDS):
                    dealt[here] = rng.permutation(code[here])
                    chances.append(read(dealt))
                frame = pd.DataFrame({"row": mine, "value": read(code), "label": truth[mine]})
                parts[kind, target].append((frame, np.array(chances)))
    cluster = _well_names(metadata)
    return [
        _mixed(f"mixing.{kind}.{target}.{scope}", parts[kind, target], cluster, len(taken), largest, lost, note, kind)
        for kind, target in metrics
    ]


def _accepted(labels: np.ndarray, *, neighbours: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return 1.0 for each neighbourhood (n,) that kBET accepts, else 0.0."""
    return (kbet(neighbours, labels, expected) >= ALPHA).astype(float)


def _mixed(
    metric: str, parts: list, cluster: np.ndarray, total: int, largest: int, lost: int, note: str, kind: str
) -> Score:
    if not parts:
        reason = few(largest, "wells of a cell line") if largest // SHARE < LEAST else "no cell line has two of them"
        return absent(metric, reason, n_undefined=lost + total)
    frame = pd.concat([part for part, _ in parts], ignore_index=True)
    dealt = np.concatenate([chances for _, chances in parts], axis=1)
    centre = np.median if kind == "ilisi" else np.mean
    return Score(
        metric,
        items=by_label(frame),
        units=pd.DataFrame({"stratum": metric, "cluster": cluster[frame["row"]], "value": frame["value"]}),
        chance=float(np.mean(centre(dealt, axis=1))),
        guard="full mixing: labels dealt anew to the wells",
        n=len(frame),
        n_undefined=lost + total - len(frame),
        proportion=kind == "kbet",
        disjoint=metric.endswith("controls"),
        median=kind == "ilisi",
        note=note,
    )


def _silhouette(
    rows: np.ndarray,
    metadata: pd.DataFrame,
    names: np.ndarray,
    place: np.ndarray,
    *,
    queries: int | None,
    seed: int,
    lost: int,
    scope: str,
) -> list[Score]:
    """Return the batch silhouettes of one set of wells, by sets of replicates in a line."""
    group = np.array([f"{name}|{line}" for name, line in zip(names, place, strict=True)], dtype=object)
    taken = np.arange(len(rows))
    if queries is not None and len(set(group)) > 1:
        taken = wells.drawn_whole(group, at_most=queries, seed=seed)
    cluster, scores = _well_names(metadata), []
    # Chance is a mean over deals and sets: many sets need few deals each.
    rounds = max(3, ROUNDS // max(1, len(set(group[taken]))))
    for target, column in TARGETS.items():
        metric, truth = f"mixing.silhouette.{target}.{scope}", wells.column(metadata, column).astype(str)
        rng, parts, chances = np.random.default_rng(seed), [], []
        for name, members in pd.Series(taken).groupby(group[taken], sort=True):
            mine = members.to_numpy()
            count = len(set(truth[mine]))
            # One label alone has no other to be far from; labels of one well each have no inside.
            if count < 2 or count == len(mine):
                continue
            value = 1 - np.abs(silhouettes(rows[mine], truth[mine]))
            parts.append(pd.DataFrame({"row": mine, "value": value, "label": truth[mine], "stratum": name}))
            dealt = [np.mean(1 - np.abs(silhouettes(rows[mine], rng.permutation(truth[mine])))) for _ in range(rounds)]
            chances.append(np.mean(dealt))
        if not parts:
            reason = "no set of replicates in a cell line has two of them, one with two wells"
            scores.append(absent(metric, reason, n_undefined=lost + len(taken)))
            continue
        frame = pd.concat(parts, ignore_index=True)
        units = frame[["stratum", "value"]].assign(cluster=cluster[frame["row"]])
        scores.append(
            Score(
                metric,
                items=by_label(frame),
                units=units,
                chance=float(np.mean(chances)),
                guard="full mixing: labels dealt anew to the wells",
                n=len(frame),
                n_undefined=lost + len(taken) - len(frame),
                disjoint=scope == "controls",
                note=wells.sampling(len(taken), len(rows)),
            )
        )
    return scores


def _well_names(metadata: pd.DataFrame) -> np.ndarray:
    plate, well = (wells.column(metadata, name) for name in (wells.PLATE, "Metadata_Well"))
    return np.array([f"{a} {b}" for a, b in zip(plate, well, strict=True)], dtype=object)
