"""Golden cases of kind pixart_sigma: forward, guidance and gradients of PixArt-Sigma's own classes, with and without compressed keys.

Made with torch 2.11.0, numpy 2.4.6, safetensors 0.8.0 and PixArt-alpha/PixArt-sigma at 1ce521afddcc2fab329b35b7374aa86d654e12f7.
Run:  python pixart_sigma.py CHECKOUT OUT      (CHECKOUT holds diffusion/model/nets/ of that commit)

The packages that the checkout imports besides torch and numpy are replaced by the few classes below, which do what those packages do
in this configuration: evaluation mode on the CPU, without dropout.
"""
import argparse
import importlib
import math
import pathlib
import sys
import types
from unittest import mock

import torch
from torch import nn

from case_io import bound, fresh_folder, provenance, write_case
from diffusers_names import sinusoid64

COMMIT = "1ce521afddcc2fab329b35b7374aa86d654e12f7"
TOKENS, CAPTION_CHANNELS, WIDTH, CFG_SCALE = 300, 6, 24, 4.5
CASES = {
    "plain": {"latent": [6, 10], "guided": True, "why": "PixArtMS without micro-conditions and without compression; 300 tokens, a wide grid."},
    "conv": {"latent": [8, 12], "kv": ("conv", 2, [1]), "guided": True,
             "why": "The published compression in one of two blocks: convolution and norm serve keys and values, queries stay."},
    "conv_border": {"latent": [10, 14], "kv": ("conv", 3, [0, 1]), "qk_norm": True,
                    "why": "A grid of 5 x 7 tokens that the factor 3 does not divide: the convolution leaves out the border; after QK-norm."},
    "average_border": {"latent": [10, 14], "kv": ("ave", 2, [0]), "why": "`ave` takes the nearest token, not a mean, and leaves out the border of 5 x 7."},
    "uniform": {"latent": [12, 8], "kv": ("uniform", 2, [0, 1]), "why": "One token of each square of a tall grid."},
    "every": {"latent": [6, 10], "kv": ("uniform_every", 5, [1]), "why": "Every fifth token of the sequence, across the rows of 3 x 5."},
    "fixed": {"architecture": "PixArt", "latent": [8, 8], "kv": ("conv", 2, [1]), "lewei_scale": 0.5,
              "why": "The class of the 256-pixel stage: fixed positions at half the scale, compressed keys on its square."},
}


class Attention(nn.Module):
    def __init__(self, dim, num_heads=8, qkv_bias=False, **_):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=qkv_bias), nn.Linear(dim, dim)
        self.attn_drop, self.proj_drop = nn.Dropout(0.0), nn.Dropout(0.0)


class Mlp(nn.Module):
    def __init__(self, in_features, hidden_features=None, out_features=None, act_layer=nn.GELU, drop=0.0):
        super().__init__()
        hidden = hidden_features or in_features
        self.fc1, self.act, self.fc2 = nn.Linear(in_features, hidden), act_layer(), nn.Linear(hidden, out_features or in_features)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class PatchEmbed(nn.Module):
    def __init__(self, img_size, patch_size, in_chans, embed_dim, bias=True):
        super().__init__()
        self.patch_size, self.num_patches = (patch_size, patch_size), (img_size // patch_size) ** 2
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=patch_size, stride=patch_size, bias=bias)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class BlockDiagonal:
    """Query block b, of q_lengths[b] rows, sees key block b only."""

    @classmethod
    def from_seqlens(cls, q_lengths, k_lengths):
        mask = cls()
        q, k = (torch.repeat_interleave(torch.arange(len(n)), torch.tensor(n)) for n in (q_lengths, k_lengths))
        mask.seen = q[:, None] == k[None, :]
        return mask


def attend(q, k, v, p=0.0, attn_bias=None):
    """q, k, v [B, tokens, heads, channels]."""
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
    if attn_bias is not None:
        scores = scores.masked_fill(~attn_bias.seen, float("-inf"))
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v).contiguous()


def module(name, **names):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(names)
    return sys.modules[name]


def load_reference(checkout):
    """The checkout's modules PixArt and PixArtMS, without its training code."""
    for name in ("diffusion", "diffusion.model", "diffusion.model.nets", "diffusion.utils"):
        module(name).__path__ = [str(pathlib.Path(checkout).joinpath(*name.split(".")))]
    registry = types.SimpleNamespace(register_module=lambda: lambda cls: cls)
    module("diffusion.model.builder", MODELS=registry)
    module("diffusion.model.utils", auto_grad_checkpoint=lambda block, *args, **kwargs: block(*args, **kwargs),
           to_2tuple=lambda x: x if isinstance(x, (tuple, list)) else (x, x))
    module("diffusion.utils.logger", get_root_logger=None)
    module("einops", rearrange=None)
    module("timm")
    module("timm.models")
    module("timm.models.layers", DropPath=nn.Identity)
    module("timm.models.vision_transformer", Attention=Attention, Mlp=Mlp, PatchEmbed=PatchEmbed)
    fmha = types.SimpleNamespace(BlockDiagonalMask=BlockDiagonal)
    module("xformers").ops = module("xformers.ops", memory_efficient_attention=attend, fmha=fmha)
    return {name: importlib.import_module(f"diffusion.model.nets.{name}") for name in ("PixArt", "PixArtMS")}


def case_config(spec):
    architecture = spec.get("architecture", "PixArtMS")
    sampling, factor, layers = spec.get("kv", (None, 1, []))
    return {"architecture": architecture, "in_channels": 4, "hidden_size": WIDTH, "depth": 2, "num_heads": 3, "mlp_ratio": 2.0,
            "pred_sigma": True, "caption_channels": CAPTION_CHANNELS, "input_size": 8, "patch_size": 2, "model_max_length": TOKENS,
            "lewei_scale": spec.get("lewei_scale", 1.0), "qk_norm": spec.get("qk_norm", False), "micro_condition": False,
            "kv_compress_config": {"sampling": sampling, "scale_factor": factor, "kv_compress_layer": layers},
            "latent": spec["latent"], "cfg_scale": CFG_SCALE}


def build(reference, config):
    given = {k: config[k] for k in ("in_channels", "hidden_size", "depth", "num_heads", "mlp_ratio", "pred_sigma", "caption_channels",
                                    "input_size", "patch_size", "model_max_length", "qk_norm", "kv_compress_config")}
    if config["architecture"] == "PixArtMS":
        given["micro_condition"] = config["micro_condition"]
    return getattr(reference[config["architecture"]], config["architecture"])(pe_interpolation=config["lewei_scale"], **given).eval()


def randomize(model, generator):
    """No weight is zero; weights of norms and of the compressing convolutions keep their scale."""
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), ("y_embedder.y_embedding", model.y_embedder.y_embedding)]:
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("norm.weight"):
                tensor.copy_(1 + 0.2 * noise)
            elif name.endswith("sr.weight"):
                tensor.copy_((1 + 0.5 * noise) / tensor[0].numel())
            elif tensor.dim() < 2 or name.endswith("table"):
                tensor.copy_(0.3 * noise)
            else:
                tensor.copy_(1.3 * noise / math.sqrt(tensor[0].numel()))


def inputs_of(spec, generator):
    batch, (height, width) = 2, spec["latent"]
    mask = torch.zeros(batch, TOKENS, dtype=torch.int64)
    mask[0, :], mask[1, :7] = 1, 1
    normal = lambda *shape: torch.randn(shape, generator=generator)
    inputs = {"in.x": normal(batch, 4, height, width), "in.t": torch.tensor([701.25, 13.0]), "in.mask": mask,
              "in.y": normal(batch, 1, TOKENS, CAPTION_CHANNELS), "in.cotangent": normal(batch, 8, height, width)}
    if spec.get("guided"):
        inputs["in.cfg.x"], inputs["in.cfg.t"] = normal(2 * batch, 4, height, width), torch.tensor([350.5, 999.0, 350.5, 999.0])
    return inputs


def run(model, inputs, dtype):
    """Blocks, output, guided output and gradients in `dtype`."""
    model = model.to(dtype)
    model.zero_grad()
    given = {k: v if v.dtype == torch.int64 else v.to(dtype) for k, v in inputs.items()}
    found, hooks = {}, []
    for i, block in enumerate(model.blocks):
        hooks.append(block.register_forward_hook(lambda _, __, result, i=i: found.update({f"out.block.{i}": result.detach()})))
    output = model(given["in.x"], inputs["in.t"], given["in.y"], mask=given["in.mask"])
    for hook in hooks:
        hook.remove()
    found["out.output"] = output.detach()
    (output * given["in.cotangent"]).mean().backward()
    found.update({f"grad.{name}": p.grad.clone() for name, p in model.named_parameters()})
    if "in.cfg.x" in given:
        with torch.no_grad():
            null = model.y_embedder.y_embedding.expand(2, 1, -1, -1)
            found["out.cfg"] = model.forward_with_cfg(given["in.cfg.x"], inputs["in.cfg.t"], torch.cat([given["in.y"], null]), CFG_SCALE,
                                                      data_info=None, mask=given["in.mask"])
    return found


def make(reference, root, case, spec, seed):
    generator = torch.Generator().manual_seed(seed)
    config = case_config(spec)
    model = build(reference, config)
    randomize(model, generator)
    inputs = inputs_of(spec, generator)
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    if "in.cfg.x" in inputs:
        inputs["in.cfg.y"] = torch.cat([inputs["in.y"], weights["y_embedder.y_embedding"].expand(2, 1, -1, -1)])
    single = run(model, inputs, torch.float32)
    feature = lambda t, dim, max_period=10000: sinusoid64(t, dim, flip_sin_to_cos=True, downscale_freq_shift=0, max_period=max_period)
    embedder = sys.modules["diffusion.model.nets.PixArt_blocks"].TimestepEmbedder
    with mock.patch.object(embedder, "timestep_embedding", staticmethod(feature)):
        double = run(model, inputs, torch.float64)
    per_tensor = {k: {"atol": bound(v, double[k]), "measured": float(f"{(v - double[k]).abs().max():.1e}")} for k, v in single.items()}
    write_case(fresh_folder(root, "pixart_sigma", case), config=config, tolerance={"rtol": 0.0, "per_tensor": per_tensor}, why=spec["why"],
               weights=weights, tensors={**inputs, **single},
               provenance=provenance(seed, "torch", "numpy", "safetensors", repository="PixArt-alpha/PixArt-sigma", commit=COMMIT))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("checkout")
    parser.add_argument("out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    reference = load_reference(args.checkout)
    for number, (case, spec) in enumerate(CASES.items()):
        make(reference, args.out, case, spec, 100 + number)
