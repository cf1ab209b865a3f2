"""Panels: the channels of a plate, where it lacks some of the screen's (column `panel` of the sheet).

Encoders of the stem `adaptive` are trained on plates of different panels and embed each of them; every other encoder
needs its channels on all plates.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from wellspring.screen.encoder_kinds import frozen, ready_made, trains
from wellspring.screen.sections import Config


def of(row: Mapping[str, object], channels: Sequence[str]) -> list[str]:
    """Return the channels of a plate, in the screen's order.

    Parameters
    ----------
    row
        The plate's row of the sheet; an empty `panel`, or none, means all channels.
    channels
        Those of the screen.

    Raises
    ------
    ValueError
        The panel has a name that the screen has not; names the plate.

    Examples
    --------
    >>> of({"plate": "P1", "panel": "Mito, DNA"}, ["DNA", "ER", "Mito"])
    ['DNA', 'Mito']
    """
    named = [name for name in re.split(r"[\s,;|+]+", str(row.get("panel") or "")) if name]
    unknown = [name for name in named if name not in channels]
    if unknown:
        raise ValueError(
            f"plate {row['plate']}: panel: expected names out of channels, {list(channels)}, found {unknown} "
            "(names of the config, which may differ from those in the files)"
        )
    return [name for name in channels if name in named] if named else list(channels)


def problems(rows: Sequence[Mapping[str, object]], config: Config) -> Iterator[str]:
    """Yield what the plates of a sheet lack: names that are no channels, and channels that a stage needs."""
    panels: dict[str, list[str]] = {}
    for row in rows:
        try:
            panels[str(row["plate"])] = of(row, config.channels)
        except ValueError as error:
            yield str(error)
    whole = len(config.channels)
    if all(len(panel) == whole for panel in panels.values()):
        return
    if ready_made(config.crops):
        lacking = [name for name, panel in panels.items() if len(panel) < whole]
        yield f"panel: expected none for ready-made cells (crops.given.channels states theirs), found some of {lacking}"
        return
    needs: dict[str, Collection[str]] = {}
    if config.cells.activate:
        stains = config.cells.cytoplasm
        stains = (stains,) if isinstance(stains, str) else stains
        needs["cells.nuclei and cells.cytoplasm"] = (config.cells.nuclei, *stains)
    for name, entry in config.encoders.items():
        if entry.kind != "table" and entry.stem != "adaptive":
            hint = "set its channels" if frozen(entry) else "stem: adaptive takes any panel, or set its channels"
            needs[f"encoders.{name} ({hint})"] = entry.channels or config.channels
        elif entry.stem == "adaptive" and config.embed.channels == "each":
            needs["embed.channels: each"] = entry.channels or config.channels
    shared = [name for name in config.channels if all(name in panel for panel in panels.values())]
    way = f"all plates have {', '.join(shared)}" if shared else "no channel is on all plates"
    for key, wanted in needs.items():
        known = [name for name in wanted if name in config.channels]
        without = {plate: [name for name in known if name not in panel] for plate, panel in panels.items()}
        words = [f"{plate} without {', '.join(names)}" for plate, names in without.items() if names]
        if words:
            yield f"panel: expected plates with the channels of {key}, found {'; '.join(words)}: {way}"
    seen = {
        one for row in rows if row.get("role", "fit") == "fit" for one in panels.get(str(row["plate"]), config.channels)
    }
    for name, entry in config.encoders.items():
        if entry.stem != "adaptive":
            continue
        mine = list(entry.channels or config.channels)
        bare = [plate for plate, panel in panels.items() if not set(mine) & set(panel)]
        if bare:
            yield f"panel: expected a channel of encoders.{name} on each plate, found none on {', '.join(bare)}"
        unseen = [one for one in mine if one in config.channels and one not in seen]
        if trains(entry) and unseen:
            yield (
                f"panel: expected each channel of encoders.{name} on a plate of role fit, where it is trained, found "
                f"none with {', '.join(unseen)}: name the others in encoders.{name}.channels"
            )
