"""Golden cases of kind token_route: losses and gradients of a DiT and a PixArt whose image tokens skip blocks (TREAD,
arXiv 2501.04765) or are left out (MaskDiT, arXiv 2306.09305; deferred: arXiv 2407.15811), written from the papers.

Made with torch 2.11.0, safetensors 0.8.0. The limits in case.json are the larger of those measured on an EPYC (Zen 4)
and on a Xeon with AVX-512, whose products sum in another order.
Run:  OMP_NUM_THREADS=1 python token_route.py OUT [--seed N]      (OUT holds the recorded cases dit/tiny and pixart/fixed)
"""
import argparse

import torch

import small_transformers
from case_io import bound, fresh_folder, provenance, write_case

SHAPE = {"input_size": 8, "patch_size": 2, "in_channels": 4, "hidden_size": 8, "depth": 4, "num_heads": 2, "mlp_ratio": 2.0}
DIT = {"architecture": "DiT", **SHAPE, "num_classes": 5, "learn_sigma": True}
PIXART = {"architecture": "PixArt", **SHAPE, "pred_sigma": True, "caption_channels": 6, "model_max_length": 4, "lewei_scale": 1.0}
CASES = {
    "dit_routed": dict(model=DIT, objective={"prediction": "epsilon"}, route={"from": 1, "to": 3, "loss_of_kept": False}, kept=7,
                       why="A DiT: nine of sixteen tokens skip the two blocks in the middle and join again; the loss is of all."),
    "dit_masked": dict(model=DIT, objective={"prediction": "v"}, route={"from": 0, "to": 4, "loss_of_kept": True}, kept=4,
                       why="A DiT that sees a quarter of the tokens from the first block on; the loss is of these."),
    "pixart_routed": dict(model=PIXART, objective={"prediction": "flow"}, route={"from": 2, "to": 4, "loss_of_kept": False}, kept=8,
                          why="A PixArt whose routed tokens join after the last block."),
    "pixart_deferred": dict(model=PIXART, objective={"prediction": "epsilon"}, route={"from": 1, "to": 4, "loss_of_kept": True}, kept=5,
                            why="Deferred masking: the first block sees all tokens, the others five of sixteen, of which the loss is."),
}
BATCH = 3


def noised(prediction, x, noise, t):
    """The noisy latent, what the model is to say of it, and the timestep that it gets (linear betas; flow: straight paths)."""
    if prediction == "flow":
        sigma = ((t.double() + 1) / 1000).to(x.dtype).view(-1, 1, 1, 1)
        return (1 - sigma) * x + sigma * noise, noise - x, (t.double() + 1)
    products = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[t]
    alpha, sigma = (v.sqrt().to(x.dtype).view(-1, 1, 1, 1) for v in (products, 1 - products))
    return alpha * x + sigma * noise, noise if prediction == "epsilon" else alpha * noise - sigma * x, t


def draw_inputs(config, kept, rng):
    shape, tokens = (BATCH, 4, 8, 8), (config["input_size"] // config["patch_size"]) ** 2
    inputs = {"in.x_start": torch.randn(shape, generator=rng), "in.noise": torch.randn(shape, generator=rng),
              "in.t": torch.tensor([20, 431, 902]),
              "in.kept": torch.stack([torch.randperm(tokens, generator=rng)[:kept].sort().values for _ in range(BATCH)])}
    if config["architecture"] == "DiT":
        return {**inputs, "in.y": torch.tensor([0, 3, 5])}
    lengths = torch.tensor([[4], [1], [3]])
    return {**inputs, "in.y": torch.randn((BATCH, 4, 6), generator=rng), "in.mask": (torch.arange(4) < lengths).long()}


def answer(w, config, inputs, x_t, t, route):
    y = inputs["in.y"]
    if config["architecture"] == "DiT":
        return small_transformers.dit(w, config, x_t, t, y, route)
    return small_transformers.pixart(w, config, x_t, t, y.to(x_t.dtype), inputs["in.mask"], route)


def share_of_patches(error, kept, p):
    """[B]: the mean over the patches of these tokens."""
    b, c, rows, columns = error.shape
    cells = error.view(b, c, rows // p, p, columns // p, p).permute(0, 2, 4, 1, 3, 5).flatten(1, 2).flatten(2)
    return cells[torch.arange(b)[:, None], kept].mean((1, 2))


def losses(weights, spec, inputs, dtype):
    config, route = spec["model"], {**spec["route"], "kept": inputs["in.kept"]}
    buffers = ("pos_embed", "y_embedder.y_embedding")
    w = {k: v.to(dtype).clone().requires_grad_(k not in buffers) for k, v in weights.items()}
    x, noise = inputs["in.x_start"].to(dtype), inputs["in.noise"].to(dtype)
    x_t, target, model_t = noised(spec["objective"]["prediction"], x, noise, inputs["in.t"])
    output, _ = answer(w, config, inputs, x_t, model_t, route)
    error = (output[:, :4] - target) ** 2
    found = share_of_patches(error, inputs["in.kept"], config["patch_size"]) if route["loss_of_kept"] else error.mean((1, 2, 3))
    found.mean().backward()
    return {"out.losses": found.detach(), **{f"grad.{k}": v.grad for k, v in w.items() if v.requires_grad}}


def make(root, case, seed, spec):
    rng = torch.Generator().manual_seed(seed)
    weights, inputs = small_transformers.draw_weights(spec["model"], rng), draw_inputs(spec["model"], spec["kept"], rng)
    single, double = (losses(weights, spec, inputs, dtype) for dtype in (torch.float32, torch.float64))
    limits = {k: {"atol": bound(v, double[k]), "measured": float(f"{(v - double[k]).abs().max():.1e}")} for k, v in single.items()}
    write_case(fresh_folder(root, "token_route", case), why=spec["why"], weights=weights, tensors={**inputs, **single},
               config={**spec["model"], "objective": spec["objective"], "route": spec["route"]},
               tolerance={"rtol": 0.0, "per_tensor": limits}, provenance=provenance(seed, "torch", "safetensors"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    small_transformers.check(args.out)
    for number, (name, item) in enumerate(CASES.items()):
        make(args.out, name, args.seed + 100 * number, item)
