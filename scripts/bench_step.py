#!/usr/bin/env python3
"""The rival of `pixart_bench step`: makes the same training step in PyTorch, with the model of the official code.

Takes the same options and prints the same JSON. PyTorch has several forms (attention written out or
scaled_dot_product_attention; AdamW's plain, foreach and fused forms); the fastest one on this machine is measured. With
--compile the model is compiled, and the time of the first step, which compiles, is told apart. With --serve it makes one
step for each line of its standard input and answers with one line of JSON, so that both programs make their steps in turn.
"""
import argparse
import copy
import itertools
import json
import math
import re
import resource
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def modulate(x, shift, scale):
    return x * (1 + scale) + shift


def attend(q, k, v, fused, mask=None):  # [B, N, h, d] each; mask [B, 1, 1, T], True = attend
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    if fused:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    else:
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
        out = (scores if mask is None else scores.masked_fill(~mask, -math.inf)).softmax(-1) @ v
    return out.transpose(1, 2).flatten(2)


class Mlp(nn.Module):
    def __init__(self, width, hidden, out):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, out)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    fused_attention = True

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.q_linear, self.kv_linear = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.cross_proj = nn.Linear(width, width)
        self.mlp = Mlp(width, 4 * width, width)
        self.scale_shift_table = nn.Parameter(torch.randn(6, width) / width**0.5)

    def attention(self, x):
        b, n, _ = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, -1).unbind(2)
        return self.proj(attend(q, k, v, self.fused_attention))

    def cross_attention(self, x, y, mask):
        b, n, _ = x.shape
        q = self.q_linear(x).view(b, n, self.heads, -1)
        k, v = self.kv_linear(y).view(b, y.size(1), 2, self.heads, -1).unbind(2)
        return self.cross_proj(attend(q, k, v, self.fused_attention, mask))

    def forward(self, x, y, t, mask):
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            self.scale_shift_table[None] + t.reshape(x.size(0), 6, -1)).chunk(6, dim=1)
        x = x + gate1 * self.attention(modulate(self.norm1(x), shift1, scale1))
        x = x + self.cross_attention(x, y, mask)
        return x + gate2 * self.mlp(modulate(self.norm2(x), shift2, scale2))


class PixArt(nn.Module):
    def __init__(self, a):
        super().__init__()
        d, self.side = a.hidden_size, a.latent_size // 2
        self.x_embedder = nn.Conv2d(4, d, 2, 2)
        self.register_buffer("pos_embed", torch.randn(1, self.side**2, d))
        self.t_embedder = nn.Sequential(nn.Linear(256, d), nn.SiLU(), nn.Linear(d, d))
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(d, 6 * d))
        self.register_buffer("y_embedding", torch.randn(a.caption_tokens, a.caption_width))
        self.y_proj = Mlp(a.caption_width, d, d)
        self.blocks = nn.ModuleList(Block(d, a.num_heads) for _ in range(a.depth))
        self.norm = nn.LayerNorm(d, elementwise_affine=False, eps=1e-6)
        self.final_table = nn.Parameter(torch.randn(2, d) / d**0.5)
        self.linear = nn.Linear(d, 32)

    def forward(self, x, t, y, drop, mask):
        x = self.x_embedder(x).flatten(2).transpose(1, 2) + self.pos_embed
        freqs = torch.exp(-math.log(10000) * torch.arange(128, device=x.device) / 128)
        angles = t[:, None].float() * freqs
        t = self.t_embedder(torch.cat([angles.cos(), angles.sin()], dim=-1))
        t0 = self.t_block(t)
        y = self.y_proj(torch.where(drop[:, None, None], self.y_embedding, y))
        for block in self.blocks:
            x = block(x, y, t0, mask)
        shift, scale = (self.final_table[None] + t[:, None]).chunk(2, dim=1)
        x = self.linear(modulate(self.norm(x), shift, scale)).view(x.size(0), self.side, self.side, 2, 2, 8)
        return torch.einsum("nhwpqc->nchpwq", x).reshape(x.size(0), 8, 2 * self.side, 2 * self.side)


class Diffusion:
    """training_losses of the official gaussian_diffusion.py: MSE and the variational bound of learned sigma."""

    def __init__(self, device):
        betas = torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64)
        a = (1 - betas).cumprod(0)
        before = torch.cat([torch.ones(1, dtype=torch.float64), a[:-1]])
        variance = betas * (1 - before) / (1 - a)
        tables = {"root": a.sqrt(), "noise": (1 - a).sqrt(), "log_beta": betas.log(),
                  "log_variance": torch.cat([variance[1:2], variance[1:]]).log(),
                  "mean1": betas * before.sqrt() / (1 - a), "mean2": (1 - before) * (1 - betas).sqrt() / (1 - a),
                  "recip": (1 / a).sqrt(), "recipm1": (1 / a - 1).sqrt()}
        self.tables = {name: table.float().to(device) for name, table in tables.items()}

    def loss(self, model, x0, noise, t, *condition):
        at = {name: table[t][:, None, None, None] for name, table in self.tables.items()}
        x_t = at["root"] * x0 + at["noise"] * noise
        predicted, v = model(x_t, t, *condition).float().chunk(2, dim=1)
        fraction = (v + 1) / 2
        log_p = fraction * at["log_beta"] + (1 - fraction) * at["log_variance"]
        guess = at["recip"] * x_t - at["recipm1"] * predicted.detach()
        mean_p = at["mean1"] * guess + at["mean2"] * x_t
        mean_q = at["mean1"] * x0 + at["mean2"] * x_t
        log_q = at["log_variance"]
        kl = 0.5 * (-1 + log_p - log_q + (log_q - log_p).exp() + (mean_q - mean_p) ** 2 * (-log_p).exp())
        centred, scale = x0 - mean_p, (-0.5 * log_p).exp()

        def cdf(x):
            return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

        upper, lower = cdf(scale * (centred + 1 / 255)), cdf(scale * (centred - 1 / 255))
        likelihood = torch.where(x0 < -0.999, upper.clamp(min=1e-12).log(),
                                 torch.where(x0 > 0.999, (1 - lower).clamp(min=1e-12).log(),
                                             (upper - lower).clamp(min=1e-12).log()))
        bound = torch.where(t == 0, (-likelihood).flatten(1).mean(1), kl.flatten(1).mean(1)) / math.log(2)
        return (((noise - predicted) ** 2).flatten(1).mean(1) + bound).mean()


def caption_lengths(text, limit):
    """The bounds of "60-120", as pixart_bench reads them."""
    match = re.fullmatch(r"(\d+)-(\d+)", text)
    least, most = map(int, match.groups()) if match else (0, 0)
    if not 1 <= least <= most <= limit:
        sys.exit(f"--captions is '{text}', expected a range from 1 to --caption-tokens ({limit}), for example 60-120")
    return least, most


def mask_of(a, step):
    """[B, 1, 1, T] of a step's captions, with the lengths of tools/bench/made_features.cpp; None if all are full."""
    if a.captions is None:
        return None
    least, most = caption_lengths(a.captions, a.caption_tokens)
    positions = range(step * a.batch_size, (step + 1) * a.batch_size)
    lengths = torch.tensor([least + int(i * 0.6180339887498949 % 1.0 * (most - least + 1)) for i in positions])
    return (torch.arange(a.caption_tokens) < lengths[:, None])[:, None, None].to(a.device)


def steps_of(a, attention, optimizer):
    """Makes a step for each item that is asked for; yields its milliseconds, CPU milliseconds of all threads, and loss."""
    torch.manual_seed(1)
    Block.fused_attention = attention == "sdpa"
    model = PixArt(a).to(a.device)
    run = torch.compile(model) if a.compile else model
    average = copy.deepcopy(model).requires_grad_(False)
    forms = {"plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
    adamw = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.03, eps=1e-10, **forms[optimizer])
    diffusion = Diffusion(a.device)
    x0 = torch.randn(a.batch_size, 4, a.latent_size, a.latent_size, device=a.device)
    y = torch.randn(a.batch_size, a.caption_tokens, a.caption_width, device=a.device)
    for step in itertools.count():
        start, cpu_start = time.perf_counter(), time.process_time()
        noise = torch.randn(x0.shape).to(a.device)
        t = torch.randint(0, 1000, (a.batch_size,)).to(a.device)
        drop = (torch.rand(a.batch_size) < 0.1).to(a.device)
        mask = mask_of(a, step)
        adamw.zero_grad()
        with torch.autocast(torch.device(a.device).type, torch.bfloat16, enabled=a.precision == "bf16"):
            loss = diffusion.loss(run, x0, noise, t, y, drop, mask)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        adamw.step()
        with torch.no_grad():  # ema_update of the official utils
            if optimizer == "plain":
                for mean, value in zip(average.parameters(), model.parameters()):
                    mean.mul_(0.9999).add_(value, alpha=1 - 0.9999)
            else:
                torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - 0.9999)
        loss = loss.item()
        yield 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - cpu_start), loss


def measure(a, attention, optimizer, count):
    """`count` steps after the first ones; and the seconds of the very first one."""
    steps = steps_of(a, attention, optimizer)
    first = [next(steps)[0] for _ in range(max(1, a.warmup_steps))][0]
    return [next(steps) for _ in range(count)], first / 1e3


def peak_bytes(device):
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in [("hidden-size", 256), ("depth", 8), ("num-heads", 4), ("latent-size", 32), ("batch-size", 4),
                          ("caption-tokens", 32), ("caption-width", 128), ("steps", 20), ("warmup-steps", 3),
                          ("threads", 0)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--captions", help="tokens of captions, spread evenly over a range, e.g. 60-120 (default: --caption-tokens)")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model; without --form in the form sdpa,fused")
    parser.add_argument("--form", help="ATTENTION,OPTIMIZER without a trial: sdpa or written; plain, foreach or fused")
    parser.add_argument("--serve", action="store_true", help="make a step for each line of standard input")
    parser.add_argument("--json", action="store_true", help="accepted for the sake of pixart_bench, no effect")
    a = parser.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    if a.form or a.compile:
        form = tuple((a.form or "sdpa,fused").split(","))
    else:
        forms = itertools.product(["sdpa", "written"], ["plain", "foreach", "fused"])
        form = min(forms, key=lambda form: min(ms for ms, _, _ in measure(a, *form, 3)[0]))
    name = {"rival": f"PyTorch {torch.__version__} {'compiled' if a.compile else 'eager'}", "form": ",".join(form)}
    if a.serve:
        steps = steps_of(a, *form)
        for _ in sys.stdin:
            ms, cpu_ms, loss = next(steps)
            print(json.dumps({**name, "ms": ms, "cpu_ms": cpu_ms, "loss": loss, "peak_bytes": peak_bytes(a.device)}), flush=True)
        return
    steps, first_seconds = measure(a, *form, a.steps)
    times, cpu_times, losses = zip(*steps)
    median = statistics.median_high(times)
    print(json.dumps({"benchmark": "step", **name, "batch_size": a.batch_size, "precision": a.precision,
                      "device": a.device, "threads": torch.get_num_threads(), "first_step_seconds": first_seconds,
                      "step_ms": {"median": median, "min": min(times), "max": max(times)},
                      "cpu_ms": statistics.median_high(cpu_times), "images_per_second": 1e3 * a.batch_size / median,
                      "peak_bytes": peak_bytes(a.device), "loss": losses[-1]}, indent=1))


if __name__ == "__main__":
    main()
