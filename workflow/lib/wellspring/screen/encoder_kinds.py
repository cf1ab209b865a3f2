"""Kinds of encoders: which are trained, which read images, and which views a kind takes by default."""

from collections.abc import Mapping, Sequence

from wellspring.screen.sections import Crops, Encoder

FROZEN = ("timm", "intensity", "classical", "table")  # kinds that are never trained
VIEWS = {"classical": "cell", "table": "well"}  # the view of a kind whose entry states none; `tile` for the others


def frozen(entry: Encoder) -> bool:
    """Return whether an encoder is of a kind, or a custom network of an objective, that is never trained."""
    return entry.kind in FROZEN or (entry.kind == "module" and entry.objective in (None, "frozen"))


def trains(entry: Encoder) -> bool:
    """Return whether an encoder is trained: a network that is not frozen and has steps."""
    return not frozen(entry) and entry.steps != 0


def needs_images(encoders: Mapping[str, Encoder]) -> bool:
    """Return whether any of the encoders reads images; a table of another tool does not."""
    return any(entry.kind != "table" for entry in encoders.values())


def ready_made(crops: Crops) -> bool:
    """Return whether the cells of the screen are crops that exist already."""
    return crops.given.table is not None


def mapped(inputs: Sequence[str], channel_map: Mapping[str, str | Sequence[str] | None]) -> list[tuple[str, list[str]]]:
    """Return each input of a model of fixed inputs with the channels that it is the mean of.

    An input that the map does not name is the channel of its name.
    """
    found = []
    for name in inputs:
        given = channel_map.get(name, name)
        found.append((name, [given] if isinstance(given, str) else list(given or [])))
    return found


def mapped_channels(inputs: Sequence[str], channel_map: Mapping[str, str | Sequence[str] | None]) -> list[str]:
    """Return the channels that a model of fixed inputs reads, each once, in the order of the inputs."""
    return list(dict.fromkeys(channel for _, mine in mapped(inputs, channel_map) for channel in mine))
