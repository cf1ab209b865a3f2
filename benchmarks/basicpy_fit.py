"""Fit BaSiCPy to stacks of views, in an environment of its own: a folder of .npz in, fields and seconds out.

Usage: PYTHON benchmarks/basicpy_fit.py FOLDER, where PYTHON has basicpy. Each FOLDER/*.npz holds `stack` (n, h, w) and
`counts`; FOLDER/*.fit holds, for each setting and count, the fields fitted to the first so many views and the time that
it took. Run by benchmarks/illumination.py; imports nothing of this library.
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from basicpy import BaSiC

SETTINGS = {"basicpy": {}, "basicpy at 64": {"working_size": 64}}


def main() -> None:
    """Fit every stack of the folder."""
    warnings.simplefilter("ignore")  # of the dark field, which is asked for
    torch.set_num_threads(1)
    BaSiC(get_darkfield=True).fit(np.random.default_rng(0).gamma(2, 100, (8, 32, 32)))  # what is done once a process
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        with np.load(path) as stored:
            stack, counts = stored["stack"], stored["counts"]
        found = {}
        for name, setting in SETTINGS.items():
            for count in counts:
                model = BaSiC(get_darkfield=True, **setting)
                start = time.process_time()
                model.fit(stack[:count])
                found[f"{name}|{count}|seconds"] = time.process_time() - start
                found[f"{name}|{count}|flat"], found[f"{name}|{count}|dark"] = model.flatfield, model.darkfield
        with path.with_suffix(".fit").open("wb") as file:
            np.savez(file, **found)
        print(path.stem, flush=True)


if __name__ == "__main__":
    main()
