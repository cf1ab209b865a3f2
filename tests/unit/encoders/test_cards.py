"""Which encoder is the untrained twin of which is read from cards, not from names."""

import pytest

from wellspring.encoders import cards


def card(**over) -> dict:
    """The part of a card of a trained network that the comparison reads."""
    made = {
        "name": "one",
        "kind": "simclr",
        "backbone": "resnet18",
        "backbone_options": {},
        "stem": "widened",
        "channels": ["DNA", "RNA"],
        "input_size": 24,
        "view": {"kind": "cell", "size": 24, "window": None},
        "steps": 4,
        "seed": 1,
        "weights": None,
    } | over
    return made | {"training": cards.training(made), "network_sha256": cards.network_digest(made)}


WEIGHTS = {"name": "start.pth", "sha256": "1" * 64}


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, "trained"),
        ({"weights": WEIGHTS}, "trained"),
        ({"steps": 0}, "untrained"),
        ({"steps": 0, "weights": WEIGHTS}, "frozen"),
        ({"steps": 0, "kind": "timm", "weights": WEIGHTS}, "frozen"),
        ({"steps": 0, "kind": "module", "objective": "frozen"}, "frozen"),
        ({"steps": 0, "kind": "module", "objective": "simclr"}, "untrained"),
    ],
)
def test_a_card_states_how_its_weights_came_about(over, expected):
    assert card(**over)["training"] == expected


def test_the_twin_is_found_whatever_it_is_called():
    trained, other = card(), card(name="random", steps=0, backbone="resnet34")
    same = card(name="untrained", steps=0, seed=7)
    assert cards.twin(trained, [trained, other, same]) is same
    assert cards.twin(trained, [trained, other]) is None
    assert cards.twin(same, [trained, same]) is None
    assert cards.twin(trained, [trained, card(name="again", seed=7)]) is None


@pytest.mark.parametrize(
    "over",
    [
        {"backbone": "resnet34"},
        {"backbone_options": {"drop_rate": 0.1}},
        {"stem": "channelwise"},
        {"channels": ["RNA", "DNA"]},
        {"input_size": 32},
        {"view": {"kind": "cell", "size": 24, "window": 6}},
        {"weights": WEIGHTS},
        {"module": {"factory": "nets:small", "arguments": {}, "sha256": "2" * 64}},
    ],
)
def test_another_network_or_view_is_no_twin(over):
    assert cards.network_digest(card()) != cards.network_digest(card(**over))


def test_the_name_of_the_weights_file_does_not_count():
    first, second = card(weights=WEIGHTS), card(weights=WEIGHTS | {"name": "moved.pth"}, steps=0)
    assert cards.twin(first, [second]) is second
