"""The config: defaults, inheritance of encoders, and each mistake named."""

import copy
import hashlib

import pytest
import yaml
from jsonschema import Draft202012Validator

from options import encoder, options
from wellspring.screen import config, config_checks, encoder_kinds
from wellspring.screen.config_readme import keys
from wellspring.screen.stages import SECTIONS

SMALL = {"channels": ["DNA", "Actin"], "cells": {"activate": True}, "encoders": {"simclr": {"kind": "simclr"}}}


def small(**changes):
    return {**copy.deepcopy(SMALL), **changes}


@pytest.fixture(scope="module")
def shipped(root):
    return yaml.safe_load((root / "config" / "config.yaml").read_text())


def test_schema_is_valid_and_says_everything():
    schema = config.schema()
    Draft202012Validator.check_schema(schema)
    for section in SECTIONS:
        spec = schema["properties"][section]
        part = spec["additionalProperties"] if section == "encoders" else spec
        assert part["additionalProperties"] is False, section
        assert spec["description"], section
        for name, value in keys(part):
            assert value.get("description"), f"{section}.{name}"
            assert "default" in value or "." in name or section == "encoders", f"{section}.{name}"
            assert all(len(word) > 1 for word in name.split(".")), (
                f"{section}.{name}: Snakemake refuses keys of one letter"
            )


def test_defaults_are_filled_in_however_deep_and_are_valid():
    complete = config.resolve(small())
    for section in SECTIONS:
        assert section in complete
    for name, part in keys(config.schema()["properties"]["survey"]):
        if "default" in part:
            assert name.split(".")[0] in complete["survey"]
    assert config.resolve(complete) == complete


def test_what_is_written_is_left_alone():
    written = small(seed=7)
    complete = config.resolve(written)
    assert written == small(seed=7)
    assert complete["seed"] == 7
    assert complete["channels"] == ["DNA", "Actin"]


def test_a_screen_of_tables_needs_neither_channels_nor_cells():
    complete = config.resolve({"encoders": {"jump": {"kind": "table", "files": "{plate}.parquet"}}})
    assert not encoder_kinds.needs_images(config.typed(complete).encoders)
    assert complete["encoders"]["jump"]["view"]["kind"] == "well"
    assert not encoder_kinds.trains(config.typed(complete).encoders["jump"])
    assert encoder_kinds.needs_images(config.typed(config.resolve(small())).encoders)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sede": 1}, r"config: top level: unknown key 'sede' \(did you mean 'seed'\?\); expected one of \["),
        (
            {"survey": {"max_exclude": 0.1}},
            r"config: survey: unknown key 'max_exclude' \(did you mean 'max_excluded'\?\)",
        ),
        ({"encoders": {"simclr": {"stepz": 3}}}, r"encoders.simclr: unknown key 'stepz' \(did you mean 'steps'\?\)"),
        ({"seed": -1}, "config: seed: -1 is less than the minimum of 0"),
        (
            {"channels": []},
            "config: channels: expected the names of the channels for encoders that read images, found none",
        ),
        ({"encoders": {"jump": {"kind": "table"}}}, "jump.files: expected a file for the kind table, found None"),
        (
            {"encoders": {"simclr": {"files": "a.csv"}}},
            "simclr.files: expected null except for the kind table, found 'a",
        ),
        ({"encoders": {"simclr": {"view": {"kind": "well"}}}}, "view.kind: expected tile or cell except for the kind"),
        (
            {"encoders": {"simclr": {"features": ["X_"]}}},
            "simclr: expected no columns and features except for the kind",
        ),
        (
            {"encoders": {"jump": {"kind": "table", "files": "a.csv", "features": ["X_("]}}},
            r"jump.features: expected regular expressions, found 'X_\('",
        ),
        ({"channels": ["DNA", "DNA"]}, "config: channels: .* has non-unique elements"),
        ({"encoders": {}}, "config: encoders: .*non-empty"),
        ({"encoders": {"SimCLR": {}}}, "'SimCLR' does not match"),
        (
            {"encoders": {"a1": {"like": "b1"}}},
            r"encoders.a1.like: expected one of \['a1'\] or of the presets \['demo.imagenet', 'demo.s.*found 'b1'",
        ),
        (
            {"encoders": {"a1": {"like": "demo.simclear"}}},
            r"encoders.a1.like: .*found 'demo.simclear' \(did you mean 'demo.simclr'\?\)",
        ),
        (
            {"crops": {"size": 23}, "encoders": {"simclr": {"view": {"kind": "cell", "size": 24}}}},
            "encoders.simclr.view.size: expected at most crops.size, 23 px, .*found 24",
        ),
        ({"encoders": {"a1": {"like": "b1"}, "b1": {"like": "a1"}}}, "like: expected no circle, found a1 -> b1 -> a1"),
        (
            {"cells": {"activate": False}},
            "encoders.simclr.view.kind: expected tile while cells.activate is false, found cell",
        ),
        (
            {"cells": {"activate": False}, "encoders": {"c1": {"kind": "classical"}}},
            "encoders.c1.kind: expected cells.activate true for the kind classical, found false",
        ),
        (
            {"encoders": {"c1": {"kind": "classical", "view": {"kind": "tile"}}}},
            "encoders.c1.view.kind: expected cell for the kind classical, found tile",
        ),
        (
            {"index": {"negcon": ["DMSO", "PBS"], "poscon": ["PBS"]}},
            r"index.poscon: expected other compounds than in index.negcon, found \['PBS'\] in both",
        ),
        ({"images": {"projection": "first"}}, "config: images.projection: 'first' is not one of"),
        ({"images": {"projection": "plane"}}, "config: images.plane: expected the name of a plane, found None"),
        ({"images": {"plane": 3}}, "config: images.plane: expected null except for the projection plane, found 3"),
        ({"measure": {"families": ["shapes"]}}, "config: measure.families.0: 'shapes' is not one of"),
        (
            {"evaluate": {"metrics": ["nsc", "activty"]}},
            r"config: evaluate.metrics.1: 'activty' is not one of \['replicates', .*'nscb'.*\(did you mean 'activity'",
        ),
        (
            {"evaluate": {"metrics": "nsc"}},
            r"metrics: 'nsc' is not valid; expected one of \['all'\] or a list",
        ),
        ({"evaluate": {"metrics": 3}}, "config: evaluate.metrics: 3 is not valid; expected text or a list"),
        ({"fit": {"max_value": -1}}, r"config: fit.max_value: -1 is less than .* of 0 \(null is allowed too\)"),
        ({"embed": {"leave_out": ["tiny"]}}, r"config: embed.leave_out.0: 'tiny' is not one of \['border', 'small', "),
        (
            {"encoders": {"simclr": {"augmentation": {"overrides": {"elastix": 1}}}}},
            r"simclr.augmentation.overrides: 'elastix' is not one of \['crop', .*\(did you mean 'elastic'\?\)",
        ),
        (
            {"encoders": {"simclr": {"augmentation": {"overrides": {"crop": "middle"}}}}},
            r"augmentation.overrides.crop: 'middle' is not one of \['centred', 'native', 'resized'\]",
        ),
        (
            {"cells": {"activate": True, "nuclei": "Hoechst", "cytoplasm": "Actn"}},
            r"cells.nuclei: expected names out of channels, \['DNA', 'Actin'\], found \['Hoechst'\]\n"
            r"config: cells.cytoplasm: .*, found \['Actn'\] \(did you mean 'Actin'\?\)",
        ),
        ({"index": {"channels": {"Aktin": "w2"}}}, r"index.channels: expected names out of channels, .*'Actin'\?\)"),
        ({"fit": {"max_correlation": "often"}}, "config: fit.max_correlation: 'often' is not valid"),
        ({"fit": {"steps": ["select", "sphre"]}}, r"config: fit.steps.1: 'sphre' is not one of \['select', 'sphere', "),
        (
            {"fit": {"steps": [{"sphre": {}}]}},
            r"fit.steps.0: unknown key 'sphre' \(did you mean 'sphere'\?\); expected",
        ),
        (
            {"fit": {"steps": [{"sphere": {"sphering": "rigde"}}]}},
            r"config: fit.steps.0.sphere.sphering: 'rigde' is not one of \['shrinkage', 'rank', 'ridge', ",
        ),
        (
            {"fit": {"steps": [{"sphere": {"robust": True}}]}},
            r"fit.steps.0.sphere: unknown key 'robust'; expected one of \['sphering', .*'ridge', 'ridge_unit', 'by'\]",
        ),
        ({"fit": {"steps": [{"select": {}, "sphere": {}}]}}, "config: fit.steps.0: .* has too many properties"),
        ({"fit": {"steps": [{}]}}, "config: fit.steps.0: .*non-empty"),
        (
            {"profile": {"single_cell": True}, "encoders": {"simclr": {"kind": "simclr", "view": {"kind": "tile"}}}},
            "profile.single_cell: expected an encoder with view.kind cell for true, found none",
        ),
    ],
)
def test_mistakes_are_named(change, message):
    base = small(encoders={"simclr": {"kind": "simclr", "view": {"kind": "cell"}}})
    with pytest.raises(ValueError, match=message):
        config.resolve({**base, **change})


@pytest.mark.parametrize("kind", ["intensity", "classical", "timm", "module", "table"])
@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("adversary.weight", {"adversary": {"weight": 0.25}}),
        ("local_aggregation.positives", {"local_aggregation": {"positives": "treatment"}}),
        ("local_aggregation.heldout", {"local_aggregation": {"heldout": "compound"}}),
    ],
)
def test_a_kind_that_is_not_trained_has_no_keys_of_training(kind, key, change):
    with pytest.raises(
        ValueError, match=rf"encoders.a.{key}: expected none for the kind {kind}.*, which is not trained"
    ):
        config.resolve(small(encoders={"a": {"kind": kind, **change}}))
    trained = {"kind": "simclr", "adversary": {"weight": 0.25}}
    config.resolve(small(encoders={"a": trained, "twin": {"like": "a", "steps": 0}}))


def test_an_adversary_predicts_something():
    entry = {"kind": "simclr", "adversary": {"weight": 0.1, "against": []}}
    with pytest.raises(ValueError, match=r"encoders.a.adversary.against: expected plate, row or column with a weight"):
        config.resolve(small(encoders={"a": entry}))
    config.resolve(small(encoders={"a": {"kind": "simclr", "adversary": {"weight": 0, "against": []}}}))


@pytest.mark.parametrize(
    ("formats", "encoder", "cells", "message"),
    [
        (["models"], {"kind": "intensity"}, True, "expected an encoder that is trained for models .*, found none"),
        (["gallery", "models"], {"kind": "simclr", "steps": 0}, True, "expected an encoder that is trained"),
        (
            ["plates"],
            {"kind": "simclr"},
            False,
            "expected segmented cells for plates, .*found none",
        ),
        (["plates"], {"kind": "simclr"}, True, None),
        (["anndata", "plates"], {"kind": "simclr"}, False, None),
        (["models"], {"kind": "simclr"}, False, None),
    ],
)
def test_an_export_has_what_it_writes(formats, encoder, cells, message):
    screen = small(encoders={"a": encoder}, cells={"activate": cells}, export={"formats": formats})
    if message is None:
        config.resolve(screen)
        return
    with pytest.raises(ValueError, match=f"export.formats: {message}"):
        config.resolve(screen)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": {"storage": {}}}, "^config: index.storage was renamed to index.object_store$"),
        ({"survey": {"verdicts": None}}, "^config: survey.verdicts was renamed to survey.exclusions$"),
        ({"survey": {"verdicts": None, "max": 1}}, r"renamed to survey.exclusions; survey: unknown key 'max'"),
    ],
)
def test_old_keys_are_refused_with_the_new_name(change, message):
    with pytest.raises(ValueError, match=message):
        config.resolve(small(**change))


@pytest.mark.parametrize(
    ("gpus", "nodes", "accumulate", "batch", "fits"),
    [(2, 1, 1, 6, True), (2, 1, 1, 7, False), (1, 2, 1, 7, False), (1, 1, 2, 7, False), (2, 3, 2, 12, True)]
    + [(2, 3, 2, 6, False), (1, 3, 1, 8, False), (1, 3, 1, 9, True)],
)
def test_a_batch_is_shared_by_gpus_nodes_and_parts(gpus, nodes, accumulate, batch, fits):
    train = {"gpus": gpus, "nodes": nodes, "accumulate": accumulate}
    entry = {"kind": "simclr", "batch": batch}
    untrained = {"again": {"like": "simclr", "steps": 0}, "simclr": {**entry, "steps": 0}}
    config.resolve(small(train=train, encoders=untrained))
    if fits:
        config.resolve(small(train=train, encoders={"simclr": entry}))
        return
    words = f"simclr.batch: expected a multiple of train.gpus x train.nodes x train.accumulate = {gpus * nodes}"
    with pytest.raises(ValueError, match=words[:-1]):
        config.resolve(small(train=train, encoders={"simclr": entry}))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"path": "/w/cpsam"}, "nuclei: expected both path and sha256 or neither, found '/w/cpsam' and None"),
        ({"sha256": "0" * 64}, "nuclei: expected both path and sha256 or neither, found None and '0000"),
        ({"path": "cpsam", "sha256": "0" * 64}, "nuclei.path: expected an absolute path, found 'cpsam'"),
    ],
)
def test_weights_of_cellpose_have_an_absolute_path_and_a_digest(file, message):
    written = small(cells={"cellpose": {"weights": {"nuclei": file}}})
    with pytest.raises(ValueError, match=f"config: cells.cellpose.weights.{message}"):
        config.resolve(written)


def test_weights_of_an_encoder_are_a_local_file(tmp_path):
    def timm(weights, **others):
        return small(encoders={"frozen": {"kind": "timm", "weights": weights}, **others})

    (tmp_path / "weights").write_bytes(b"weights")
    good = {"path": str(tmp_path / "weights"), "sha256": hashlib.sha256(b"weights").hexdigest()}
    config.resolve(timm(good, scratch={"like": "frozen", "kind": "simclr", "weights": None}))
    for written in (good["path"], {"path": good["path"]}):
        with pytest.raises(ValueError, match="encoders.frozen.weights: expected path and sha256, found a") as error:
            config.resolve(timm(written))
        assert f"\n  path: {good['path']}\n  sha256: {good['sha256']}" in str(error.value)
    with pytest.raises(ValueError, match="encoders.frozen.weights.path: expected an absolute path, found 'weights'"):
        config.resolve(timm(good | {"path": "weights"}))
    with pytest.raises(ValueError, match="encoders.frozen.weights.sha256: '0' does not match"):
        config.resolve(timm(good | {"sha256": "0"}))
    with pytest.raises(ValueError, match="encoders.frozen.weights: expected a local file for the kind timm"):
        config.resolve(small(encoders={"frozen": {"kind": "timm"}}))
    with pytest.raises(ValueError, match="encoders.own.weights: expected a local file, found none at .*lost"):
        config.resolve(small(encoders={"own": {"kind": "simclr", "weights": str(tmp_path / "lost")}}))


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({"kind": "simclr"}, True),
        ({"kind": "simclr", "steps": 5}, True),
        ({"kind": "simclr", "steps": 0}, False),
        ({"kind": "timm"}, False),
        ({"kind": "module"}, False),
        ({"kind": "module", "objective": "frozen"}, False),
        ({"kind": "module", "objective": "simclr"}, True),
        ({"kind": "module", "objective": "simclr", "steps": 0}, False),
    ],
)
def test_networks_with_steps_that_are_not_frozen_are_trained(changes, trained):
    assert encoder_kinds.trains(encoder(**changes)) is trained


def test_contradictions_are_listed_together_and_keys_keep_their_order():
    with pytest.raises(ValueError) as error:
        config.resolve(small(images={"plane": "3"}, encoders={"jump": {"kind": "table"}, "c1": {"kind": "timm"}}))
    assert len(str(error.value).splitlines()) == 3
    complete = config.resolve(small(survey={"max_excluded": 0.5, "view_edge": 32}))
    assert list(complete["survey"])[:3] == ["max_excluded", "view_edge", "pixel_size"]


def test_steps_are_named_and_harmony_wants_all_plates_to_fit():
    fit = options("fit", steps=["select", {"harmony": {"batches": "Metadata_Plate"}}])
    assert config_checks.steps_of(fit) == ["select", "harmony"]
    config_checks.check_roles(fit, {"P1": "fit", "P2": "fit"})
    words = r"fit.steps: expected the role fit for all plates, .* harmony .*, found other roles for \['P2', 'P3'\]"
    with pytest.raises(ValueError, match=words):
        config_checks.check_roles(fit, {"P1": "fit", "P2": "project", "P3": "heldout"})
    config_checks.check_roles(options("fit"), {"P1": "project"})


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ValueError) as error:
        config.resolve(small(sede=1, seed=-1))
    assert len(str(error.value).splitlines()) == 2


def test_what_an_encoder_looks_at_follows_from_its_kind():
    found = config.resolve(
        small(encoders={"c1": {"kind": "classical"}, "s1": {"kind": "simclr"}, "twin": {"like": "c1"}})
    )
    assert [entry["view"]["kind"] for entry in found["encoders"].values()] == ["cell", "tile", "cell"]


def test_like_inherits_and_overrides_deeply():
    encoders = {
        "base": {"kind": "simclr", "steps": 100, "view": {"kind": "cell", "size": 40}},
        "half": {"like": "base", "steps": 50},
        "tiny": {"like": "half", "view": {"size": 20}},
    }
    assert config.inherit("tiny", encoders) == {"kind": "simclr", "steps": 50, "view": {"kind": "cell", "size": 20}}
    assert encoders["base"]["view"]["size"] == 40


def test_shipped_config_is_valid_and_states_every_key(shipped):
    """config.yaml lists every key; encoders state what differs from their defaults."""
    config.resolve(shipped)
    schema = config.schema()["properties"]
    lacking = [key for key in schema if key not in shipped]
    for section in set(SECTIONS) - {"encoders"}:
        for name, part in keys(schema[section]):
            if "default" not in part:
                continue
            value = shipped.get(section) or {}
            for step in name.split("."):
                if not isinstance(value, dict) or step not in value:
                    lacking.append(f"{section}.{name}")
                    break
                value = value[step]
    assert lacking == []
