"""Golden cases of kind alignment: the loss of REPA (arXiv 2410.06940) with the projection's and a DiT's or a PixArt's gradients,
written from the paper.

Made with torch 2.11.0, safetensors 0.8.0. The limits in case.json are the larger of those measured on an EPYC (Zen 4)
and on a Xeon with AVX-512, whose products sum in another order.
Run:  OMP_NUM_THREADS=1 python alignment.py OUT [--seed N]      (OUT holds the recorded cases dit/tiny and pixart/fixed)
"""
import argparse
import math

import torch
from torch.nn import functional as F

import small_transformers
from case_io import bound, fresh_folder, provenance, write_case
from token_route import DIT, PIXART, answer, draw_inputs, noised

CASES = {
    "dit": dict(model=DIT, prediction="epsilon", block=1, teacher=(6, 4), weight=0.5,
                why="A DiT's second block; the teacher's grid is that of the tokens."),
    "pixart_small_teacher": dict(model=PIXART, prediction="flow", block=2, teacher=(6, 3), weight=2.0,
                                 why="A PixArt; the teacher's 3 x 3 features are interpolated to 4 x 4 tokens."),
    "dit_large_teacher": dict(model=DIT, prediction="v", block=0, teacher=(4, 7), weight=1.0,
                              why="The teacher's 7 x 7 features are averaged over the cells of 4 x 4 tokens."),
    "pixart_routed": dict(model=PIXART, prediction="epsilon", block=2, teacher=(6, 4), weight=0.5, route={"from": 1, "to": 3, "loss_of_kept": False},
                          why="Half of the tokens skip the aligned block: the others are aligned with the features at their places."),
}
HIDDEN = 10


def projection_sizes(width, channels):
    layers = {"0": (HIDDEN, width), "2": (HIDDEN, HIDDEN), "4": (channels, HIDDEN)}
    return {**{f"alignment.{k}.weight": v for k, v in layers.items()}, **{f"alignment.{k}.bias": v[:1] for k, v in layers.items()}}


def project(w, x):
    for layer in ("0", "2"):
        x = F.silu(small_transformers.linear(w, f"alignment.{layer}", x))
    return small_transformers.linear(w, "alignment.4", x)


def on_grid(features, side):
    """[B, side * side, C]"""
    if features.shape[-1] < side:
        features = F.interpolate(features, size=(side, side), mode="bilinear", align_corners=False)
    elif features.shape[-1] > side:
        features = F.adaptive_avg_pool2d(features, side)
    return features.flatten(2).mT


def losses(weights, spec, inputs, dtype):
    config, route = spec["model"], spec.get("route")
    if route:
        route = {**route, "kept": inputs["in.kept"]}
    buffers = ("pos_embed", "y_embedder.y_embedding")
    w = {k: v.to(dtype).clone().requires_grad_(k not in buffers) for k, v in weights.items()}
    x, noise = inputs["in.x_start"].to(dtype), inputs["in.noise"].to(dtype)
    x_t, target, model_t = noised(spec["prediction"], x, noise, inputs["in.t"])
    output, blocks = answer(w, config, inputs, x_t, model_t, route)
    features = on_grid(inputs["in.teacher"].to(dtype), config["input_size"] // config["patch_size"])
    if route:
        features = features[torch.arange(len(x))[:, None], route["kept"]]
    alignment = (1 - F.cosine_similarity(project(w, blocks[spec["block"]]), features, dim=-1)).mean()
    loss = ((output[:, :4] - target) ** 2).mean() + spec["weight"] * alignment
    loss.backward()
    return {"out.loss": loss.detach(), "out.alignment": alignment.detach(), **{f"grad.{k}": v.grad for k, v in w.items() if v.requires_grad}}


def make(root, case, seed, spec):
    rng = torch.Generator().manual_seed(seed)
    weights = small_transformers.draw_weights(spec["model"], rng)
    channels, side = spec["teacher"]
    for name, shape in projection_sizes(spec["model"]["hidden_size"], channels).items():
        weights[name] = torch.randn(shape, generator=rng) / math.sqrt(math.prod(shape[1:])) * (1.0 if name.endswith("weight") else 0.3)
    inputs = draw_inputs(spec["model"], 8, rng)
    inputs["in.teacher"] = torch.randn((len(inputs["in.t"]), channels, side, side), generator=rng)
    if not spec.get("route"):
        del inputs["in.kept"]
    single, double = (losses(weights, spec, inputs, dtype) for dtype in (torch.float32, torch.float64))
    limits = {k: {"atol": bound(v, double[k]), "measured": float(f"{(v - double[k]).abs().max():.1e}")} for k, v in single.items()}
    config = {**spec["model"], "objective": {"prediction": spec["prediction"]}, "block": spec["block"], "weight": spec["weight"],
              "hidden_size_of_projection": HIDDEN, "teacher_channels": channels}
    write_case(fresh_folder(root, "alignment", case), why=spec["why"], weights=weights, tensors={**inputs, **single},
               config={**config, **({"route": spec["route"]} if spec.get("route") else {})},
               tolerance={"rtol": 0.0, "per_tensor": limits}, provenance=provenance(seed, "torch", "safetensors"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    small_transformers.check(args.out)
    for number, (name, item) in enumerate(CASES.items()):
        make(args.out, name, args.seed + 100 * number, item)
