"""Data of the treatments' panels: doses, wells, scores and pictures of each compound, and the cards of the strongest.

A panel shows its doses from the strongest to the weakest, each beside negative controls of the same plates.
"""

import math

from wellspring.report import cell_pictures, doses, plates, tiles
from wellspring.report.active import Population, Treatment
from wellspring.report.gather import Record, Screen
from wellspring.report.svg import fixed, number, probability
from wellspring.report.tiles import Tiles, Well

CARDS = 10  # treatments on the first screen


def pictures(screen: Screen, found: Population) -> tuple[Tiles, dict[str, list[Well]], dict[str, list[Well]]]:
    """Return the tiles, the pictured wells of each treatment, and those of the controls of each plate.

    The strongest treatments come first where the page has no room for all.
    """
    order = [*found.strongest(), *found.controls]
    order += [*(one for one in found.treatments if not one.tested), *found.held_out]
    on = sorted({plate for one in order for plate, _ in one.wells})
    each, size = tiles.plan(len(order), len(on), len(screen.channels))
    order = order[: tiles.affordable(size, len(on), len(screen.channels)) // each]
    there = {plate: tiles.pictured(screen, plate) for plate in on}
    shown = {
        one.item: tiles.spread([well for well in one.wells if well[1] in there[well[0]]], each)
        for one in sorted(order, key=lambda one: (one.compound, one.item))
    }
    beside = {plate: wells for plate, wells in tiles.controls(screen).items() if plate in there}
    wells = [well for some in (*shown.values(), *beside.values()) for well in some]
    further = cell_pictures.tiles(screen, found, size=size)
    return tiles.make(screen, wells, size=size, each=each, further=further), shown, beside


def block(
    screen: Screen, found: Population, made: tuple[Tiles, dict[str, list[Well]], dict[str, list[Well]]]
) -> Record:
    """Return the data of all panels.

    `treatments` (one per treatment and positive control, as in `Population.everything`), `rank` (of the tested
    ones, 0 the strongest), `unitless` (whether doses have no unit), `compounds` (name, mechanism), `plates`, `size`
    (rows, columns), `negative` (control wells per plate), `controls` (tiles per plate), `tiles`.
    """
    sheet, shown, beside = made
    everything, unit = found.everything, doses.unit(screen.aligned)
    named = list(dict.fromkeys(one.compound for one in everything))
    compound = {name: place for place, name in enumerate(named)}
    on = list(dict.fromkeys(plate for one in everything for plate, _ in one.wells))
    spot = {plate: place for place, plate in enumerate(on)}
    size = plates.shape(screen.wells["Metadata_Well"]) if len(screen.wells) else (8, 12)
    rows = [
        {
            "item": one.item,
            "perturbation": one.perturbation,
            "compound": compound[one.compound],
            "dose": f"{number(one.dose, digits=6)} {unit}".rstrip() if math.isfinite(one.dose) else "",
            "amount": one.dose if math.isfinite(one.dose) else None,
            "control": one.kind != "trt",
            "score": fixed(one.score),
            "q": probability(one.q),
            "active": found.is_active(one) if one.tested else None,
            "replicates": one.replicates,
            "wells": [[spot[plate], place] for plate, well in one.wells if (place := _place(well, size)) is not None],
            "tiles": [sheet.numbers[well] for well in shown.get(one.item, ()) if well in sheet.numbers],
            "cells": cell_pictures.block(screen, one, sheet.numbers, encoder=found.encoder),
            "channel": sheet.difference(shown.get(one.item, ()), [well for some in beside.values() for well in some]),
        }
        for one in everything
    ]
    negative = _negative(screen, on, size)
    rank = {one.item: place for place, one in enumerate(found.strongest())}
    mechanism = {one.compound: one.mechanism for one in reversed(everything)}  # of its first treatment
    return {
        "treatments": rows,
        "unitless": not unit and any(row["amount"] is not None for row in rows),
        "rank": [rank.get(one.item) for one in everything],
        "compounds": [[name, mechanism[name]] for name in named],
        "plates": on,
        "size": size,
        "negative": negative,
        "controls": [[sheet.numbers[well] for well in beside.get(plate, ()) if well in sheet.numbers] for plate in on],
        "tiles": sheet.block(),
        "rule": found.rule(),
        "encoder": found.encoder,
        "level": found.level,
    }


def cards(found: Population, data: Record) -> list[Record]:
    """Return the strongest treatments with the numbers of a tile and of one of a control of the same plate, if any."""
    place = {row["item"]: number for number, row in enumerate(data["treatments"])}
    return [_card(one, place[one.item], data, active=found.is_active(one)) for one in found.strongest(CARDS)]


def _card(one: Treatment, place: int, data: Record, *, active: bool) -> Record:
    row = data["treatments"][place]
    pair = _pair(row["tiles"], data)
    return {
        "place": place,
        "name": one.compound,
        "dose": row["dose"],
        "mechanism": one.mechanism,
        "score": row["score"],
        "q": row["q"],
        "active": active,
        "replicates": one.replicates,
        "pair": pair,
        "channel": data["tiles"]["channels"][row["channel"]] if pair else "",
    }


def _pair(some: list[int], data: Record) -> list[int]:
    """Return a tile and one of a control of the same plate, empty without both."""
    names = data["tiles"]["wells"]
    for tile in some:
        for plate, others in zip(data["plates"], data["controls"], strict=True):
            if others and names[tile].rpartition(" ")[0] == plate:
                return [tile, others[0]]
    return []


def _negative(screen: Screen, on: list[str], size: tuple[int, int]) -> list[list[int]]:
    if screen.wells.empty or "Metadata_pert_type" not in screen.wells:
        return [[] for _ in on]
    wells = screen.wells[screen.wells["Metadata_pert_type"] == "negcon"]
    found = {plate: rows["Metadata_Well"] for plate, rows in wells.groupby("Metadata_Plate")}
    return [[place for well in found.get(plate, ()) if (place := _place(well, size)) is not None] for plate in on]


def _place(well: str, size: tuple[int, int]) -> int | None:
    spot = plates.position(well)
    return spot[0] * size[1] + spot[1] if spot else None
