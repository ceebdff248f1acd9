"""A small PixArt-alpha, written from the papers (arXiv 2310.00426 section 2.3; control: 2401.05252 section 4), for the generators here.

Weights are a dictionary under the official names, so that a case can hold them as they are.
"""
import math

import torch
import torch.nn.functional as F

from diffusers_names import sinusoid64

FEATURES = 256


def linear_shapes(width, channels, patch, caption, mlp, out):
    """Of everything outside the blocks."""
    return {"x_embedder.proj": (width, channels, patch, patch), "t_embedder.mlp.0": (width, FEATURES), "t_embedder.mlp.2": (width, width),
            "t_block.1": (6 * width, width), "y_embedder.y_proj.fc1": (width, caption), "y_embedder.y_proj.fc2": (width, width),
            "final_layer.linear": (patch * patch * out, width)}


def block_shapes(width, mlp):
    return {"attn.qkv": (3 * width, width), "attn.proj": (width, width), "cross_attn.q_linear": (width, width),
            "cross_attn.kv_linear": (2 * width, width), "cross_attn.proj": (width, width), "mlp.fc1": (mlp, width), "mlp.fc2": (width, mlp)}


def draw_weights(config, rng):
    """No tensor is zero. With `control_blocks` also the copies and their linear layers, which training has moved."""
    width, mlp = config["hidden_size"], int(config["hidden_size"] * config["mlp_ratio"])
    out = 2 * config["in_channels"] if config["pred_sigma"] else config["in_channels"]
    weights = {}

    def add(name, shape, scale=1.0):
        weights[name + ".weight"] = scale * torch.randn(shape, generator=rng) / torch.Size(shape[1:]).numel() ** 0.5
        weights[name + ".bias"] = 0.1 * torch.randn(shape[0], generator=rng)

    def add_block(prefix):
        weights[prefix + "scale_shift_table"] = 0.3 * torch.randn(6, width, generator=rng)
        for name, shape in block_shapes(width, mlp).items():
            add(prefix + name, shape)

    for name, shape in linear_shapes(width, config["in_channels"], config["patch_size"], config["caption_channels"], mlp, out).items():
        add(name, shape)
    for i in range(config["depth"]):
        add_block(f"blocks.{i}.")
    for i in range(config.get("control_blocks", 0)):
        add_block(f"controlnet.{i}.copied_block.")
        for name in (["before_proj"] if i == 0 else []) + ["after_proj"]:
            add(f"controlnet.{i}.{name}", (width, width), 0.5)
    weights["final_layer.scale_shift_table"] = 0.3 * torch.randn(2, width, generator=rng)
    weights["y_embedder.y_embedding"] = torch.randn(config["model_max_length"], config["caption_channels"], generator=rng)
    side = config["input_size"] // config["patch_size"]
    weights["pos_embed"] = positions(width, side, side, side).float()
    return weights


def positions(width, rows, cols, base):
    """[1, rows * cols, width] float64: the first half encodes the column, the second the row, on a grid that is stretched to `base`."""
    omega = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    row, col = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) / (n / base) for n in (rows, cols)), indexing="ij")
    parts = [f(angle.reshape(-1, 1) * omega) for angle in (col, row) for f in (torch.sin, torch.cos)]
    return torch.cat(parts, 1)[None]


def timestep_feature(t, dtype):
    """[B, FEATURES]. Most of the distance between float32 and float64 comes from here: t times the frequency is rounded."""
    if dtype == torch.float64:
        return sinusoid64(t, FEATURES, flip_sin_to_cos=True, downscale_freq_shift=0)
    half = FEATURES // 2
    angle = t.float()[:, None] * torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32) / half)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def attend(q, k, v, heads):
    split = lambda x: x.unflatten(-1, (heads, -1)).transpose(0, 1)
    scores = split(q) @ split(k).transpose(1, 2) / math.sqrt(q.shape[-1] // heads)
    return (scores.softmax(-1) @ split(v)).transpose(0, 1).flatten(1)


class Model:
    """Computes in the type of its weights."""

    def __init__(self, config, weights):
        self.c, self.w = config, weights
        self.blocks = []  # output of each block of the last call

    def linear(self, name, x):
        return F.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])

    def mlp(self, name, x):
        return self.linear(name + ".fc2", F.gelu(self.linear(name + ".fc1", x), approximate="tanh"))

    def norm(self, x, shift, scale):
        return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift

    def block(self, name, x, modulation, texts):
        """x [B, N, D], modulation [B, 6, D], texts: for each sample its tokens without padding."""
        m = (self.w[name + ".scale_shift_table"][None] + modulation).unsqueeze(2).unbind(1)
        heads, rows = self.c["num_heads"], range(x.shape[0])
        q, k, v = self.linear(name + ".attn.qkv", self.norm(x, m[0], m[1])).chunk(3, -1)
        x = x + m[2] * self.linear(name + ".attn.proj", torch.stack([attend(q[b], k[b], v[b], heads) for b in rows]))
        q = self.linear(name + ".cross_attn.q_linear", x)
        kv = [self.linear(name + ".cross_attn.kv_linear", text).chunk(2, -1) for text in texts]
        x = x + self.linear(name + ".cross_attn.proj", torch.stack([attend(q[b], *kv[b], heads) for b in rows]))
        return x + m[5] * self.mlp(name + ".mlp", self.norm(x, m[3], m[4]))

    def patches(self, latent):
        rows, cols = (side // self.c["patch_size"] for side in latent.shape[-2:])
        fixed = self.c["architecture"] == "PixArt"
        base = self.c["input_size"] // self.c["patch_size"]
        table = self.w["pos_embed"] if fixed else positions(self.c["hidden_size"], rows, cols, base).to(latent.dtype)
        x = F.conv2d(latent, self.w["x_embedder.proj.weight"], self.w["x_embedder.proj.bias"], stride=self.c["patch_size"])
        return x.flatten(2).transpose(1, 2) + table

    def __call__(self, latent, t, caption, mask, control=None, strength=1.0):
        w, patch = self.w, self.c["patch_size"]
        time = self.linear("t_embedder.mlp.2", F.silu(self.linear("t_embedder.mlp.0", timestep_feature(t, latent.dtype))))
        modulation = self.linear("t_block.1", F.silu(time)).unflatten(1, (6, -1))
        text = self.mlp("y_embedder.y_proj", caption)
        texts = [text[b][mask[b] == 1] for b in range(text.shape[0])]
        x, c = self.patches(latent), None if control is None else self.patches(control)
        self.blocks = []
        for i in range(self.c["depth"]):
            # Block i + 1 gets what copy i makes of the control; the first copy also sees the image after block 0.
            if c is not None and 1 <= i <= self.c["control_blocks"]:
                name = f"controlnet.{i - 1}"
                c = self.block(name + ".copied_block", x + self.linear(name + ".before_proj", c) if i == 1 else c, modulation, texts)
                x = x + strength * self.linear(name + ".after_proj", c)
            x = self.block(f"blocks.{i}", x, modulation, texts)
            self.blocks.append(x)
        shift, scale = (w["final_layer.scale_shift_table"][None] + time[:, None]).chunk(2, 1)
        x = self.linear("final_layer.linear", self.norm(x, shift, scale))
        rows, cols = (side // patch for side in latent.shape[-2:])
        x = x.unflatten(1, (rows, cols)).unflatten(-1, (patch, patch, -1))
        return torch.einsum("nhwpqc->nchpwq", x).flatten(4, 5).flatten(2, 3)


def in_dtype(tensors, dtype):
    return {k: v if v.dtype == torch.int64 else v.to(dtype) for k, v in tensors.items()}


def with_gradients(weights, dtype):
    """Leaves in `dtype`; the two buffers need no gradient."""
    result = in_dtype(weights, dtype)
    return {k: v.clone().requires_grad_(k not in ("pos_embed", "y_embedder.y_embedding")) for k, v in result.items()}


def ragged_mask(lengths, tokens):
    return (torch.arange(tokens) < torch.tensor(lengths)[:, None]).long()
