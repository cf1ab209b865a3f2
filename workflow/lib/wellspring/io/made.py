"""What made an output: its rule, options and inputs, in a hidden file beside it that the job itself writes.

Snakemake records the options of a job when it sees the end of the job, and takes them from its own process. The record
is missing if that process was killed before, and wrong if the config was edited before the job started, which reads it
anew. The job writes its record when it starts, under the lease of its outputs (:mod:`wellspring.io.lease`), so that the
record is of the job that published them. `wellspring.workflow.records` compares both records before each run.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wellspring.io import lease, provenance, tables

# The types of parameters that Snakemake records, by their text; it leaves others out.
RECORDED = (type(None), int, float, bool, str, complex, range, list, tuple, dict, set, frozenset, bytes, bytearray)


class Job(provenance.Job, Protocol):
    """A running job, with its outputs; none of its parameters is derived from inputs, outputs or resources."""

    @property
    def output(self) -> Iterable[str]:
        """Paths of the output files."""


@dataclass(frozen=True)
class Made:
    """What made some outputs.

    Parameters
    ----------
    rule
        Name of the rule.
    outputs
        Paths, as Snakemake names them: relative to the working directory, or absolute.
    inputs
        Paths, sorted.
    params
        The text of each parameter (`repr`), sorted.
    """

    rule: str
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    params: tuple[str, ...]


def claim(job: Job) -> None:
    """Claim the outputs of this job, as its first act (`lease.claim`), and record what makes them.

    `Superseded`, which names the output, if a later job has claimed them.
    """
    outputs = tuple(str(output) for output in job.output)
    record = path_of(outputs[0])
    lease.claim([*outputs, record])
    inputs = tuple(sorted(str(each) for each in job.input))
    params = tuple(sorted(repr(value) for _, value in job.params.items() if isinstance(value, RECORDED)))
    made = {"rule": job.rule, "outputs": outputs, "inputs": inputs, "params": params}
    with tables.atomic(record) as temporary:
        temporary.write_text(json.dumps(made, indent=1) + "\n")


def path_of(output: str | Path) -> Path:
    """Return the record of the job whose first output is `output`; that of a stored plate is beside its folder.

    >>> path_of("results/images/P1.zarr/zarr.json").as_posix()
    'results/images/.P1.zarr.made'
    """
    path = Path(output)
    path = path.parent if path.name == lease.PLATE_ROOT else path
    return path.with_name(f".{path.name}.made")


def read(path: str | Path) -> Made:
    """Read the record of a job; `ValueError` names a file that is not one, and the remedy."""
    try:
        found = json.loads(Path(path).read_bytes())
        texts = [tuple(map(str, found[name])) for name in ("outputs", "inputs", "params")]
        return Made(str(found["rule"]), *texts)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path}: expected what made the outputs beside it, as JSON, found {type(error).__name__}: {error}. Delete "
            f"the file and these outputs; they are made again"
        ) from error
