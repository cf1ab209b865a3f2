"""Average precision with ties, its expectation, and the null distribution of a group's mean average precision.

Agrees with copairs 0.5.5 where no similarities tie, and with
scikit-learn always: tied pairs enter the ranking together. (copairs ranks positives first among ties, so that
identical profiles would get a perfect score.)

The null is the mean average precision of random similarities on the group's own graph of pairs: the similarity of two
replicates is one number that enters both of their lists. This makes the members' average precisions depend on each
other. On four replicates of noise against twelve controls, ignoring it (members drawn independently) gives 9.2 % of p
below 0.05 and 2.4 % below 0.005; repeating one member's null (copairs 0.5.5) gives 0.9 % and 0.03 %; sharing gives
5.8 % and 0.5 %.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from wellspring.evaluate.wells import Array

CELLS_AT_ONCE = 2_000_000
CELLS_IN_ALL = 30_000_000
MEMBERS = 48
DRAWS_AT_LEAST = 1000
TOLERANCE = 1e-9


def average_precision(positive: Array, negative: Array) -> float:
    """Return the average precision of similarities to positives (k,) among those to negatives (n,)."""
    ranked_positive, ranked_negative = np.sort(positive), np.sort(negative)
    hits = len(positive) - np.searchsorted(ranked_positive, positive, side="left")
    misses = len(negative) - np.searchsorted(ranked_negative, positive, side="left")
    return float(np.mean(hits / (hits + misses)))


def expected(positives: Array | int, total: Array | int) -> Array:
    """Return the mean average precision of a random order of `total` pairs of which `positives` are positive.

    E = ((m - 1) / (t - 1) * (t - H_t) + H_t) / t with H_t the harmonic number (Bestgen 2015).
    """
    m, t = np.broadcast_arrays(np.asarray(positives, float), np.asarray(total, float))
    top = int(t.max(initial=1))
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, top + 1))])[t.astype(int)]
    with np.errstate(invalid="ignore", divide="ignore"):
        value = ((m - 1) / (t - 1) * (t - harmonic) + harmonic) / t
    return np.where(t > 1, value, 1.0)


@lru_cache(maxsize=256)
def shared_null(members: int, negatives: int, *, size: int, seed: int, mates: bytes | None = None) -> Array:
    """Return null mean average precisions, sorted, of a group of `members` with `negatives` negatives each.

    There are `size` draws, or fewer (at least 1000) for large groups; above 48 members, the wider null of 48 is used.
    The result is cached and read-only: treatments with equal numbers of replicates share it. `mates` are the bytes of a
    matrix (members, members) bool: which members are each other's replicates; None: all.
    """
    pairs_of = np.ones((members, members), dtype=bool)
    if mates is not None:
        pairs_of = np.frombuffer(mates, dtype=bool).reshape(members, members).copy()
    np.fill_diagonal(pairs_of, False)
    spread = np.linspace(0, members - 1, min(members, MEMBERS)).astype(int)
    pairs_of = pairs_of[np.ix_(spread, spread)]
    pairs_of = pairs_of[np.ix_(pairs_of.any(axis=1), pairs_of.any(axis=1))]
    members = len(pairs_of)
    width = members - 1 + negatives
    size = int(min(size, max(DRAWS_AT_LEAST, CELLS_IN_ALL // (members * width))))
    rng = np.random.default_rng([seed, members, negatives])
    others = [np.flatnonzero(own) for own in pairs_of]
    step = max(1, CELLS_AT_ONCE // (members * width))
    means = []
    for start in range(0, size, step):
        count = min(step, size - start)
        pairs = np.triu(rng.random((count, members, members)), 1)
        pairs += pairs.transpose(0, 2, 1)
        negative, total = rng.random((count, members, negatives)), np.zeros(count)
        for member, own in enumerate(others):
            every = np.concatenate([pairs[:, member, own], negative[:, member]], axis=1)
            relevant = np.argsort(-every, axis=1) < len(own)
            precision = np.cumsum(relevant, axis=1) / np.arange(1, every.shape[1] + 1)
            total += (precision * relevant).sum(axis=1) / len(own)
        means.append(total / members)
    null = np.sort(np.concatenate(means))
    null.flags.writeable = False
    return null


@lru_cache(maxsize=256)
def list_null(positives: int, total: int, *, size: int, seed: int) -> Array:
    """Return average precisions (size,) of random orders of `total` pairs of which `positives` are positive."""
    rng = np.random.default_rng([seed, positives, total])
    if positives <= total / 2:
        # Places that were drawn twice are drawn anew; no place is preferred, so that every set is equally likely.
        places = np.sort(rng.integers(total, size=(size, positives)), axis=1)
        open_ = np.arange(size)
        while len(open_):
            again = np.zeros((len(open_), positives), dtype=bool)
            again[:, 1:] = np.diff(places[open_], axis=1) == 0
            open_, again = open_[again.any(axis=1)], again[again.any(axis=1)]
            rows = places[open_]
            rows[again] = rng.integers(total, size=int(again.sum()))
            places[open_] = np.sort(rows, axis=1)
    else:
        places, step = np.empty((size, positives), dtype=np.int64), max(1, CELLS_AT_ONCE // total)
        for start in range(0, size, step):
            block = rng.random((min(step, size - start), total)).argsort(axis=1)[:, :positives]
            places[start : start + step] = np.sort(block, axis=1)
    null: Array = (np.arange(1, positives + 1) / (places + 1)).mean(axis=1)
    null.flags.writeable = False
    return null


def listed_p(value: float, positives: Array, total: Array, *, size: int, seed: int) -> float:
    """Return p of a mean average precision of lists with so many positives and pairs (lists,), as copairs does.

    Lists of one shape have the same draws, so that the null of several such lists is that of one: the lists of the
    members of a group depend on each other. Ties count, other than in copairs.
    """
    shapes, counts = np.unique(np.column_stack([positives, total]), axis=0, return_counts=True)
    null = np.zeros(size)
    for (m, t), count in zip(shapes, counts, strict=True):
        null += count / len(positives) * list_null(int(m), int(t), size=size, seed=seed)
    return float((1 + (null >= value - TOLERANCE).sum()) / (1 + size))


def p_value(value: float, null: Array) -> float:
    """Return (1 + draws at or above `value`) / (1 + draws); ties count, `null` is sorted."""
    return float((1 + len(null) - np.searchsorted(null, value - TOLERANCE, side="left")) / (1 + len(null)))


def ranks(similarity: Array, allowed: Array) -> Array:
    """Return, for each column, the number of allowed columns of its row at least as similar, (rows, columns) int32.

    A column that is not allowed gets the number of columns plus one.
    """
    masked = np.where(allowed, -similarity, np.inf)
    order = np.argsort(masked, axis=1)
    ranked = np.take_along_axis(masked, order, axis=1)
    last = np.ones(ranked.shape, dtype=bool)
    last[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    ends = np.where(last, np.arange(1, ranked.shape[1] + 1, dtype=np.int32), np.int32(ranked.shape[1] + 1))
    ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    result = np.empty(ranked.shape, dtype=np.int32)
    np.put_along_axis(result, order, np.where(np.isfinite(ranked), ends, np.int32(ranked.shape[1] + 1)), axis=1)
    return result


def ranked_precisions(found: Array, members: Sequence[Array], label: Array) -> Array:
    """Return the average precision of each row (rows,) from its `ranks` (rows, n), NaN without positives.

    The positives of a row are the places `members[label]` whose rank is at most n. Rows whose labels have similar
    numbers of members are sorted together.
    """
    most = found.shape[1]
    result, size = np.full(len(found), np.nan), np.array([len(own) for own in members])
    width = np.ceil(np.log2(np.maximum(size[label], 1))).astype(int)
    for power in np.unique(width[size[label] > 0]):
        rows = np.flatnonzero((width == power) & (size[label] > 0))
        used, of = np.unique(label[rows], return_inverse=True)
        places = np.full((len(used), size[used].max()), -1)
        for place, name in enumerate(used):
            places[place, : size[name]] = members[name]
        places = places[of]
        ranked = found[rows[:, None], places]
        ranked[places < 0] = most + 1
        ranked.sort(axis=1)
        valid = ranked <= most
        hits = np.broadcast_to(np.arange(1, ranked.shape[1] + 1), ranked.shape)
        tied = valid[:, 1:] & (ranked[:, 1:] == ranked[:, :-1])
        if tied.any():
            # Ties enter together: all of them count the hits of the last.
            last = np.concatenate([~tied, np.ones((len(ranked), 1), dtype=bool)], axis=1)
            ends = np.where(last, hits, ranked.shape[1] + 1)
            hits = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
        count = valid.sum(axis=1)
        total = np.where(valid, hits / ranked, 0.0).sum(axis=1)
        result[rows] = np.divide(total, count, out=np.full(len(rows), np.nan), where=count > 0)
    return result


def chance_error(nulls: Sequence[Array], value: float, chance: float) -> float:
    """Return the standard error that random order gives the mean of scores: all of it at chance, none at a mean of 1.

    Parameters
    ----------
    nulls
        Draws of each score in random order.
    value, chance
        The mean, and its chance level.
    """
    variance = sum(float(null.var()) for null in nulls)
    return float(np.sqrt(variance)) / len(nulls) * float(np.clip((1 - value) / (1 - chance), 0, 1))
