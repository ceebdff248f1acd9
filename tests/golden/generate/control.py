"""Golden cases of kind control: forward and gradients of a ControlNet-Transformer on a PixArt.

Made with torch 2.11.0, safetensors 0.8.0, from PixArt-delta (arXiv 2401.05252, section 4): trained copies of the first blocks, with a linear
layer before the first copy and after each. The model is small_pixart.py. Only the weights of the control are trained.
Run:  OMP_NUM_THREADS=1 python control.py OUT
"""
import argparse

import torch

from case_io import bound, fresh_folder, provenance, write_case
from small_pixart import Model, draw_weights, in_dtype, ragged_mask, with_gradients

COMMON = {"in_channels": 4, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 2.0, "pred_sigma": True, "caption_channels": 8, "patch_size": 2,
          "model_max_length": 6, "lewei_scale": 1.0, "micro_condition": False}
CASES = {
    "fixed": dict(config={"architecture": "PixArt", "input_size": 8, "depth": 4, "control_blocks": 2}, latent=[8, 8], strength=1.0,
                  why="Two copies on four blocks of the fixed grid: blocks 1 and 2 get their outputs."),
    "wide": dict(config={"architecture": "PixArtMS", "input_size": 8, "depth": 3, "control_blocks": 2}, latent=[6, 10], strength=0.6,
                 why="PixArtMS on a wide grid, with a strength of 0.6; the copies reach the last block."),
}


def run(config, weights, inputs, strength, dtype):
    leaves, given = with_gradients(weights, dtype), in_dtype(inputs, dtype)
    model = Model(config, leaves)
    output = model(given["in.x"], inputs["in.t"], given["in.y"], inputs["in.mask"], given["in.control"], strength)
    (output * given["in.cotangent"]).mean().backward()
    found = {f"out.block.{i}": x.detach() for i, x in enumerate(model.blocks)}
    found["out.output"] = output.detach()
    with torch.no_grad():
        found["out.base"] = model(given["in.x"], inputs["in.t"], given["in.y"], inputs["in.mask"])
    found.update({f"grad.{name}": leaf.grad for name, leaf in leaves.items() if name.startswith("controlnet.")})
    return found


def make(root, case, spec, seed):
    rng = torch.Generator().manual_seed(seed)
    config = {**COMMON, **spec["config"], "latent": spec["latent"], "strength": spec["strength"]}
    weights = draw_weights(config, rng)
    normal = lambda *shape: torch.randn(shape, generator=rng)
    inputs = {"in.x": normal(2, 4, *spec["latent"]), "in.t": torch.tensor([701.25, 13.0]), "in.control": normal(2, 4, *spec["latent"]),
              "in.y": normal(2, config["model_max_length"], config["caption_channels"]), "in.mask": ragged_mask([6, 2], config["model_max_length"]),
              "in.cotangent": normal(2, 8, *spec["latent"])}
    single, double = (run(config, weights, inputs, spec["strength"], dtype) for dtype in (torch.float32, torch.float64))
    per_tensor = {k: {"atol": bound(v, double[k])} for k, v in single.items()}
    left_out = [name for name in weights if not name.startswith("controlnet.")]
    write_case(fresh_folder(root, "control", case), config=config, tolerance={"rtol": 0.0, "per_tensor": per_tensor}, why=spec["why"],
               weights=weights, tensors={**inputs, **single}, provenance=provenance(seed, "torch", "safetensors"), gradients_left_out=left_out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for number, (case, spec) in enumerate(CASES.items()):
        make(args.out, case, spec, 2400 + number)
