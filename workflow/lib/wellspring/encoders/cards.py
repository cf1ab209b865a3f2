"""Comparing encoders by their cards: which one is untrained, and of which trained encoder it is the untrained twin.

The names of encoders carry no meaning. An untrained twin is an entry `{like: NAME, steps: 0}`: the same network,
starting weights and view as NAME, without a training step. The card states both facts, in two keys:

`training`
    `trained` (one step or more), `untrained` (no step, random initial weights), or `frozen` (no step, weights of
    another training).
`network_sha256`
    Digest of the network before its first step: architecture, input channels, input size, view, starting weights. The
    seed, the objective and its options are left out. A trained encoder and its untrained twin have the same digest.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping

ARCHITECTURE = ("backbone", "backbone_options", "stem", "module", "channels", "input_size", "view", "weights")
FROZEN = ("timm", "frozen", "intensity")  # objectives without a training
SCALES = 1.25  # largest ratio between the magnifications of embedding and of training


def network_digest(card: Mapping[str, object]) -> str:
    """Return the sha256 (hexadecimal) of the network that a card describes, before its first step.

    The content of a file of starting weights is part of it, the file's name is not.
    """
    described = {key: card.get(key) for key in ARCHITECTURE}
    if card.get("inputs"):
        described["inputs"] = card["inputs"]
    weights = described["weights"]
    if isinstance(weights, Mapping):
        described["weights"] = weights["sha256"]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def training(card: Mapping[str, object]) -> str:
    """Return `trained`, `untrained` or `frozen` (see the module's description)."""
    if card["steps"]:
        return "trained"
    frozen = card.get("objective", card["kind"]) in FROZEN or card["weights"] is not None
    return "frozen" if frozen else "untrained"


def twin(card: Mapping[str, object], others: Iterable[Mapping[str, object]]) -> Mapping[str, object] | None:
    """Return the card of the twin of a trained encoder: the same network without a training step; None without one.

    Parameters
    ----------
    card
        Card of any encoder; an encoder that is not trained has no twin.
    others
        Cards of the screen's encoders, `card` may be among them. The first that fits is taken.
    """
    if card["training"] != "trained":
        return None
    digest = card["network_sha256"]
    return next(
        (other for other in others if other["training"] != "trained" and other["network_sha256"] == digest), None
    )
