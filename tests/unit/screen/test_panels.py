"""Panels of plates: how they are written, and which encoders and stages need which channels."""

import dataclasses

import pytest

from wellspring.screen import config, panels

CHANNELS = ["DNA", "ER", "Mito"]
SMALL = {"like": "demo.simclr", "view": {"kind": "tile", "size": 64}}


def settings(encoders: dict, **over) -> object:
    plain = {"channels": CHANNELS, "encoders": encoders, "cells": {"activate": False}}
    return config.typed(config.resolve(plain | over))


def rows(*written: str) -> list[dict]:
    return [{"plate": f"P{number}", "panel": text} for number, text in enumerate(written, start=1)]


@pytest.mark.parametrize("text", ["Mito,DNA", "DNA Mito", " Mito ;DNA", "DNA|Mito", "Mito + DNA", "DNA, Mito"])
def test_a_panel_is_in_the_order_of_the_screen(text):
    assert panels.of({"plate": "P1", "panel": text}, CHANNELS) == ["DNA", "Mito"]


@pytest.mark.parametrize("row", [{"plate": "P1"}, {"plate": "P1", "panel": ""}, {"plate": "P1", "panel": None}])
def test_without_a_panel_a_plate_has_all_channels(row):
    assert panels.of(row, CHANNELS) == CHANNELS


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"plate P1: panel: expected names out of channels, .* found \['RNA'\]"):
        panels.of({"plate": "P1", "panel": "DNA,RNA"}, CHANNELS)
    assert list(panels.problems(rows("DNA,RNA", ""), settings({"a": SMALL}))) == [
        "plate P1: panel: expected names out of channels, ['DNA', 'ER', 'Mito'], found ['RNA'] (names of the config, "
        "which may differ from those in the files)"
    ]


def test_encoders_need_their_channels_but_adaptive_ones_any():
    entries = {
        "whole": SMALL,
        "part": SMALL | {"channels": ["ER"]},
        "light": {"kind": "intensity", "view": {"kind": "tile", "size": 64}},
        "any": SMALL | {"stem": "adaptive"},
    }
    known, sheet = settings(entries), rows("", "DNA,ER", "ER Mito")
    assert list(panels.problems(sheet, known)) == [
        "panel: expected plates with the channels of encoders.whole (stem: adaptive takes any panel, or set its "
        "channels), found P2 without Mito; P3 without DNA: all plates have ER",
        "panel: expected plates with the channels of encoders.light (set its channels), found P2 without Mito; "
        "P3 without DNA: all plates have ER",
    ]
    assert list(panels.problems(rows("", "DNA,ER,Mito", ""), known)) == []
    alone = dataclasses.replace(known, encoders={"part": known.encoders["part"], "any": known.encoders["any"]})
    assert list(panels.problems(sheet, alone)) == []
    some = dataclasses.replace(known.encoders["any"], channels=("Mito",))
    assert list(panels.problems(sheet, dataclasses.replace(known, encoders={"any": some}))) == [
        "panel: expected a channel of encoders.any on each plate, found none on P2"
    ]


def test_cells_and_embeddings_by_channel_need_theirs():
    any_panel = {"any": SMALL | {"stem": "adaptive"}}
    cells = settings(any_panel, cells={"activate": True, "nuclei": "DNA", "cytoplasm": ["ER"]})
    assert list(panels.problems(rows("DNA ER", "DNA Mito"), cells)) == [
        "panel: expected plates with the channels of cells.nuclei and cells.cytoplasm, found P2 without ER: "
        "all plates have DNA"
    ]
    assert list(panels.problems(rows("DNA ER", "Mito"), cells)) == [
        "panel: expected plates with the channels of cells.nuclei and cells.cytoplasm, found P2 without DNA, ER: no "
        "channel is on all plates"
    ]
    each = settings(any_panel, embed={"channels": "each"})
    assert list(panels.problems(rows("", "ER"), each)) == [
        "panel: expected plates with the channels of embed.channels: each, found P2 without DNA, Mito: "
        "all plates have ER"
    ]


def test_a_channel_that_no_plate_trains_is_refused():
    """Its gains would be those of the first weights, and part of the vectors of the plates that have it."""
    known = settings({"any": SMALL | {"stem": "adaptive"}})
    sheet = [row | {"role": role} for row, role in zip(rows("DNA ER", ""), ("fit", "project"), strict=True)]
    assert list(panels.problems(sheet, known)) == [
        "panel: expected each channel of encoders.any on a plate of role fit, where it is trained, found none with "
        "Mito: name the others in encoders.any.channels"
    ]
    assert list(panels.problems([sheet[0], rows("", "")[1]], known)) == []
    narrow = dataclasses.replace(known.encoders["any"], channels=("DNA", "ER"))
    assert list(panels.problems(sheet, dataclasses.replace(known, encoders={"any": narrow}))) == []
    fixed = dataclasses.replace(known.encoders["any"], steps=0)
    assert list(panels.problems(sheet, dataclasses.replace(known, encoders={"any": fixed}))) == []


def test_ready_made_cells_state_their_channels_elsewhere():
    given = {"size": 96, "given": {"table": "cells.csv", "array": "cells.npy"}}
    ready = settings({"any": SMALL | {"stem": "adaptive", "view": {"kind": "cell", "size": 64}}}, crops=given)
    assert list(panels.problems(rows("DNA", ""), ready)) == [
        "panel: expected none for ready-made cells (crops.given.channels states theirs), found some of ['P1']"
    ]
