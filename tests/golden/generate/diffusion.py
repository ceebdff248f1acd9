"""Golden cases of kinds sampler (flow, UniPC, v), training_loss and timestep_density.

Made with diffusers 0.42.1, torch 2.11.0, numpy 2.4.6, safetensors 0.8.0. The schedulers keep their noise levels in float64 here; as shipped they round
them to float32, and their solvers cut the fraction of a flow model's timestep off.
Run:  OMP_NUM_THREADS=1 python diffusion.py OUT [--seed N]
"""
import argparse

import numpy as np
import torch
from diffusers import (DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler,
                       UniPCMultistepScheduler)
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_snr

from case_io import bound, fresh_folder, provenance, write_case

WORDS = {"epsilon": "epsilon", "x_start": "sample", "v": "v_prediction", "flow": "flow_prediction"}
VP = dict(schedule="linear", steps=1000)
SAMPLERS = {
    "euler_8": dict(sampler="euler", prediction="flow", shift=1.0, num_steps=8, why="Euler's method on a flow model."),
    "euler_12_shift": dict(sampler="euler", prediction="flow", shift=3.0, num_steps=12, why="The shift of SD3 at 1024 pixels; the least noisy level is shifted twice."),
    "euler_1": dict(sampler="euler", prediction="flow", shift=3.0, num_steps=1, why="One step, from noise to the result."),
    "heun_6_shift": dict(sampler="heun", prediction="flow", shift=2.0, num_steps=6, why="Heun's method: two evaluations a step, one in the last."),
    "heun_1": dict(sampler="heun", prediction="flow", shift=1.0, num_steps=1, why="Heun's method in one step is Euler's."),
    "flow_dpm_8": dict(sampler="dpm_solver_pp", prediction="flow", shift=1.0, num_steps=8, why="DPM-Solver++ on straight paths."),
    "flow_dpm_20_shift": dict(sampler="dpm_solver_pp", prediction="flow", shift=3.0, num_steps=20, why="The same with a shift and more steps."),
    "unipc_flow_8": dict(sampler="unipc", prediction="flow", shift=1.0, num_steps=8, why="UniPC on straight paths; it begins just below pure noise."),
    "unipc_flow_15_shift": dict(sampler="unipc", prediction="flow", shift=3.0, num_steps=15, why="The same with a shift."),
    "unipc_1": dict(sampler="unipc", prediction="epsilon", num_steps=1, **VP, why="One step is of first order."),
    "unipc_2": dict(sampler="unipc", prediction="epsilon", num_steps=2, **VP, why="Two steps: the corrector of first order only."),
    "unipc_10": dict(sampler="unipc", prediction="epsilon", num_steps=10, **VP, why="UniPC with predictor and corrector of second order."),
    "unipc_20_cosine": dict(sampler="unipc", prediction="x_start", num_steps=20, schedule="squaredcos_cap_v2", steps=1000, why="A model that predicts x_0."),
    "unipc_12_v_zero_snr": dict(sampler="unipc", prediction="v", zero_terminal_snr=True, num_steps=12, **VP, why="Zero terminal SNR: the first step begins at pure noise."),
    "ddim_50_v": dict(sampler="ddim", prediction="v", respacing="ddim50", eta=0.0, num_steps=50, **VP, why="DDIM with a model that predicts v."),
    "ddim_v_zero_snr": dict(sampler="ddim", prediction="v", zero_terminal_snr=True, respacing="", eta=0.0, num_steps=40, schedule="linear", steps=40,
                            why="Every step of a short process, the first at a signal of exactly 0."),
}


def betas_of(spec):
    """float64, as the schedulers make them in float32."""
    steps = spec["steps"]
    if spec["schedule"] == "linear":
        betas = torch.linspace(1e-4 * 1000 / steps, 0.02 * 1000 / steps, steps, dtype=torch.float64)
    else:
        f = lambda t: np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2  # noqa: E731
        betas = torch.tensor([min(1 - f((i + 1) / steps) / f(i / steps), 0.999) for i in range(steps)], dtype=torch.float64)
    return rescale_zero_terminal_snr(betas) if spec.get("zero_terminal_snr") else betas


def scheduler_of(spec):
    n, prediction = spec["num_steps"], WORDS[spec["prediction"]]
    if spec["sampler"] in ("euler", "heun"):
        kind = FlowMatchEulerDiscreteScheduler if spec["sampler"] == "euler" else FlowMatchHeunDiscreteScheduler
        scheduler = kind(num_train_timesteps=1000, shift=spec["shift"])
        scheduler.set_timesteps(n)
        last = spec["shift"] * 1e-3 / (1 + (spec["shift"] - 1) * 1e-3)
        levels = np.linspace(1, last, n)
        levels = np.append(spec["shift"] * levels / (1 + (spec["shift"] - 1) * levels), 0)
        if spec["sampler"] == "heun":
            levels = np.concatenate([levels[:1], levels[1:-1].repeat(2), levels[-1:]])
    else:
        flow = spec["prediction"] == "flow"
        shared = dict(num_train_timesteps=spec.get("steps", 1000), prediction_type=prediction, beta_schedule=spec.get("schedule", "linear"))
        if not flow and spec["schedule"] == "linear":
            shared.update(beta_start=0.1 / spec["steps"], beta_end=20 / spec["steps"])
        if spec["sampler"] == "ddim":
            scheduler = DDIMScheduler(**shared, clip_sample=False, set_alpha_to_one=True, rescale_betas_zero_snr=bool(spec.get("zero_terminal_snr")))
            exact = torch.cumprod(1 - betas_of(spec), 0)
            assert torch.allclose(exact.float(), scheduler.alphas_cumprod, rtol=1e-3, atol=1e-6)
            scheduler.alphas_cumprod, scheduler.final_alpha_cumprod = exact, torch.tensor(1.0, dtype=torch.float64)
            scheduler.set_timesteps(n)
            return scheduler
        kind = UniPCMultistepScheduler if spec["sampler"] == "unipc" else DPMSolverMultistepScheduler
        zero = dict(rescale_betas_zero_snr=True) if spec.get("zero_terminal_snr") else {}
        scheduler = kind(**shared, solver_order=2, use_flow_sigmas=flow, flow_shift=spec.get("shift", 1.0), **zero)
        scheduler.set_timesteps(n)
        if flow:
            levels = np.linspace(1, 1e-3, n + 1)[:-1] if spec["sampler"] == "unipc" else (1 - np.linspace(1, 1e-3, n + 1))[::-1][:-1]
            levels = spec["shift"] * levels / (1 + (spec["shift"] - 1) * levels)
            if spec["sampler"] == "unipc":
                levels[0] -= 1e-6
        else:
            products = torch.cumprod(1 - betas_of(spec), 0).numpy()
            if spec.get("zero_terminal_snr"):
                products[-1] = 2.0 ** -24
            levels = np.sqrt((1 - products) / products)[scheduler.timesteps.numpy()]
        levels = np.append(levels, 0)
    assert np.allclose(levels, scheduler.sigmas.numpy(), rtol=1e-3, atol=1e-6), (levels, scheduler.sigmas)
    scheduler.sigmas = torch.from_numpy(levels)
    return scheduler


def stand_in(spec, x, t, y):
    """The network of tests/golden/README.md, asked for spec["prediction"]."""
    clean = spec["model"]["gain"] * torch.tanh(spec["model"]["slope"] * x + y)
    if spec["prediction"] == "x_start":
        return clean
    if spec["prediction"] == "flow":
        return (x - clean) / (t / 1000)
    u = torch.as_tensor((t + 1) / 1000, dtype=torch.float64)
    q = 0.1 * u + 9.95 * u * u
    alpha, sigma = torch.exp(-q / 2).item(), torch.sqrt(-torch.expm1(-q)).item()
    noise = (x - alpha * clean) / sigma
    return noise if spec["prediction"] == "epsilon" else alpha * noise - sigma * clean


def trajectory(spec, start, y, dtype):
    scheduler = scheduler_of(spec)
    x, y, states, asked = start.to(dtype), y.to(dtype).view(-1, 1, 1, 1), [], []
    for i, step in enumerate(scheduler.timesteps):
        t = step.item()
        if spec["prediction"] == "flow":
            t = 1000 * scheduler.sigmas[i].item()
        asked.append(t)
        x = scheduler.step(stand_in(spec, x, t, y), step, x).prev_sample
        states.append(x)
    return states, asked


def make_sampler(root, case, seed, spec):
    rng = torch.Generator().manual_seed(seed)
    start, y = torch.randn([2, 4, 5, 3], generator=rng), torch.randn([2], generator=rng) * 0.3
    spec = {**spec, "model": {"gain": 0.9, "slope": 0.7}}
    single, asked = trajectory(spec, start, y, torch.float32)
    double, _ = trajectory(spec, start, y, torch.float64)
    if spec["sampler"] == "heun":  # the states after both evaluations of a step
        single, double = ([states[i] for i in range(1, len(states), 2)] + states[-1:] for states in (single, double))
    n = spec["num_steps"]
    kept = sorted({1, max(1, n // 2), n - 1} - {0, n})
    tensors = {"in.x_T": start, "in.y": y, "out.x_0": single[-1].float(), "out.model_t": torch.tensor(asked, dtype=torch.float64)}
    tensors.update({f"out.x.{k}": single[k - 1].float() for k in kept})
    limits = {"out.model_t": {"atol": 1e-4}, "out.x_0": {"atol": bound(single[-1], double[-1], floor=4e-6)}}
    limits.update({f"out.x.{k}": {"atol": bound(single[k - 1], double[k - 1], floor=4e-6)} for k in kept})
    config = {"guidance_scale": 1.0, "learn_sigma": False, **{k: v for k, v in spec.items() if k != "why"}}
    write_case(fresh_folder(root, "sampler", case), config=config, tolerance={"rtol": 0.0, "per_tensor": limits}, why=spec["why"], tensors=tensors,
               provenance=provenance(seed, "diffusers", "torch", "numpy", "safetensors"))


LOSSES = {
    "v": dict(prediction="v", why="The v loss of DDPMScheduler.get_velocity."),
    "v_zero_snr": dict(prediction="v", zero_terminal_snr=True, why="Zero terminal SNR: the last step has no signal."),
    "v_min_snr": dict(prediction="v", loss_weighting="min_snr", min_snr_gamma=5.0, why="min-SNR of a v loss: min(SNR, 5) / (SNR + 1)."),
    "v_zero_snr_min_snr": dict(prediction="v", zero_terminal_snr=True, loss_weighting="min_snr", min_snr_gamma=3.0, why="At a signal of 0 the weight is 0."),
    "v_p2": dict(prediction="v", loss_weighting="p2", p2_gamma=1.0, why="P2 weights of the noise's error, in a v loss."),
    "epsilon_min_snr": dict(prediction="epsilon", loss_weighting="min_snr", min_snr_gamma=5.0, why="min-SNR of a noise loss: min(SNR, 5) / SNR."),
    "epsilon_p2": dict(prediction="epsilon", loss_weighting="p2", p2_gamma=0.5, why="P2 weights: 1 / (1 + SNR)^0.5."),
    "x_start_min_snr": dict(prediction="x_start", loss_weighting="min_snr", min_snr_gamma=5.0, why="min-SNR of an x_0 loss: min(SNR, 5)."),
    "flow": dict(prediction="flow", shift=1.0, why="The flow loss of FlowMatchEulerDiscreteScheduler.scale_noise."),
    "flow_shift": dict(prediction="flow", shift=3.0, why="The same with a shift."),
    "flow_min_snr": dict(prediction="flow", shift=3.0, loss_weighting="min_snr", min_snr_gamma=5.0, why="min-SNR of the error of x_0, in a flow loss."),
    "flow_p2": dict(prediction="flow", shift=1.0, loss_weighting="p2", p2_gamma=1.0, why="P2 weights of the noise's error, in a flow loss."),
}


def noised(spec, x, noise, t):
    """x_t, the target, the model's timestep and the SNR of each sample."""
    if spec["prediction"] == "flow":
        scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=spec["shift"])
        place = 999 - t  # its levels begin with the noisiest
        sigma = scheduler.sigmas[place].to(x.dtype)
        return scheduler.scale_noise(x, scheduler.timesteps[place], noise), noise - x, scheduler.timesteps[place], ((1 - sigma) / sigma) ** 2
    scheduler = DDPMScheduler(num_train_timesteps=1000, prediction_type=WORDS[spec["prediction"]], rescale_betas_zero_snr=bool(spec.get("zero_terminal_snr")))
    exact = torch.cumprod(1 - betas_of({**VP, **spec}), 0)
    assert torch.allclose(exact.float(), scheduler.alphas_cumprod, rtol=1e-3, atol=1e-6)
    scheduler.alphas_cumprod = exact
    target = {"epsilon": noise, "x_start": x, "v": scheduler.get_velocity(x, noise, t)}[spec["prediction"]]
    return scheduler.add_noise(x, noise, t), target, t.float(), compute_snr(scheduler, t)


def weights_of(spec, snr, sigma2):
    """min-SNR as in diffusers' train_text_to_image.py; P2 as in its paper. `sigma2`: of a flow loss, whose error is that of x_0 over sigma."""
    kind, prediction = spec.get("loss_weighting"), spec["prediction"]
    if kind is None:
        return torch.ones_like(snr)
    if kind == "min_snr":
        least = torch.minimum(snr, torch.full_like(snr, spec["min_snr_gamma"]))
        return {"epsilon": lambda: least / snr, "v": lambda: least / (snr + 1), "x_start": lambda: least, "flow": lambda: least * sigma2}[prediction]()
    of_noise = 1 / (1 + snr) ** spec["p2_gamma"]
    return {"epsilon": lambda: of_noise, "v": lambda: of_noise * snr / (snr + 1), "x_start": lambda: of_noise * snr, "flow": lambda: of_noise * snr * sigma2}[prediction]()


def loss_of(spec, x, noise, output, t):
    x_t, target, model_t, snr = noised(spec, x, noise, t)
    weight = weights_of(spec, snr.double(), 1 / (1 + snr.double().sqrt()) ** 2).to(x.dtype)
    return {"out.x_t": x_t, "out.model_t": model_t.float(), "out.loss": weight * ((output - target) ** 2).mean((1, 2, 3))}


def make_loss(root, case, seed, spec):
    rng = torch.Generator().manual_seed(seed)
    t = torch.tensor([0, 1, 40, 300, 700, 998, 999])
    x, noise, output = (torch.randn([len(t), 4, 3, 5], generator=rng) for _ in range(3))
    output.requires_grad_(True)
    single = loss_of(spec, x, noise, output, t)
    single["out.loss"].mean().backward()
    double = loss_of(spec, x.double(), noise.double(), output.detach().double(), t)
    limits = {k: {"atol": bound(v.detach(), double[k], floor=4e-6), "rtol": 1e-5} for k, v in single.items()}
    limits["grad.model_output"] = {"atol": bound(output.grad, output.grad, floor=4e-6), "rtol": 1e-5}
    config = {**VP, **{k: v for k, v in spec.items() if k != "why"}}
    write_case(fresh_folder(root, "training_loss", case), config=config, tolerance={"rtol": 0.0, "per_tensor": limits}, why=spec["why"],
               tensors={"in.x_start": x, "in.noise": noise, "in.t": t, "in.model_output": output, "grad.model_output": output.grad, **single},
               provenance=provenance(seed, "diffusers", "torch", "numpy", "safetensors"))


DENSITIES = {"logit_normal": dict(logit_mean=0.0, logit_std=1.0, why="The density of SD3."),
             "logit_normal_towards_noise": dict(logit_mean=0.5, logit_std=0.6, why="Another mean and width.")}


def make_density(root, case, seed, spec):
    """The draws are those of torch's generator; ours are given to the test as normal numbers."""
    count = 200
    share = compute_density_for_timestep_sampling("logit_normal", count, spec["logit_mean"], spec["logit_std"], generator=torch.Generator().manual_seed(seed))
    normal = (torch.normal(spec["logit_mean"], spec["logit_std"], (count,), generator=torch.Generator().manual_seed(seed)) - spec["logit_mean"]) / spec["logit_std"]
    share, normal = share.double(), normal.double()
    again = torch.sigmoid(spec["logit_mean"] + spec["logit_std"] * normal)
    assert torch.allclose(again, share, atol=1e-6)
    clear = (again * 1000 - (again * 1000).round()).abs() > 1e-3  # rounding cannot decide
    write_case(fresh_folder(root, "timestep_density", case), config={"num_timesteps": 1000, **{k: v for k, v in spec.items() if k != "why"}}, why=spec["why"],
               tolerance={"atol": 0.0, "rtol": 0.0}, tensors={"in.normal": normal[clear], "out.t": (share[clear] * 1000).long()},
               provenance=provenance(seed, "diffusers", "torch", "safetensors"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for maker, cases in ((make_sampler, SAMPLERS), (make_loss, LOSSES), (make_density, DENSITIES)):
        for i, (case, spec) in enumerate(cases.items()):
            maker(args.out, case, args.seed + 100 * i, spec)
