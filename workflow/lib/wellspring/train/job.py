"""The job of a training: the config and the files of one encoder, as the rule's script gives them to every process."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from wellspring.screen.sections import Encoder, Train, read


@dataclass(frozen=True)
class Job:
    """What one training reads, does and writes; all paths are absolute or relative to the working directory."""

    name: str
    """Name of the encoder."""
    encoder: Encoder
    """Its entry of the config section `encoders`."""
    channels: tuple[str, ...]
    """Channels in the order in which the network takes them."""
    seed: int
    """Seed of the run, used if the entry has no seed."""
    options: Train
    """The config section `train`."""
    code: str
    """Digest of the code, part of the checkpoint's fingerprint."""
    images: tuple[str, ...]
    """Stores of the plates; empty for an encoder of cells."""
    intensity: tuple[str, ...]
    """Tables of the intensity scale, one per plate."""
    crops: tuple[str, ...]
    """Packed crops, one file per plate; empty for an encoder of tiles."""
    crop_tables: tuple[str, ...]
    """Tables of these crops."""
    wells: tuple[str, ...]
    """Tables `index` of these plates; empty for an encoder that reads no treatments."""
    weights: str
    """Output: the trained weights."""
    card: str
    """Output: the card."""
    history: str
    """Output: the table `history`."""
    checkpoint: str
    """The checkpoint of the unfinished run."""
    provenance: dict[str, object]
    """Provenance of the table `history`."""
    threads: int
    """Threads of one process."""

    def write(self, path: str | Path) -> None:
        """Write the job as JSON, for processes that are started separately."""
        Path(path).write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: str | Path) -> "Job":
        """Read the job that `write` wrote."""
        return read(cls, json.loads(Path(path).read_text()))
