"""Starting weights: files of every hand and dialect, and what is wrong with a file is named."""

import argparse
import re

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.models.vision_transformer import VisionTransformer

from wellspring.encoders import encoder, module, pretrained
from wellspring.encoders.factory import Factory

VIT = "vit_tiny_patch16_224"
SMALL = {"embed_dim": 32, "depth": 3, "num_heads": 2, "patch_size": 8}


def vit(channels: int = 3, size: int = 32, **over) -> torch.nn.Module:
    return encoder.build(VIT, channels=channels, size=size, options=SMALL, **over).eval()


def behind(state: dict, prefix: str) -> dict:
    return {f"{prefix}{name}": value for name, value in state.items()}


def chunked(state: dict) -> dict:
    return {name.replace("blocks.", "blocks.0."): value for name, value in state.items()}


START = vit(seed=5)
STATE = START.state_dict()
HEAD = {"head.weight": torch.zeros(4, 32), "head.bias": torch.zeros(4)}
OTHER = {name: torch.zeros_like(value) for name, value in STATE.items()}
HANDS = {
    "bare": STATE | HEAD,
    "state_dict": {"state_dict": behind(STATE | HEAD, "module."), "epoch": 3},
    "model": {"model": STATE | HEAD, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
    "DINO": {
        "student": behind(OTHER | HEAD, "module.backbone."),
        "teacher": behind(STATE, "backbone.") | {"head.mlp.0.weight": torch.zeros(2, 2)},
        "args": argparse.Namespace(arch="vit_small"),
    },
    "DINOv2": {"teacher": behind(STATE | {"mask_token": torch.zeros(1, 32)}, "backbone.")},
    "DINOv2 in chunks": {
        "model": behind(chunked(OTHER), "student.backbone.")
        | behind(chunked(STATE), "teacher.backbone.")
        | {"teacher.dino_head.mlp.0.weight": torch.zeros(2, 2)}
    },
    "a wrapper of one's own": {"net": behind(STATE, "trunk.features.")},
}


@pytest.mark.parametrize("hand", HANDS)
def test_files_of_every_hand(tmp_path, hand):
    torch.save(HANDS[hand], tmp_path / "start.pth")
    network = vit(seed=1, weights=tmp_path / "start.pth")
    for name, value in network.state_dict().items():
        assert torch.equal(value, STATE[name]), name


def test_a_vit_of_torchvision_answers_as_there(tmp_path):
    torch.manual_seed(0)
    theirs = VisionTransformer(32, 8, num_layers=3, num_heads=2, hidden_dim=32, mlp_dim=128, num_classes=7).eval()
    torch.nn.init.normal_(theirs.class_token)
    torch.save(theirs.state_dict(), tmp_path / "start.pth")
    theirs.heads = torch.nn.Identity()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(vit(weights=tmp_path / "start.pth")(images), theirs(images), atol=1e-5, rtol=1e-4)


def test_a_resnet_of_torchvision_answers_as_there(tmp_path):
    torch.manual_seed(0)
    theirs = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=7).eval()
    for name, value in theirs.named_buffers():
        if name.endswith("running_mean"):
            value.normal_()
    torch.save(theirs.state_dict(), tmp_path / "start.pth")
    theirs.fc = torch.nn.Identity()
    ours = encoder.build("resnet18", channels=3, size=64, weights=tmp_path / "start.pth").eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), atol=1e-4, rtol=1e-4)


def test_registers_and_the_class_position_of_dinov2(tmp_path):
    options = SMALL | {"patch_size": 14, "reg_tokens": 4, "no_embed_class": True, "init_values": 1e-5}
    network = encoder.build(VIT, channels=3, size=28, options=options, seed=2).eval()
    state = network.state_dict()
    place = torch.randn(1, 1, 32)
    theirs = {name: value for name, value in state.items() if name not in ("reg_token", "cls_token", "pos_embed")}
    theirs |= {"register_tokens": state["reg_token"], "mask_token": torch.zeros(1, 32)}
    theirs |= {"cls_token": state["cls_token"] - place, "pos_embed": torch.cat([place, state["pos_embed"]], dim=1)}
    torch.save(theirs, tmp_path / "dinov2.pth")
    found = encoder.build(VIT, channels=3, size=28, options=options, weights=tmp_path / "dinov2.pth").state_dict()
    for name, value in state.items():
        torch.testing.assert_close(found[name], value)
    larger = encoder.build(VIT, channels=3, size=56, options=options, weights=tmp_path / "dinov2.pth")
    assert larger.pos_embed.shape == (1, 16, 32)


def test_the_stem_alone_is_widened(tmp_path):
    torch.save(STATE, tmp_path / "start.pth")
    wide = vit(channels=5, size=48, weights=tmp_path / "start.pth")  # another grid too
    assert torch.equal(wide.patch_embed.proj.weight, pretrained.widen(STATE["patch_embed.proj.weight"], 5))
    assert torch.equal(wide.blocks[0].attn.qkv.weight, STATE["blocks.0.attn.qkv.weight"])
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "resnet.pth")
    narrow = encoder.build("resnet10t", channels=2, size=32, weights=tmp_path / "resnet.pth")
    assert narrow.conv1[0].weight.shape[1] == 2


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, r"expected the .* weights of vit_tiny_patch16_224; \d+ are missing, .*; found 0 tensors, e.g. none"),
        (
            timm.create_model("resnet10t").state_dict(),
            "missing, .*cls_token.*found 86 tensors, e.g. conv1.0.weight",
        ),
        (
            {name: value for name, value in STATE.items() if name != "norm.weight"},
            "1 are missing, e.g. norm.weight; found",
        ),
        (
            encoder.build(VIT, channels=3, size=32, options=SMALL | {"embed_dim": 48}).state_dict(),
            r"have another shape, e.g. cls_token \(1, 1, 48\) for \(1, 1, 32\)",
        ),
        (
            encoder.build(VIT, channels=3, size=32, options=SMALL | {"patch_size": 4}).state_dict(),
            r"1 have another shape, e.g. patch_embed.proj.weight \(32, 3, 4, 4\) for \(32, 3, 8, 8\)",
        ),
        (STATE | {"pos_embed": torch.zeros(1, 12, 32)}, r"1 have another shape, e.g. pos_embed \(1, 12, 32\)"),
        ([torch.zeros(3)], "expected a dict of tensors, found list"),
    ],
    ids=["empty", "another", "lacking", "wider", "other patches", "odd grid", "list"],
)
def test_files_that_do_not_fit_are_named_with_what_was_expected_and_found(tmp_path, state, message):
    path = tmp_path / "start.pth"
    torch.save(state, path)
    with pytest.raises(ValueError, match=message) as error:
        vit(weights=path)
    assert str(path) in str(error.value)


def test_files_that_are_absent_or_no_weights_are_named(tmp_path):
    with pytest.raises(ValueError, match="expected a local file, found none at .*absent.pth"):
        vit(weights=tmp_path / "absent.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("<html>not found</html>")
        with pytest.raises(ValueError, match=f"{name}: expected weights as safetensors or as a PyTorch file"):
            vit(weights=tmp_path / name)
    save_file(STATE, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:1000])
    with pytest.raises(ValueError, match="cut.safetensors: expected weights"):
        vit(weights=tmp_path / "cut.safetensors")
    torch.save(START, tmp_path / "pickled.pth")  # a whole module runs code when it is loaded
    with pytest.raises(ValueError, match="pickled.pth: expected weights"):
        vit(weights=tmp_path / "pickled.pth")


@pytest.mark.parametrize("alone", [True, False])
def test_positions_that_fit_are_left_as_they_are(tmp_path, alone):
    """Of patches alone, or of class token and patches, where neither has one more than the network."""
    network = encoder.build(VIT, channels=3, size=32, options=SMALL | {"no_embed_class": alone})
    state = {name: torch.randn_like(value) for name, value in network.state_dict().items()}
    torch.save(state, tmp_path / "start.pth")
    pretrained.start_from(network, tmp_path / "start.pth")
    assert state["pos_embed"].shape[1] == (16 if alone else 17)
    for name in ("pos_embed", "cls_token"):
        assert torch.equal(network.state_dict()[name], state[name])
    torch.save({name: value for name, value in state.items() if name != "cls_token"}, tmp_path / "less.pth")
    with pytest.raises(ValueError, match="1 are missing, e.g. cls_token"):
        pretrained.start_from(network, tmp_path / "less.pth")


def efficientnet_pytorch(network: torch.nn.Module, state: dict) -> dict:
    """The state of a timm EfficientNet under the names of efficientnet_pytorch, whose blocks are counted through."""
    plain = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    wide = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    wide |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
    squeeze = {"se.conv_reduce": "_se_reduce", "se.conv_expand": "_se_expand"}
    renamed, count = {}, 0
    for stage, blocks in enumerate(network.blocks):
        for place, block in enumerate(blocks):
            layers = (wide if hasattr(block, "conv_pwl") else plain) | squeeze
            for name, theirs in layers.items():
                mine = f"blocks.{stage}.{place}.{name}."
                found = {each: value for each, value in state.items() if each.startswith(mine)}
                renamed |= {f"_blocks.{count}.{theirs}.{each[len(mine) :]}": value for each, value in found.items()}
            count += 1
    ends = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    for name, theirs in ends.items():
        found = {each: value for each, value in state.items() if each.startswith(f"{name}.")}
        renamed |= {f"{theirs}{each[len(name) :]}": value for each, value in found.items()}
    return renamed


@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "efficientnet_b0"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_files_of_efficientnet_pytorch(tmp_path, backbone, prefix):
    source = encoder.build(backbone, channels=3, size=64, seed=3)
    state = source.state_dict()
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    theirs = efficientnet_pytorch(source, state)
    assert len(theirs) == len(state)
    torch.save(behind(theirs | {"_fc.weight": torch.zeros(7, 1280)}, prefix), tmp_path / "start.pth")
    found = encoder.build(backbone, channels=3, size=64, seed=1, weights=tmp_path / "start.pth").state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())


def transformers(state: dict, *, third: bool) -> dict:
    """Return a state of timm's ViT by the names of Hugging Face's ViT and DINOv2, or of DINOv3."""
    found = {}
    layer, attention = (
        ("layer.{}.", "attention.{}_proj.") if third else ("encoder.layer.{}.", "attention.attention.{}.")
    )
    kinds = ("q", "k", "v") if third else ("query", "key", "value")
    names = {"cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings"}
    names |= {"reg_token": "embeddings.register_tokens"}
    inside = {"attn.proj.": "attention.o_proj." if third else "attention.output.dense."}
    if third:
        inside |= {"mlp.fc1.": "mlp.up_proj.", "mlp.fc2.": "mlp.down_proj.", "gamma_1": "layer_scale1.lambda1"}
        inside |= {"gamma_2": "layer_scale2.lambda1", "norm1.": "norm1.", "norm2.": "norm2."}
    else:
        inside |= {"norm1.": "layernorm_before.", "norm2.": "layernorm_after."}
        inside |= {"mlp.fc1.": "intermediate.dense.", "mlp.fc2.": "output.dense."}
    for name, value in state.items():
        if name.startswith("blocks."):
            _, number, rest = name.split(".", 2)
            if rest.startswith("attn.qkv."):
                for kind, part in zip(kinds, value.chunk(3), strict=True):
                    found[layer.format(number) + attention.format(kind) + rest.removeprefix("attn.qkv.")] = part
            elif rest in ("attn.q_bias", "attn.v_bias"):
                found[layer.format(number) + attention.format(rest[5]) + "bias"] = value
            else:
                mine = next(here for here in inside if rest.startswith(here))
                found[layer.format(number) + inside[mine] + rest.removeprefix(mine)] = value
        elif name.startswith("patch_embed.proj."):
            place = "embeddings.patch_embeddings." + ("" if third else "projection.")
            found[place + name.removeprefix("patch_embed.proj.")] = value
        elif name.startswith("norm."):
            found[("norm." if third else "layernorm.") + name.removeprefix("norm.")] = value
        else:
            found[names[name]] = value
    return found


@pytest.mark.parametrize("prefix", ["", "vit.", "encoder."])
def test_a_vit_of_transformers_answers_as_its_own(tmp_path, prefix):
    save_file(
        {name: value.contiguous() for name, value in behind(transformers(STATE, third=False), prefix).items()},
        tmp_path / "w.safetensors",
    )
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(vit(weights=tmp_path / "w.safetensors")(images), START(images))


def dinov3(*, biased: bool, **over) -> torch.nn.Module:
    options = {"embed_dim": 48, "depth": 2, "num_heads": 3}
    name = f"vit_small_patch16_dinov3{'_qkvb' if biased else ''}"
    return encoder.build(name, channels=3, size=32, options=options, **over).eval()


def of_hub(state: dict, *, biased: bool) -> dict:
    """Return a state of timm's DINOv3 by the names of its authors."""
    renamed = {"gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma", "reg_token": "storage_tokens"}
    found = {"mask_token": torch.zeros(1, 48), "rope_embed.periods": torch.ones(4)}
    for name, value in state.items():
        if name.endswith("_bias"):
            continue
        end = name.rsplit(".", 1)[-1]
        found[name.removesuffix(end) + renamed.get(end, end)] = value
    for block in ("blocks.0.attn.", "blocks.1.attn."):
        nothing = torch.zeros(48)
        parts = [state.get(f"{block}{kind}_bias", nothing) for kind in ("q", "k", "v")]
        found |= {f"{block}qkv.bias": torch.cat(parts), f"{block}qkv.bias_mask": torch.ones(144)}
    return found


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("hand", ["hub", "transformers"])
def test_dinov3_of_both_hands_answers_as_its_own(tmp_path, hand, biased, caplog):
    theirs = dinov3(biased=biased, seed=4)
    torch.manual_seed(2)
    for name, value in theirs.named_parameters():
        if value.ndim == 1 and "norm" not in name:
            value.data.normal_()
    state = theirs.state_dict()
    stored = of_hub(state, biased=biased) if hand == "hub" else transformers(state, third=True)
    torch.save(stored, tmp_path / "dinov3.pth")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            dinov3(biased=biased, seed=9, weights=tmp_path / "dinov3.pth")(images), theirs(images)
        )
    assert "left out" not in caplog.text
    if biased:
        with pytest.raises(ValueError, match="expected no biases of queries and values.*name ends in _qkvb"):
            dinov3(biased=False, weights=tmp_path / "dinov3.pth")


def test_a_model_of_fixed_inputs_is_not_widened(tmp_path):
    torch.save(vit(channels=4).state_dict(), tmp_path / "four.pth")
    assert vit(channels=4, weights=tmp_path / "four.pth", widening=False).patch_embed.proj.weight.shape[1] == 4
    with pytest.raises(
        ValueError, match=r"1 have another shape, e.g. patch_embed.proj.weight \(32, 4, 8, 8\) for \(32, 1,"
    ):
        vit(channels=1, weights=tmp_path / "four.pth", widening=False)


def test_subcell_by_the_function_of_the_page_gives_its_gated_attention(tmp_path, root):
    page = (root / "docs" / "how-to" / "which-encoder.md").read_text()
    (tmp_path / "subcell.py").write_text(re.search(r'```python title="config/subcell.py"\n(.*?)```', page, re.S)[1])
    torch.manual_seed(3)
    pool = {
        "attention_v.1": torch.randn(512, 32),
        "attention_u.1": torch.randn(512, 32),
        "attention": torch.randn(2, 512),
    }
    stored = behind(transformers(vit(channels=4, seed=5).state_dict(), third=False), "encoder.")
    for name, weight in pool.items():
        stored |= {f"pool_model.{name}.weight": weight, f"pool_model.{name}.bias": torch.zeros(len(weight))}
    torch.save(stored, tmp_path / "subcell.pth")
    options = {"img_size": 32, **SMALL}
    factory = Factory.read(f"{tmp_path}/subcell.py:subcell")
    found = module.build(factory, channels=4, size=32, arguments=options, weights=tmp_path / "subcell.pth").eval()
    images = torch.randn(2, 4, 32, 32)
    with torch.no_grad():
        tokens = vit(channels=4, seed=5).forward_features(images)  # the class token is one of them
        gate = torch.tanh(tokens @ pool["attention_v.1"].T) * torch.nn.functional.gelu(tokens @ pool["attention_u.1"].T)
        shares = torch.softmax(gate @ pool["attention"].T, dim=1)
        wanted = torch.cat([(shares[:, :, [head]] * tokens).sum(dim=1) for head in (0, 1)], dim=1)
        torch.testing.assert_close(found(images), wanted, atol=1e-4, rtol=1e-4)
    assert module.check(found, channels=4, sizes=[32], objective="frozen", key="encoders.factory") == 64


def test_cell_dino_of_four_channels_keeps_its_kernels(tmp_path):
    theirs = encoder.build(VIT, channels=4, size=32, options=SMALL | {"init_values": 1.0}, seed=8).eval()
    state = {name: value + 0.1 for name, value in theirs.state_dict().items()}
    torch.save({"teacher": behind(chunked(state), "backbone.")}, tmp_path / "cell_dino.pth")
    options = SMALL | {"init_values": 1.0}
    found = encoder.build(VIT, channels=4, size=32, options=options, weights=tmp_path / "cell_dino.pth", widening=False)
    for name, value in found.state_dict().items():
        assert torch.equal(value, state[name]), name
