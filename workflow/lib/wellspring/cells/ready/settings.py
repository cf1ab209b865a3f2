"""The keys of the config by which ready-made crops are read and packed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wellspring.io import raw_image
from wellspring.screen import sections
from wellspring.views import cutting

KEYS = {
    "index": ("range", "absent_chunks", "roots", "lost_wells"),
    "images": ("low", "high"),
    "survey": ("max_excluded",),
}


@dataclass(frozen=True)
class Settings:
    """What the config states about ready-made crops; names as its keys."""

    crops: sections.Crops
    channels: tuple[str, ...]
    rules: raw_image.Rules
    roots: tuple[str, ...]
    lost_wells: str
    low: float
    high: float
    max_excluded: float
    seed: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Settings":
        """Return the settings of a complete config, or of those of its keys that `chosen` names."""
        index = config["index"]
        return cls(
            crops=sections.read(sections.Crops, config["crops"]),
            channels=tuple(config["channels"]),
            rules=raw_image.Rules.of(index),
            roots=tuple(index["roots"]),
            lost_wells=index["lost_wells"],
            low=config["images"]["low"],
            high=config["images"]["high"],
            max_excluded=config["survey"]["max_excluded"],
            seed=config["seed"],
        )

    @property
    def order(self) -> tuple[str, ...]:
        """The channels of the crops in their order."""
        return self.crops.given.channels or self.channels

    @property
    def edge(self) -> int:
        """The edge of a packed crop, px; `ValueError` for micrometres, since the pixel size of crops is unknown."""
        return round(cutting.length_in_pixels(self.crops.size, unit=self.crops.unit, key="crops.size"))


def chosen(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a complete config that `Settings` has, so that a change of others reruns nothing."""
    parts = {section: {key: config[section][key] for key in keys} for section, keys in KEYS.items()}
    return {"crops": config["crops"], "channels": config["channels"], "seed": config["seed"], **parts}
