"""Student, teacher and their terms: what each sees, what moves, and what a term does not depend on."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import blobs
from wellspring.encoders import encoder
from wellspring.train import build, losses, masks, networks
from wellspring.train.data import Batch
from wellspring.train.settings import resolve
from wellspring.train.sslprofiler import SSLProfiler

VITS = {
    "class token": ("vit_tiny_patch16_224", {}),
    "registers": ("vit_tiny_patch16_224", {"reg_tokens": 2}),
    "mean": ("vit_tiny_patch16_224", {"class_token": False, "global_pool": "avg"}),
    "rotary": ("vit_small_patch16_rope_224", {}),
}
SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8}
CONVEX = {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32], "output_stride": 8}
# Students that learn from little: a stem of convolutions, and networks whose last map is a grid of 8 px.
STUDENTS = {
    "stem of convolutions": ("vit_tiny_r_s16_p8_224", SMALL | {"patch_size": 2}),
    "registers": ("vit_tiny_patch16_224", SMALL | {"reg_tokens": 2}),
    "ConvNeXt": ("convnext_atto", CONVEX),
    "ResNet": ("resnet10t", {"output_stride": 8}),
}


def settings(**over):
    entry = blobs.entry(**({"kind": "sslprofiler", "view": {"kind": "tile", "size": 32}, "batch": 6} | over))
    return resolve(entry, seed=1)


def method(**over) -> SSLProfiler:
    known = settings(**over)
    torch.manual_seed(0)
    return SSLProfiler(build.network(known, channels=2), known, channels=2, precision="float32").train()


def batch(count: int = 6, *, sites: int = 2, side: int = 32, seed: int = 0) -> Batch:
    images = torch.rand(count, 2, side, side, generator=torch.Generator().manual_seed(seed))
    well = torch.arange(count) // sites
    return Batch(images, torch.full((count, 2), 0.5), torch.full((count, 2), 0.2), well, sites)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vit(name: str) -> torch.nn.Module:
    backbone, options = VITS[name]
    return encoder.build(backbone, channels=2, size=32, options=SMALL | options).eval()


@pytest.mark.parametrize("name", VITS)
@pytest.mark.parametrize("size", [32, 16])
def test_tokens_without_a_mask_are_the_backbones_own(name, size):
    network, images = vit(name), torch.randn(3, 2, size, size, generator=seeded())
    names = set(network.state_dict())
    with torch.no_grad():
        before = network(images)
        token = networks.MaskToken(network, channels=2)
        pooled, patches = networks.encode(network, images)
        unmasked, _ = token.encode(network, images, torch.zeros(3, size // 8, size // 8, dtype=torch.bool))
        after = network(images)
    assert torch.equal(pooled, before)
    assert torch.equal(unmasked, before)
    assert torch.equal(after, before)
    assert patches.shape == (3, (size // 8) ** 2, 32)
    assert set(network.state_dict()) == names


@pytest.mark.parametrize("name", VITS)
def test_a_masked_patch_is_not_seen(name):
    network, images = vit(name), torch.randn(2, 2, 32, 32, generator=seeded())
    token = networks.MaskToken(network, channels=2)
    torch.nn.init.normal_(token.token)
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[0, 1, 2] = True
    other = images.clone()
    other[:, :, 8:16, 16:24] += 5  # row 1, column 2 of both images
    with torch.no_grad():
        one, two = (token.encode(network, each, mask) for each in (images, other))
    for first, second in zip(one, two, strict=True):
        assert torch.equal(first[0], second[0])
        assert not torch.equal(first[1], second[1])
    assert token.mask is None


def test_a_compiled_backbone_masks_as_before():
    network, images = vit("class token"), torch.randn(2, 2, 32, 32, generator=seeded())
    token = networks.MaskToken(network, channels=2)
    torch.nn.init.normal_(token.token)
    all_masks = [torch.rand(2, 4, 4, generator=seeded(seed)) < 0.4 for seed in range(3)]

    def both() -> list[torch.Tensor]:
        with torch.no_grad():
            found = [token.encode(network, images, mask)[1] for mask in all_masks[:2]]
            found += [networks.encode(network, images)[1], network(images[:, :, :16, :16])]
            return [*found, token.encode(network, images, all_masks[2])[1]]

    before = both()
    network.forward_features = torch.compile(network.forward_features, dynamic=False, backend="eager")
    for one, other in zip(before, both(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_local_crops_never_shift_the_running_statistics_of_the_teacher():
    """Of a batch-normalised backbone; the student's own statistics are those of its global and local crops."""
    found = []
    for count in (0, 3):
        known = settings(distillation={"local_count": count, "ibot": {"weight": 0}})
        known = dataclasses.replace(known, backbone="resnet10t", backbone_options={})
        torch.manual_seed(0)
        mine = SSLProfiler(build.network(known, channels=2), known, channels=2, precision="float32").train()
        mine(batch(), 0, seeded())
        mine.after_update(0)
        found.append({side: dict(getattr(mine, side).named_buffers()) for side in ("teacher", "student")})
    names = [name for name in found[0]["teacher"] if "running" in name]
    assert len(names) > 10
    assert all(torch.equal(found[0]["teacher"][name], found[1]["teacher"][name]) for name in names)
    assert not all(torch.equal(found[0]["student"][name], found[1]["student"][name]) for name in names)


REFUSED = {
    r"distillation.ibot.weight: expected 0 .* found a weight for MlpMixer": ("mixer_s16_224", {"img_size": 24}, 24),
    r"distillation.global_size: expected .* found 1 x 1 of ResNet in 24 px.*output_stride": ("resnet10t", {}, 24),
    "distillation.ibot.head: expected own for MobileNetV3, .* found shared": ("mobilenetv3_small_050", {}, 64),
}


@pytest.mark.parametrize("words", REFUSED)
def test_backbones_without_patch_tokens_are_refused_by_name(words):
    backbone, options, size = REFUSED[words]
    known = settings(view={"kind": "tile", "size": 64}, distillation={"global_size": size})
    known = dataclasses.replace(known, backbone=backbone, backbone_options=options)
    with pytest.raises(ValueError, match=words):
        SSLProfiler(build.network(known, channels=2), known, channels=2, precision="float32")


def test_dropped_patches_are_refused():
    dropping = vit("class token")
    dropping.patch_drop = torch.nn.Dropout()
    with pytest.raises(ValueError, match="patch_drop_rate"):
        networks.demand_tokens(dropping, channels=2, size=32)


@pytest.mark.parametrize("name", ["ConvNeXt", "ResNet"])
def test_masked_pixels_of_a_convolutional_network_are_not_seen(name):
    """The grid is that of its last map, and the tokens are the places of the map, row by row."""
    backbone, options = STUDENTS[name]
    network = encoder.build(backbone, channels=2, size=32, options=options).eval()
    names, images = set(network.state_dict()), torch.randn(2, 2, 32, 40, generator=seeded())
    assert networks.grid(network, (32, 40)) == (4, 5)
    token = networks.MaskToken(network, channels=2)
    torch.nn.init.normal_(token.token)
    mask = torch.zeros(2, 4, 5, dtype=torch.bool)
    mask[0, 1, 3] = True
    other = images.clone()
    other[:, :, 8:16, 24:32] += 5  # row 1, column 3 of both images
    with torch.no_grad():
        plain, patches = networks.encode(network, images)
        one, two = (token.encode(network, each, mask) for each in (images, other))
        unmasked, _ = token.encode(network, images, mask & False)
        assert torch.equal(patches[:, 8], network.forward_features(images)[:, :, 1, 3])
    assert torch.equal(plain, network(images)) and torch.equal(unmasked, plain)
    assert not torch.equal(one[1][0], patches[0]) and torch.equal(one[1][1], patches[1])
    for first, second in zip(one, two, strict=True):
        assert torch.equal(first[0], second[0]) and not torch.equal(first[1], second[1])
    assert set(network.state_dict()) == names


@pytest.mark.parametrize("head", ["shared", "own"])
@pytest.mark.parametrize("name", STUDENTS)
def test_students_of_other_kinds_learn_from_all_terms(name, head):
    backbone, options = STUDENTS[name]
    crops = {"global_size": 24, "local_size": 16, "ibot": {"head": head}}
    known = dataclasses.replace(settings(distillation=crops), backbone=backbone, backbone_options=options)
    torch.manual_seed(0)
    mine = SSLProfiler(build.network(known, channels=2), known, channels=2, precision="float32").train()
    with torch.no_grad():  # the student starts as its teacher, which it would match without learning
        for value in mine.student["backbone"].parameters():
            value.add_(0.5 * torch.randn(value.shape, generator=seeded()) * value.std(correction=0))
    optimiser = torch.optim.AdamW([each for each in mine.parameters() if each.requires_grad], lr=3e-4)
    found = []
    for step in range(16):
        terms, _ = mine(batch(), 0, seeded())
        assert set(terms) == {"distillation", "ibot", "koleo", "local_aggregation", "loss"}
        optimiser.zero_grad()
        terms["loss"].backward()
        if step == 0:
            still = [each for each, value in mine.student.named_parameters() if value.grad is None]
            assert not still and mine.mask.token.grad.abs().sum() > 0
        optimiser.step()
        found.append(float(terms["ibot"].detach()))
    assert np.isfinite(found).all() and max(found[-3:]) < 0.9 * found[0], "of one batch, masked patches are learned"


def test_koleo_is_summed_over_the_global_crops(monkeypatch):
    known, parts, koleo = method(), [], losses.koleo
    monkeypatch.setattr(losses, "koleo", lambda features, well: parts.append(koleo(features, well=well)) or parts[-1])
    terms, _ = known(batch(), 0, seeded())
    assert len(parts) == known.settings.distillation.global_count
    assert float(terms["koleo"].detach()) == pytest.approx(sum(float(part.detach()) for part in parts), rel=1e-5)


def test_koleo_from_other_wells_reads_the_wells_of_the_batch(monkeypatch):
    seen, koleo = [], losses.koleo
    monkeypatch.setattr(losses, "koleo", lambda features, well: seen.append(well) or koleo(features, well=well))
    known = method(distillation={"koleo_neighbours": "other_wells"})
    known(batch(), 0, seeded())
    assert [each.tolist() for each in seen] == [[0, 0, 1, 1, 2, 2]] * 2


AGGREGATES = {
    "pair": {"kind": "pair"},
    "mean": {"kind": "aggregate", "pool": "mean"},
    "attention": {"kind": "aggregate", "pool": "attention"},
}


@pytest.mark.parametrize("head", ["shared", "own"])
@pytest.mark.parametrize("targets", ["centre", "sinkhorn"])
@pytest.mark.parametrize("name", AGGREGATES)
def test_gradients_reach_all_of_the_student_and_nothing_of_the_teacher(name, targets, head):
    over = {"local_aggregation": AGGREGATES[name], "distillation": {"targets": targets, "ibot": {"head": head}}}
    known = method(**over)
    terms, seen = known(batch(), 0, seeded())
    assert set(terms) == {"distillation", "ibot", "koleo", "local_aggregation", "loss"}
    terms["loss"].backward()
    for each, parameter in known.named_parameters():
        if each.startswith("teacher"):
            assert parameter.grad is None, each
        else:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), each
    assert float(known.mask.token.grad.abs().max()) > 0
    assert not any(value.requires_grad for value in seen.values())
    assert torch.allclose(seen["teacher"].sum(dim=-1), torch.ones(2, 6), atol=1e-5)
    assert ("patch_head" in known.student) == (head == "own")


@pytest.mark.parametrize("name", AGGREGATES)
@pytest.mark.parametrize("sites", [2, 3])
def test_terms_do_not_depend_on_the_order_of_the_sites_of_a_well(monkeypatch, name, sites):
    known = method(local_aggregation=AGGREGATES[name] | {"sites_per_well": sites}, distillation={"drop_path": 0.0})
    if known.pool is not None and known.pool.query is not None:
        torch.nn.init.normal_(known.pool.query)
    wide, narrow = known._views(batch(sites=sites), 0, seeded())
    hidden = known._hidden(wide, seeded())
    order = torch.arange(6).unflatten(0, (-1, sites)).flip(1).flatten()  # within groups
    rows = torch.cat([order + 6 * view for view in range(2)])
    masked = masks.hide(hidden.mask[rows].numpy(), wide.device)

    def terms(views, patches):
        monkeypatch.setattr(known, "_views", lambda *_: views)
        monkeypatch.setattr(known, "_hidden", lambda *_: patches)
        return known(batch(sites=sites), 0, seeded())[0]

    there, back = terms((wide, narrow), hidden), terms((wide[rows], narrow[rows]), masked)
    for term, value in there.items():
        assert torch.allclose(value, back[term], atol=1e-5), term
    across = torch.tensor([1, 2, 3, 4, 5, 0])  # over the borders of groups
    mixed = terms(
        (torch.cat([part[across] for part in wide.chunk(2)]), torch.cat([part[across] for part in narrow.chunk(2)])),
        masks.hide(torch.cat([part[across] for part in hidden.mask.chunk(2)]).numpy(), wide.device),
    )
    assert torch.allclose(mixed["distillation"], there["distillation"], atol=1e-5)
    assert not torch.allclose(mixed["local_aggregation"], there["local_aggregation"], atol=1e-5)


def test_the_aggregate_of_local_crops_equals_a_loop(monkeypatch):
    known = method(local_aggregation=AGGREGATES["attention"] | {"sites_per_well": 3}, distillation={"drop_path": 0.0})
    torch.nn.init.normal_(known.pool.query)
    wide, narrow = known._views(batch(sites=3), 0, seeded())
    monkeypatch.setattr(known, "_views", lambda *_: (wide, narrow))
    terms, seen = known(batch(sites=3), 0, seeded())
    with torch.no_grad():
        tokens = known.student["backbone"](narrow)
        found = []
        for well in range(2):
            mine = torch.stack([tokens[view * 6 + well * 3 + site] for view in range(2) for site in range(3)])
            weight = torch.softmax(mine @ known.pool.query / 32**0.5, dim=0)
            logits = known.student["head"]((weight[:, None] * mine).sum(dim=0, keepdim=True))
            target = seen["teacher"][:, well * 3 : well * 3 + 3].mean(dim=(0, 1))
            found.append(-(target * torch.log_softmax(logits[0] / 0.1, dim=-1)).sum())
    assert torch.allclose(terms["local_aggregation"].detach(), torch.stack(found).mean(), atol=1e-5)


def test_masked_patches_are_matched_with_what_the_teacher_saw_there(monkeypatch):
    known = method(distillation={"drop_path": 0.0})
    torch.nn.init.normal_(known.mask.token)
    known.patch_centre.normal_(std=0.1, generator=seeded(3))
    wide, narrow = known._views(batch(), 0, seeded())
    hidden = known._hidden(wide, seeded())
    monkeypatch.setattr(known, "_views", lambda *_: (wide, narrow))
    terms, _ = known(batch(), 0, seeded())
    with torch.no_grad():
        _, saw = networks.encode(known.teacher["backbone"], wide)
        _, blind = known.mask.encode(known.student["backbone"], wide, hidden.mask)
        losses = []
        for view in range(12):
            places = hidden.mask[view].flatten().nonzero()[:, 0]
            values = [
                -(
                    torch.softmax((known.teacher["head"](saw[view, place]) - known.patch_centre) / 0.04, dim=-1)
                    * torch.log_softmax(known.student["head"](blind[view, place]) / 0.1, dim=-1)
                ).sum()
                for place in places
            ]
            losses.append(torch.stack(values).mean() if values else torch.tensor(0.0))
    assert torch.allclose(terms["ibot"].detach(), torch.stack(losses).mean(), atol=1e-4)
    assert int(hidden.mask.any(dim=(1, 2)).sum()) == 6


def test_centres_follow_the_teachers_mean_over_all_batches_of_an_update():
    known = method()
    outputs = {"centre": [], "patch_centre": []}
    for number in range(2):
        wide, _ = known._views(batch(seed=number), 0, seeded(number))
        hidden = known._hidden(wide, seeded(number))
        with torch.no_grad():
            whole, patches = networks.encode(known.teacher["backbone"], wide)
            outputs["centre"].append(known.teacher["head"](whole))
            outputs["patch_centre"].append(known.teacher["head"](patches.flatten(0, 1)[hidden.place]))
        known(batch(seed=number), 0, seeded(number))
    known.after_update(0)
    for name, rows in outputs.items():
        assert torch.allclose(getattr(known, name), 0.1 * torch.cat(rows).mean(dim=0), atol=1e-5), name
    before = known.centre.clone()
    known.after_update(0)  # nothing was seen since
    assert torch.equal(known.centre, before)


def test_the_prototypes_of_both_heads_are_held_still_at_first():
    known = method(distillation={"ibot": {"head": "own"}, "freeze_last": 0.5})
    for step, still in ((1, True), (2, False)):
        terms, _ = known(batch(), step, seeded())
        terms["loss"].backward()
        known.before_update(step)
        for head in ("head", "patch_head"):
            assert (known.student[head].prototypes.grad is None) == still
            assert known.student[head].mlp[0].weight.grad is not None


def test_the_encoder_is_the_teachers_backbone_and_knows_of_no_mask():
    known = method()
    fresh = build.network(settings(), channels=2)
    assert list(known.encoder.state_dict()) == list(fresh.state_dict())
    assert known.encoder is known.teacher["backbone"]
    assert not known.encoder.patch_embed._forward_hooks
    fresh.load_state_dict(known.encoder.state_dict())


def test_kinds_differ_by_their_nulls_alone():
    still = {"drop_path": 0.0}
    full, plain = method(), method(kind="dino", distillation=still)
    assert set(full(batch(), 0, seeded())[0]) - set(plain(batch(sites=1), 0, seeded())[0]) == {
        "ibot",
        "koleo",
        "local_aggregation",
    }
    over = {"local_aggregation": {"kind": "none"}, "distillation": still | {"koleo": 0.0, "ibot": {"weight": 0.0}}}
    switched = method(**over)(batch(sites=1), 0, seeded())[0]
    assert torch.equal(switched["loss"], plain(batch(sites=1), 0, seeded())[0]["loss"])


def test_steps_on_one_batch_lower_every_term_that_is_matched():
    torch.manual_seed(0)
    over = {"steps": 60, "distillation": {"drop_path": 0.0, "momentum": 0.9, "batch_norm": True, "freeze_last": 0.0}}
    known, one = method(augmentation={"preset": "flips"}, **over), batch(seed=5)
    optimiser = torch.optim.AdamW([each for each in known.parameters() if each.requires_grad], lr=2e-3)
    rows = []
    for step in range(60):
        terms, seen = known(one, step, seeded(step))
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        known.after_update(step)
        rows.append({name: float(value.detach()) for name, value in terms.items()})
    for name in ("distillation", "ibot", "local_aggregation"):
        first, last = (np.mean([row[name] for row in part]) for part in (rows[:10], rows[-10:]))
        assert last < first - 0.1, (name, first, last)
    assert float(F.normalize(seen["features"], dim=1).std(dim=0).mean()) > 0


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match="local_count: expected 1 or more"):
        settings(local_aggregation={"kind": "aggregate"}, distillation={"local_count": 0})
    with pytest.raises(ValueError, match=r"local_aggregation.kind: expected one of .* for simclr, found 'aggregate'"):
        settings(kind="simclr", local_aggregation={"kind": "aggregate"})
    with pytest.raises(ValueError, match="view.window"):
        settings(view={"kind": "tile", "size": 24, "window": 5.0})
    with pytest.raises(ValueError, match=r"steps: expected 0 for timm"):
        settings(kind="timm", steps=3)
    with pytest.raises(ValueError, match="ibot.weight: expected 0 for the stem channelwise"):
        settings(stem="channelwise", distillation={"ibot": {"weight": 1.0}})
