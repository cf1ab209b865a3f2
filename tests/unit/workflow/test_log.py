"""The log of a job: a lack of memory is named with the job, its plate and what to do."""

import subprocess
import sys

import pytest

SCRIPT = """
from wellspring.workflow.log import log_to
log_to({log!r})
{work}
"""


@pytest.mark.parametrize("rule", ["images", "cells", "crops", "embed/simclr", "measure/hand"])
@pytest.mark.parametrize(
    "work",
    [
        "import numpy as np; np.empty(2**60, dtype=np.uint8)",
        "raise MemoryError",
        'raise RuntimeError("DefaultCPUAllocator: can\'t allocate memory: you tried to allocate 9 bytes")',
    ],
    ids=["numpy", "python", "torch"],
)
def test_a_lack_of_memory_names_the_job_and_the_remedies(tmp_path, rule, work):
    log = tmp_path / "results" / "logs" / rule / "P1.log"
    call = [sys.executable, "-c", SCRIPT.format(log=str(log), work=work)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    stage = rule.split("/")[0]
    assert done.returncode == 1
    for text in (done.stderr, log.read_text()):
        (line,) = [line for line in text.splitlines() if "ran out of memory" in line]
        assert line.startswith(f"MemoryError: {rule.replace('/', ' ')} P1: the job ran out of memory")
        assert f"--set-resources {stage}:mem_mb=" in line and f"--set-threads {stage}=1" in line


def test_another_error_stays_as_it_is(tmp_path):
    log = tmp_path / "logs" / "images" / "P1.log"
    call = [sys.executable, "-c", SCRIPT.format(log=str(log), work="raise RuntimeError('no such well')")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[0] == "RuntimeError: no such well"
