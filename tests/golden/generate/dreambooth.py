"""Golden cases of kind dreambooth: loss and gradients of instance images and class images, as in the DreamBooth paper.

Made with torch 2.11.0, safetensors 0.8.0, from arXiv 2208.12242, equation 2: the loss of the instance images plus lambda times that of the
class images, each a mean over its own images. The model is small_pixart.py; it predicts v, whose loss has weight 1.
Run:  OMP_NUM_THREADS=1 python dreambooth.py OUT
"""
import argparse

import torch

from case_io import bound, fresh_folder, provenance, write_case
from small_pixart import Model, draw_weights, in_dtype, ragged_mask, with_gradients

CONFIG = {"architecture": "PixArt", "in_channels": 4, "hidden_size": 16, "depth": 1, "num_heads": 2, "mlp_ratio": 2.0, "pred_sigma": True,
          "caption_channels": 8, "input_size": 4, "patch_size": 2, "model_max_length": 5, "lewei_scale": 1.0}
OBJECTIVE = {"prediction": "v"}
CASES = {
    "equal": dict(instance=3, prior=3, prior_weight=1.0, why="As many class images as instance images, with the paper's lambda 1."),
    "unequal": dict(instance=2, prior=4, prior_weight=0.35, why="Each group has its own mean, whatever its share of the batch."),
}


def draw_images(rng, count, lengths):
    normal = lambda *shape: torch.randn(shape, generator=rng)
    side, channels = CONFIG["input_size"], CONFIG["in_channels"]
    return {"x_start": normal(count, channels, side, side), "noise": normal(count, channels, side, side),
            "t": torch.randint(0, 1000, (count,), generator=rng), "y": normal(count, CONFIG["model_max_length"], CONFIG["caption_channels"]),
            "mask": ragged_mask(lengths[:count], CONFIG["model_max_length"])}


def loss_of(model, images):
    """The mean over images, channels and pixels of the squared error of v = alpha eps - sigma x."""
    alphas = torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0)[images["t"]].reshape(-1, 1, 1, 1)
    alpha, sigma = (part.to(images["noise"].dtype) for part in (alphas.sqrt(), (1 - alphas).sqrt()))
    x, noise = images["x_start"], images["noise"]
    predicted = model(alpha * x + sigma * noise, images["t"], images["y"], images["mask"])[:, : CONFIG["in_channels"]]
    return (predicted - (alpha * noise - sigma * x)).square().mean()


def run(weights, groups, prior_weight, dtype):
    leaves = with_gradients(weights, dtype)
    model = Model(CONFIG, leaves)
    instance, prior = (loss_of(model, in_dtype(groups[name], dtype)) for name in ("instance", "prior"))
    loss = instance + prior_weight * prior
    loss.backward()
    found = {"out.loss": loss.detach().reshape(1)}
    found.update({f"grad.{name}": leaf.grad for name, leaf in leaves.items() if leaf.requires_grad})
    return found


def make(root, case, spec, seed):
    rng = torch.Generator().manual_seed(seed)
    weights = draw_weights(CONFIG, rng)
    groups = {name: draw_images(rng, spec[name], lengths) for name, lengths in (("instance", [5, 1, 3]), ("prior", [2, 5, 4, 1]))}
    single, double = (run(weights, groups, spec["prior_weight"], dtype) for dtype in (torch.float32, torch.float64))
    per_tensor = {k: {"atol": bound(v, double[k])} for k, v in single.items()}
    inputs = {f"in.{name}.{k}": v for name, group in groups.items() for k, v in group.items()}
    write_case(fresh_folder(root, "dreambooth", case), why=spec["why"], weights=weights, tensors={**inputs, **single},
               config={**CONFIG, "objective": OBJECTIVE, "prior_weight": spec["prior_weight"]}, tolerance={"rtol": 0.0, "per_tensor": per_tensor},
               provenance=provenance(seed, "torch", "safetensors"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for number, (case, spec) in enumerate(CASES.items()):
        make(args.out, case, spec, 2200 + number)
