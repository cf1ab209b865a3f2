"""The ground truth of a screen: the effect of each treatment and the faulty planes, from the description.

Tests and benchmarks read it; the workflow never does.
"""

import pandas as pd

from wellspring.simulate.screen import FAULTS, Screen, stream, treatments
from wellspring.simulate.traits import TRAITS

SIGNATURE_STREAM = 2


def shifts(screen: Screen, *, seed: int) -> dict[tuple[str, float], dict[str, float]]:
    """Log shifts of every treatment: (compound, concentration) -> parameter (of TRAITS, or density) -> shift.

    An active compound shifts its mechanism's parameters by strength times its factor times its response at the dose
    (hyperbolic, 1 at the highest dose), and every parameter by a signature of the compound. Inactive compounds shift no
    parameter.
    """
    top = max(screen.doses) / (max(screen.doses) + screen.half_dose)
    planted: dict[tuple[str, float], dict[str, float]] = {}
    listed = treatments(screen)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(listed["compound"]))}
    for row in listed.itertuples():
        if row.mechanism is None or pd.isna(row.mechanism):
            planted[row.compound, row.concentration] = {}
            continue
        response = row.concentration / (row.concentration + screen.half_dose) / top
        own = stream(seed, SIGNATURE_STREAM, numbers[row.compound]).normal(0, screen.signature, len(TRAITS))
        effect = {name: float(value) for name, value in zip(TRAITS, own, strict=True)}
        for name, shift in screen.mechanisms[row.mechanism].items():
            effect[name] = effect.get(name, 0.0) + screen.strength * row.factor * shift
        planted[row.compound, row.concentration] = {name: value * response for name, value in effect.items()}
    return planted


def truth(screen: Screen, *, seed: int) -> pd.DataFrame:
    """Return the effect of every treatment, controls included.

    One row per compound and concentration: compound, concentration (float64), mechanism (None if inactive or control),
    active (bool), pert_type, and a column for every shape parameter and `density` with its planted log shift.
    """
    planted = shifts(screen, seed=seed)
    names = (*TRAITS, "density")
    rows = [
        {
            "compound": screen.control,
            "concentration": float("nan"),
            "mechanism": None,
            "active": False,
            "pert_type": "negcon",
            **dict.fromkeys(names, 0.0),
        }
    ]
    for row in treatments(screen).itertuples():
        active = isinstance(row.mechanism, str)
        effect = planted[row.compound, row.concentration]
        rows.append(
            {
                "compound": row.compound,
                "concentration": row.concentration,
                "mechanism": row.mechanism if active else None,
                "active": active,
                "pert_type": "trt",
                **{name: effect.get(name, 0.0) for name in names},
            }
        )
    return pd.DataFrame(rows)


def planted_faults(screen: Screen) -> pd.DataFrame:
    """List the bad planes: plate, well, site, channel, kind, expected (a survey's status, or its reason for debris)."""
    rows = [
        {
            "plate": fault.plate,
            "well": fault.well,
            "site": fault.site,
            "channel": channel,
            "kind": fault.kind,
            "expected": FAULTS[fault.kind],
        }
        for fault in screen.faults
        for channel in fault.channels
    ]
    return pd.DataFrame(rows, columns=["plate", "well", "site", "channel", "kind", "expected"])
