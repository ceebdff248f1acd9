"""DiT and PixArt as functions of their official weights, written from the papers (arXiv 2212.09748, 2310.00426), with a route of
the image tokens (TREAD, arXiv 2501.04765). check() compares them with recorded cases of the official code."""
import json
import math
import pathlib

import torch
from safetensors.torch import load_file
from torch.nn import functional as F


def linear(w, name, x):
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def norm(x, shift, scale):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


def mlp(w, name, x):
    return linear(w, f"{name}.fc2", F.gelu(linear(w, f"{name}.fc1", x), approximate="tanh"))


def heads_of(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def self_attention(w, name, x, heads):
    q, k, v = (heads_of(part, heads) for part in linear(w, f"{name}.qkv", x).chunk(3, -1))
    return linear(w, f"{name}.proj", ((q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v).transpose(1, 2).flatten(2))


def cross_attention(w, name, x, text, mask, heads):
    q = heads_of(linear(w, f"{name}.q_linear", x), heads)
    k, v = (heads_of(part, heads) for part in linear(w, f"{name}.kv_linear", text).chunk(2, -1))
    scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(mask[:, None, None, :] == 0, float("-inf"))
    return linear(w, f"{name}.proj", (scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def time_embedding(w, t, dtype):
    """In float32 the angles are as coarse as those of the released code."""
    angle = t.to(dtype)[:, None] * torch.exp(-math.log(10000) * torch.arange(128, dtype=dtype) / 128)
    return linear(w, "t_embedder.mlp.2", F.silu(linear(w, "t_embedder.mlp.0", torch.cat([angle.cos(), angle.sin()], 1))))


def patches(w, x, p):
    return F.conv2d(x, w["x_embedder.proj.weight"], w["x_embedder.proj.bias"], stride=p).flatten(2).mT + w["pos_embed"]


def image(tokens, rows, p):
    b, n, _ = tokens.shape
    return tokens.view(b, rows, n // rows, p, p, -1).permute(0, 5, 1, 3, 2, 4).reshape(b, -1, rows * p, n // rows * p)


def through(blocks, x, route):
    """The tokens after all blocks; `route`: kept [B, K], and blocks from <= i < to, which the others skip. Also the outputs of blocks."""
    outputs = []
    rows = torch.arange(x.shape[0])[:, None]
    for i, block in enumerate(blocks):
        if route and i == route["from"]:
            everybody, x = x, x[rows, route["kept"]]
        x = block(x)
        outputs.append(x)
        if route and i + 1 == route["to"]:
            joined = everybody.clone()
            joined[rows, route["kept"]] = x
            x = joined
    return x, outputs


def dit(w, config, x, t, y, route=None):
    """The output [B, O, H, W] and the blocks' outputs."""
    condition = F.silu(time_embedding(w, t, x.dtype) + w["y_embedder.embedding_table.weight"][y])

    def block(i):
        def run(h):
            m = linear(w, f"blocks.{i}.adaLN_modulation.1", condition)[:, None].chunk(6, -1)
            h = h + m[2] * self_attention(w, f"blocks.{i}.attn", norm(h, m[0], m[1]), config["num_heads"])
            return h + m[5] * mlp(w, f"blocks.{i}.mlp", norm(h, m[3], m[4]))
        return run

    p = config["patch_size"]
    h, outputs = through([block(i) for i in range(config["depth"])], patches(w, x, p), route)
    shift, scale = linear(w, "final_layer.adaLN_modulation.1", condition)[:, None].chunk(2, -1)
    return image(linear(w, "final_layer.linear", norm(h, shift, scale)), x.shape[2] // p, p), outputs


def pixart(w, config, x, t, y, mask, route=None):
    """The same of captions y [B, T, C] with mask [B, T]."""
    e = time_embedding(w, t, x.dtype)
    shared = linear(w, "t_block.1", F.silu(e)).view(len(t), 6, -1)
    text = mlp(w, "y_embedder.y_proj", y)

    def block(i):
        def run(h):
            m = (w[f"blocks.{i}.scale_shift_table"] + shared).chunk(6, 1)
            h = h + m[2] * self_attention(w, f"blocks.{i}.attn", norm(h, m[0], m[1]), config["num_heads"])
            h = h + cross_attention(w, f"blocks.{i}.cross_attn", h, text, mask, config["num_heads"])
            return h + m[5] * mlp(w, f"blocks.{i}.mlp", norm(h, m[3], m[4]))
        return run

    p = config["patch_size"]
    h, outputs = through([block(i) for i in range(config["depth"])], patches(w, x, p), route)
    shift, scale = (w["final_layer.scale_shift_table"] + e[:, None]).chunk(2, 1)
    return image(linear(w, "final_layer.linear", norm(h, shift, scale)), x.shape[2] // p, p), outputs


def check(golden):
    """The functions give what the official code gave in the recorded cases."""
    for kind, name in (("dit", "tiny"), ("pixart", "fixed")):
        folder = pathlib.Path(golden) / kind / name
        config = json.loads((folder / "case.json").read_text())["config"]
        w, c = load_file(folder / "weights.safetensors"), load_file(folder / "tensors.safetensors")
        w = {k: v.double() for k, v in w.items()}
        if kind == "dit":
            got, _ = dit(w, config, c["in.x"].double(), c["in.t"], c["in.y"])
        else:
            y = c["in.y"].squeeze(1).double()
            if "in.force_drop_ids" in c:
                y = torch.where(c["in.force_drop_ids"].view(-1, 1, 1) == 1, w["y_embedder.y_embedding"], y)
            got, _ = pixart(w, config, c["in.x"].double(), c["in.t"], y, c["in.mask"])
        distance = (got - c["out.output"].double()).abs().max() / c["out.output"].abs().max()
        assert distance < 1e-5, (kind, distance)


def sizes(config):
    """Names and shapes of the trained tensors."""
    d, p, c, inner = config["hidden_size"], config["patch_size"], config["in_channels"], int(config["hidden_size"] * config["mlp_ratio"])
    out = p * p * c * (2 if config.get("pred_sigma", config.get("learn_sigma")) else 1)
    is_dit = config["architecture"] == "DiT"
    layers = {"t_embedder.mlp.0": (d, 256), "t_embedder.mlp.2": (d, d), "final_layer.linear": (out, d), "x_embedder.proj": (d, c, p, p)}
    other = {}
    for i in range(config["depth"]):
        b = f"blocks.{i}"
        layers |= {f"{b}.attn.qkv": (3 * d, d), f"{b}.attn.proj": (d, d), f"{b}.mlp.fc1": (inner, d), f"{b}.mlp.fc2": (d, inner)}
        if is_dit:
            layers[f"{b}.adaLN_modulation.1"] = (6 * d, d)
        else:
            layers |= {f"{b}.cross_attn.q_linear": (d, d), f"{b}.cross_attn.kv_linear": (2 * d, d), f"{b}.cross_attn.proj": (d, d)}
            other[f"{b}.scale_shift_table"] = (6, d)
    if is_dit:
        layers["final_layer.adaLN_modulation.1"] = (2 * d, d)
        other["y_embedder.embedding_table.weight"] = (config["num_classes"] + 1, d)
    else:
        layers |= {"t_block.1": (6 * d, d), "y_embedder.y_proj.fc1": (d, config["caption_channels"]), "y_embedder.y_proj.fc2": (d, d)}
        other["final_layer.scale_shift_table"] = (2, d)
    return {**{f"{k}.weight": v for k, v in layers.items()}, **{f"{k}.bias": v[:1] for k, v in layers.items()}, **other}


def draw_weights(config, rng):
    """No tensor is zero; with the buffers."""
    weights = {}
    for name, shape in sizes(config).items():
        wide = name.endswith("weight") and "table" not in name
        spread = 1 / math.sqrt(math.prod(shape[1:])) if wide else 0.3
        weights[name] = spread * torch.randn(shape, generator=rng)
    side = config["input_size"] // config["patch_size"]
    weights["pos_embed"] = torch.randn(1, side * side, config["hidden_size"], generator=rng)
    if config["architecture"] != "DiT":
        weights["y_embedder.y_embedding"] = torch.randn(config["model_max_length"], config["caption_channels"], generator=rng)
    return weights
