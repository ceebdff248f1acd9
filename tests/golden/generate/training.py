"""Golden cases of kind training with other objectives than the published one: twenty AdamW steps of diffusers' PixArt.

Made with diffusers 0.42.1, torch 2.11.0, safetensors 0.8.0. The noisy latents, targets and weights are those of diffusion.py.
Run:  OMP_NUM_THREADS=1 python training.py OUT [--seed N]
"""
import argparse
import copy
from unittest import mock

import diffusers
import torch

from case_io import bound, fresh_folder, provenance, write_case
from diffusers_names import PIXART, convert, pixart_to_diffusers, sinusoid64
from diffusion import noised, weights_of

CASES = {
    "pixart_flow": dict(objective={"prediction": "flow", "shift": 3.0}, why="Flow matching with a shift: the model gets fractional timesteps, the variance is not trained."),
    "pixart_v": dict(objective={"prediction": "v", "zero_terminal_snr": True, "loss_weighting": "min_snr", "min_snr_gamma": 3.0},
                     why="v with zero terminal SNR and min-SNR weights; one sample in four is pure noise."),
}
STEPS, BATCH, TOKENS, CAPTION, SIDE, WIDTH, HEADS = 20, 4, 5, 8, 4, 16, 2
OPTIMIZER = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.03, "max_grad_norm": 1.0, "warmup_steps": 4, "ema_decay": 0.9}
MODEL = {"architecture": "PixArt", "in_channels": 4, "hidden_size": WIDTH, "depth": 1, "num_heads": HEADS, "mlp_ratio": 4.0, "pred_sigma": True,
         "caption_channels": CAPTION, "input_size": SIDE, "patch_size": 2, "model_max_length": TOKENS, "lewei_scale": 1.0, "latent": [SIDE, SIDE]}


def new_model():
    return diffusers.PixArtTransformer2DModel(
        num_attention_heads=HEADS, attention_head_dim=WIDTH // HEADS, in_channels=4, out_channels=8, num_layers=1, cross_attention_dim=WIDTH, sample_size=SIDE,
        patch_size=2, caption_channels=CAPTION, use_additional_conditions=False).eval()


def draw_weights(rng):
    """Official names; no tensor is zero."""
    linear = {"x_embedder.proj": (WIDTH, 4, 2, 2), "t_embedder.mlp.0": (WIDTH, 256), "t_embedder.mlp.2": (WIDTH, WIDTH), "t_block.1": (6 * WIDTH, WIDTH),
              "y_embedder.y_proj.fc1": (WIDTH, CAPTION), "y_embedder.y_proj.fc2": (WIDTH, WIDTH), "final_layer.linear": (32, WIDTH),
              "blocks.0.attn.qkv": (3 * WIDTH, WIDTH), "blocks.0.attn.proj": (WIDTH, WIDTH), "blocks.0.cross_attn.q_linear": (WIDTH, WIDTH),
              "blocks.0.cross_attn.kv_linear": (2 * WIDTH, WIDTH), "blocks.0.cross_attn.proj": (WIDTH, WIDTH), "blocks.0.mlp.fc1": (4 * WIDTH, WIDTH),
              "blocks.0.mlp.fc2": (WIDTH, 4 * WIDTH)}
    weights = {}
    for name, shape in linear.items():
        weights[name + ".weight"] = torch.randn(shape, generator=rng) / torch.Size(shape[1:]).numel() ** 0.5
        weights[name + ".bias"] = 0.1 * torch.randn(shape[0], generator=rng)
    weights["blocks.0.scale_shift_table"] = 0.3 * torch.randn(6, WIDTH, generator=rng)
    weights["final_layer.scale_shift_table"] = 0.3 * torch.randn(2, WIDTH, generator=rng)
    weights["y_embedder.y_embedding"] = torch.randn(TOKENS, CAPTION, generator=rng)
    weights["pos_embed"] = new_model().pos_embed.pos_embed.clone()
    return weights


def draw_inputs(rng, objective):
    lengths = torch.randint(1, TOKENS + 1, (STEPS, 1, BATCH), generator=rng)
    latents = (STEPS, 1, BATCH, 4, SIDE, SIDE)
    inputs = {"in.x_start": torch.randn(latents, generator=rng), "in.noise": torch.randn(latents, generator=rng),
              "in.t": torch.randint(3, 1000, (STEPS, 1, BATCH), generator=rng), "in.y": torch.randn((STEPS, 1, BATCH, TOKENS, CAPTION), generator=rng),
              "in.mask": (torch.arange(TOKENS) < lengths[..., None]).long(), "in.drop": (torch.rand((STEPS, 1, BATCH), generator=rng) < 0.2).long()}
    if objective.get("zero_terminal_snr"):
        inputs["in.t"][..., 0] = 999
    return inputs


def official(tensors, weights):
    """The trained tensors of diffusers' names, put together under official names."""
    parts = {name: list(convert({name: value}, PIXART)) for name, value in weights.items()}
    parts["final_layer.scale_shift_table"] = ["scale_shift_table"]
    return {name: torch.cat([tensors[part] for part in pieces]) for name, pieces in parts.items() if pieces}


def train(weights, inputs, objective, dtype):
    model = new_model()
    trained = {k: v for k, v in weights.items() if k != "pos_embed"}
    missing = model.load_state_dict(pixart_to_diffusers(trained), strict=False)
    assert not missing.missing_keys and not missing.unexpected_keys, missing
    model = model.to(dtype)
    ema = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=OPTIMIZER["lr"], betas=OPTIMIZER["betas"], eps=OPTIMIZER["eps"], weight_decay=OPTIMIZER["weight_decay"])
    losses, norms = [], []
    for step in range(STEPS):
        x, noise, t, y, mask, drop = (inputs[f"in.{name}"][step, 0] for name in ("x_start", "noise", "t", "y", "mask", "drop"))
        x, noise, y = x.to(dtype), noise.to(dtype), torch.where(drop[:, None, None] == 1, weights["y_embedder.y_embedding"], y).to(dtype)
        x_t, target, model_t, snr = noised(objective, x, noise, t)
        output = model(x_t, encoder_hidden_states=y, timestep=model_t.to(dtype), encoder_attention_mask=mask,
                       added_cond_kwargs={"resolution": None, "aspect_ratio": None}).sample[:, :4]
        weight = weights_of(objective, snr.double(), 1 / (1 + snr.double().sqrt()) ** 2).to(dtype)
        loss = (weight * ((output - target) ** 2).mean((1, 2, 3))).mean()
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZER["max_grad_norm"]))
        for group in optimizer.param_groups:
            group["lr"] = OPTIMIZER["lr"] * min(1, step / OPTIMIZER["warmup_steps"])
        optimizer.step()
        with torch.no_grad():
            for average, parameter in zip(ema.parameters(), model.parameters()):
                average.lerp_(parameter, 1 - OPTIMIZER["ema_decay"])
        losses.append(loss.detach())
    found = {"out.loss": torch.stack(losses), "out.micro_loss": torch.stack(losses)[:, None], "out.grad_norm": torch.stack(norms)}
    for kind, source in (("param", model), ("ema", ema)):
        named = {name: value.detach() for name, value in source.named_parameters()}
        found.update({f"out.{kind}.{name}": value for name, value in official(named, trained).items()})
    return found


def make(root, case, seed, spec):
    rng = torch.Generator().manual_seed(seed)
    weights, objective = draw_weights(rng), spec["objective"]
    inputs = draw_inputs(rng, objective)
    single = train(weights, inputs, objective, torch.float32)
    with mock.patch("diffusers.models.embeddings.get_timestep_embedding", sinusoid64):
        double = train(weights, inputs, objective, torch.float64)
    limits = {k: {"atol": bound(v, double[k], floor=4e-6), "measured": float(f"{(v - double[k]).abs().max():.1e}")} for k, v in single.items()}
    write_case(fresh_folder(root, "training", case), why=spec["why"], weights=weights, tensors={**inputs, **single},
               config={**MODEL, "objective": objective, "steps": STEPS, "micro_steps": 1, "batch": BATCH, "optimizer": OPTIMIZER},
               tolerance={"rtol": 0.0, "per_tensor": limits}, provenance=provenance(seed, "diffusers", "torch", "safetensors"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for number, (name, item) in enumerate(CASES.items()):
        make(args.out, name, args.seed + 100 * number, item)
