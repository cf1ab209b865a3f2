"""Cellpose-SAM, small enough for a test: an image encoder of 2 layers of width 64 in place of 24 of width 1024.

`shim` makes child processes use it too: it writes a package `segment_anything`, from which Cellpose imports its
encoder, to be put before the real one.
"""

from functools import partial
from pathlib import Path

import torch

PATCH = 8  # px; edge of the patches of Cellpose-SAM


class Sam:
    """The object from which Cellpose-SAM takes its encoder."""

    def __init__(self, checkpoint: object = None) -> None:
        from segment_anything.modeling import ImageEncoderViT

        layers = {"depth": 2, "embed_dim": 64, "num_heads": 2, "global_attn_indexes": [0, 1]}
        norm = partial(torch.nn.LayerNorm, eps=1e-6)
        further = {"mlp_ratio": 4, "patch_size": 16, "window_size": 14, "out_chans": 256}
        self.image_encoder = ImageEncoderViT(
            img_size=1024, norm_layer=norm, qkv_bias=True, use_rel_pos=True, **layers, **further
        )


def squares(network: torch.nn.Module) -> torch.nn.Module:
    """Return the network with a readout that makes each patch an object: all flows lead to the centre of the patch."""
    y, x = torch.meshgrid(torch.arange(PATCH), torch.arange(PATCH), indexing="ij")
    towards = torch.stack([PATCH // 2 - y, PATCH // 2 - x]).float()
    flows = 5 * towards / towards.norm(dim=0).clamp(min=1)
    network.out.weight.data.zero_()
    network.out.bias.data.copy_(torch.cat([flows, torch.full((1, PATCH, PATCH), 5.0)]).ravel())
    return network


def shim(folder: Path) -> Path:
    """Write the package and return the folder to put on PYTHONPATH."""
    import segment_anything

    package = folder / "segment_anything"
    package.mkdir(parents=True)
    lines = f"""
        import sys
        __path__ = {list(segment_anything.__path__)!r}
        sys.path.append({str(Path(__file__).parent)!r})
        from tiny_cellpose import Sam
        sam_model_registry = {{"vit_l": Sam}}
    """
    (package / "__init__.py").write_text("\n".join(line.strip() for line in lines.strip().splitlines()) + "\n")
    return folder
