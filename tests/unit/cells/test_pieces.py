"""Large objects divided into pieces, as swollen organoids are: found by the outline that nuclei share."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from wellspring.cells import plausible
from wellspring.cells.flags import flag
from wellspring.cells.table import contact, table
from wellspring.io.notes import loads
from wellspring.io.tables import Verdict
from wellspring.report.wording import worded

SHAPE, DIAMETER = (190, 250), 24.0


def organoids(rng, *, diameter, count, pieces=1):
    """Return labels and counts (H, W) of discs, each divided at random by the nearest of `pieces` points in it."""
    grid, places, labels = np.mgrid[: SHAPE[0], : SHAPE[1]], [], np.zeros(SHAPE, np.uint32)
    for _ in range(2000):
        place = rng.uniform(diameter / 2 + 2, np.array(SHAPE) - diameter / 2 - 2)
        if len(places) < count and all(np.hypot(*(place - other)) > 1.05 * diameter for other in places):
            places.append(place)
            inside = np.hypot(grid[0] - place[0], grid[1] - place[1]) < diameter / 2 * rng.uniform(0.9, 1)
            coords = np.argwhere(inside)
            points = rng.permutation(coords)[:pieces]
            nearest = ((coords[:, None] - points) ** 2).sum(-1).argmin(1)
            labels[inside] = labels.max() + 1 + nearest
    mean = ndimage.gaussian_filter(100 + 500.0 * (labels > 0), 1.2)
    return labels, rng.normal(mean, 10).clip(0, 65535).astype(np.uint16), len(places)


def judged(fields):
    """Return the judged table of fields, each nuclei (H, W) and counts; a field is a well."""
    rows = [
        table(nuclei, nuclei, dna=dna, diameter=DIAMETER).assign(
            Metadata_Plate="P", Metadata_Well=f"A{number:02}", Metadata_Site="1"
        )
        for number, (nuclei, dna) in enumerate(fields, start=1)
    ]
    frame = flag(pd.concat(rows, ignore_index=True))
    return plausible.judge(frame, diameter=DIAMETER, shape=SHAPE, large=4.0)


def codes(frame):
    return {note.code for text in frame[plausible.COLUMN] for note in loads(text)}


def sectors(parts, *, radius=36):
    """Return a disc that is divided into equal sectors."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] - np.array([90.3, 120.6])[:, None, None]
    turn = (np.arctan2(y, x) + np.pi) / (2 * np.pi)
    return np.where(np.hypot(y, x) < radius, 1 + np.minimum((turn * parts).astype(int), parts - 1), 0)


@pytest.mark.parametrize("seed", range(4))
def test_the_contact_is_that_of_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    seeds = np.zeros((40, 55), bool)
    seeds[tuple(rng.integers(0, edge, 9) for edge in seeds.shape)] = True
    nearest = ndimage.distance_transform_edt(~seeds, return_indices=True)[1]
    labels = ndimage.label(seeds)[0][tuple(nearest)] * (ndimage.gaussian_filter(rng.random(seeds.shape), 3) > 0.48)
    labels[labels == 2] = 0  # an absent number
    reach = int(rng.integers(1, 4))
    found = contact(labels.astype(np.uint32), diameter=20 * reach)
    for number in range(1, labels.max() + 1):
        outline = touching = 0
        for y, x in np.argwhere(labels == number):
            around = labels[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
            near = labels[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
            if (around != number).any():
                outline += 1
                touching += ((near != number) & (near > 0)).any()
        assert found[number] == pytest.approx(touching / outline if outline else 0)


def test_pieces_share_more_of_their_outline_than_nuclei_that_touch():
    y, x = np.mgrid[:60, :90]
    pair = np.where(np.hypot(y - 30, x - 30) < 12, 1, 0) + np.where(np.hypot(y - 30, x - 53) < 12, 2, 0)
    assert 0 < contact(pair, diameter=24)[1:].max() < plausible.CONTACT
    for parts in (2, 3, 5):
        assert contact(sectors(parts), diameter=72 / np.sqrt(parts))[1:].min() > plausible.CONTACT


@pytest.mark.parametrize("seed", range(6))
def test_swollen_organoids_in_pieces_are_noted_and_others_are_not(seed):
    """Four wells of organoids of the usual size, and one of few swollen ones, which have more objects than these."""
    rng = np.random.default_rng(seed)
    fields = [organoids(rng, diameter=DIAMETER, count=9) for _ in range(4)]
    fields.append(organoids(rng, diameter=3 * DIAMETER, count=3, pieces=int(rng.integers(4, 8))))
    assert fields[-1][0].max() > fields[-1][2] + 5
    frame = judged([field[:2] for field in fields])
    there = frame["Metadata_Well"] == "A05"
    assert "nuclei_split" in codes(frame[there])
    assert codes(frame[~there]) == set()
    assert "divided into pieces" in worded(frame.loc[there, plausible.COLUMN].iloc[0])
    assert plausible.verdict(frame, Verdict()).keep


def test_a_plate_of_pieces_is_left_out_with_what_to_set():
    rng = np.random.default_rng(9)
    frame = judged([(sectors(parts), rng.normal(200, 5, SHAPE) + 300 * (sectors(parts) > 0)) for parts in (5, 6, 7)])
    verdict = plausible.verdict(frame, Verdict())
    assert not verdict.keep
    [reason] = [str(note) for note in verdict.notes if note.code == "most_nuclei_pieces"]
    assert "cells.nucleus_diameter" in worded(reason)


def test_few_pieces_are_no_finding():
    labels = sectors(plausible.LEAST - 1)
    assert "nuclei_split" not in codes(judged([(labels, 100 + 300 * (labels > 0))]))
    labels = sectors(plausible.LEAST)
    frame = judged([(labels, 100 + 300 * (labels > 0))])
    [note] = [note for note in loads(frame[plausible.COLUMN].iloc[0]) if note.code == "nuclei_split"]
    assert note.values == {"pieces": plausible.LEAST, "found": plausible.LEAST}
