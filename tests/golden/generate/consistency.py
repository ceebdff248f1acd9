"""Golden cases of kind consistency_loss: latent consistency distillation, written from the paper (arXiv 2310.04378, algorithm 1 and appendix) with
PixArt-delta's choices (arXiv 2401.05252): timesteps on the solver's grid, a guidance weight that only the teacher gets.

Made with torch 2.11.0, safetensors 0.8.0.
Run:  OMP_NUM_THREADS=1 python consistency.py OUT [--seed N]
"""
import argparse

import torch

from case_io import bound, fresh_folder, provenance, write_case

B, C, SIDE, STEPS, SOLVER_STEPS = 6, 4, 3, 1000, 50
SIGMA_DATA, TIMESTEP_SCALING = 0.5, 10.0
CASES = {
    "epsilon": dict(prediction="epsilon", huber_width=1e-3, why="PixArt-LCM: the noise, one guidance scale for all.", guidance=[5.5] * B),
    "epsilon_guided": dict(prediction="epsilon", huber_width=0.1, why="Guidance scales of a range, one of them off; a wider pseudo-Huber loss.",
                           guidance=[1.0, 3.0, 4.25, 8.0, 12.0, 15.0]),
    "v_zero_snr": dict(prediction="v", zero_terminal_snr=True, huber_width=1e-3, why="v, whose noisiest timestep is pure noise.", guidance=[2.0] * B),
    "x_start": dict(prediction="x_start", huber_width=1e-3, why="x_0.", guidance=[3.0, 2.0] * (B // 2)),
}


def alphas_cumprod(zero_terminal_snr):
    betas = torch.linspace(1e-4, 2e-2, STEPS, dtype=torch.float64)
    root = torch.cumprod(1 - betas, 0).sqrt()
    if zero_terminal_snr:
        first, last = root[0].clone(), root[-1].clone()
        root = (root - last) * first / (first - last)
    return root ** 2


def split(prediction, answer, x, alpha, sigma):
    """The clean latent and the noise that an answer tells."""
    if prediction == "epsilon":
        return (x - sigma * answer) / alpha, answer
    if prediction == "v":
        return alpha * x - sigma * answer, sigma * x + alpha * answer
    return answer, (x - alpha * answer) / sigma


def scalings(t):
    scaled = TIMESTEP_SCALING * t
    return SIGMA_DATA ** 2 / (scaled ** 2 + SIGMA_DATA ** 2), scaled / (scaled ** 2 + SIGMA_DATA ** 2) ** 0.5


def run(config, given, dtype):
    x0, noise, student, cond, null, target = (given[f"in.{n}"].to(dtype) for n in ("x_start", "noise", "student", "teacher", "teacher_null", "target"))
    index, scale = given["in.index"], given["in.guidance"].to(dtype).view(-1, 1, 1, 1)
    product = alphas_cumprod(config.get("zero_terminal_snr", False))
    k = STEPS // SOLVER_STEPS
    grid = torch.arange(1, SOLVER_STEPS + 1) * k - 1
    before = torch.cat([torch.zeros(1, dtype=torch.long), grid[:-1]])  # of the first step: timestep 0
    wide = lambda values: values.to(dtype).view(-1, 1, 1, 1)
    t, s = grid[index], before[index]
    alpha_t, sigma_t = wide(product[t].sqrt()), wide((1 - product[t]).sqrt())
    alpha_s, sigma_s = wide(product[s].sqrt()), wide((1 - product[s]).sqrt())
    student = student.clone().requires_grad_()
    x_t = alpha_t * x0 + sigma_t * noise
    skip, out = scalings(wide(t.double()))
    own = skip * x_t + out * split(config["prediction"], student[:, :C], x_t, alpha_t, sigma_t)[0]
    clean_c, noise_c = split(config["prediction"], cond[:, :C], x_t, alpha_t, sigma_t)
    clean_u, noise_u = split(config["prediction"], null[:, :C], x_t, alpha_t, sigma_t)
    w = scale - 1
    clean, direction = clean_c + w * (clean_c - clean_u), noise_c + w * (noise_c - noise_u)
    x_s = alpha_s * clean + sigma_s * direction  # DDIM
    skip, out = scalings(wide(s.double()))
    wanted = skip * x_s + out * split(config["prediction"], target[:, :C], x_s, alpha_s, sigma_s)[0]
    c = config["huber_width"]
    losses = (((own - wanted.detach()) ** 2 + c * c) ** 0.5 - c).flatten(1).mean(1)
    losses.mean().backward()
    return {"out.latent": x_t, "out.target_latent": x_s, "out.model_t": t.float(), "out.target_t": s.float(), "out.loss": losses.detach(),
            "grad.student": student.grad}


def draw(rng, guidance):
    latents = lambda channels: torch.randn(B, channels, SIDE, SIDE, generator=rng)
    given = {"in.x_start": latents(C), "in.noise": latents(C), "in.index": torch.tensor([0, 1, 17, 30, 48, 49]), "in.guidance": torch.tensor(guidance)}
    for name in ("student", "teacher", "teacher_null", "target"):
        given[f"in.{name}"] = latents(2 * C)
    return given


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=701)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for number, (name, case) in enumerate(CASES.items()):
        config = {k: v for k, v in case.items() if k not in ("why", "guidance")}
        given = draw(torch.Generator().manual_seed(args.seed + number), case["guidance"])
        results, exact = run(config, given, torch.float32), run(config, given, torch.float64)
        per_tensor = {n: {"atol": bound(v, exact[n]), "rtol": 1e-5, "measured": (v.double() - exact[n].double()).abs().max().item()}
                      for n, v in results.items() if not n.endswith("_t")}
        write_case(fresh_folder(args.out, "consistency_loss", name), config={"schedule": "linear", "steps": STEPS, **config},
                   tolerance={"rtol": 0.0, "atol": 0.0, "per_tensor": per_tensor}, provenance=provenance(args.seed + number, "torch", "safetensors"),
                   why=case["why"], tensors={**given, **results})


if __name__ == "__main__":
    main()
