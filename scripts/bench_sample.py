#!/usr/bin/env python3
"""Images per second of `pixart sample` next to diffusers' PixArtAlphaPipeline: the same pipeline folder, prompts, steps, batch and threads.

Usage: .deps/check/bin/python scripts/bench_sample.py BINARIES [--models demo,xl] [--run RUN] [--depth 4] [--threads 1] [--repeat 3]

(scripts/check_weights.sh diffusers makes .deps/check, the Python with diffusers.) Two models:
  demo  the shape of configs/demo/scenes.yaml at 32 pixels, or the weights of a finished demo: --run runs/demo
  xl    PixArt-XL/2's width of 1152 at 256 pixels with --depth blocks (the published model has 28), and an autoencoder of the
        shape of Stable Diffusion's
Both programs make PNG files from prompts: they encode each prompt, draw with guidance and DPM-Solver++, decode and save. Each
draws a smaller and a larger number of images; the difference of the two times leaves the start out. They take turns, so that a
busy machine slows both. With large batches of a small model the matrix products decide, and with small ones what each
operation costs: give --batch for others than 4 (demo) and 2 (xl). Prints JSON; ends with 1 if pixart is less than 2.5 (demo) or 1.1 times (xl) as fast.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import diffusers
import torch
import transformers
from diffusers.models.embeddings import get_2d_sincos_pos_embed

SOURCE = pathlib.Path(__file__).resolve().parent.parent
GUIDANCE = 4.5
WORDS = ("red", "green", "blue", "yellow", "large", "small", "shaded", "bright")


@dataclasses.dataclass
class Model:
    width: int
    heads: int
    depth: int
    side: int    # of the latent
    scale: int   # pixels of a latent pixel
    tokens: int  # of a caption
    vae: dict
    text: dict
    batch: int
    steps: int
    counts: tuple  # of images, smaller and larger
    bar: float     # pixart must be at least this many times as fast


def models(depth):
    return {
        "demo": Model(width=128, heads=4, depth=3, side=8, scale=4, tokens=12, batch=4, steps=20, counts=(16, 144), bar=2.5,
                      vae={"block_out_channels": (16, 32, 32), "layers_per_block": 1, "norm_num_groups": 4},
                      text={"d_model": 128, "d_kv": 16, "d_ff": 256, "num_layers": 2, "num_heads": 8}),
        "xl": Model(width=1152, heads=16, depth=depth, side=32, scale=8, tokens=120, batch=2, steps=10, counts=(2, 4), bar=1.1,
                    vae={"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "norm_num_groups": 32},
                    text={"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 2, "num_heads": 8}),
    }


def linear(weights, name, rows, columns):
    weights[name + ".weight"] = torch.randn(rows, columns) / columns**0.5
    weights[name + ".bias"] = torch.randn(rows) * 0.1


def transformer(m):
    """Random weights in the layout of the published files."""
    weights, d, captions = {}, m.width, m.text["d_model"]
    linear(weights, "t_embedder.mlp.0", d, 256)
    linear(weights, "t_embedder.mlp.2", d, d)
    linear(weights, "t_block.1", 6 * d, d)
    linear(weights, "y_embedder.y_proj.fc1", d, captions)
    linear(weights, "y_embedder.y_proj.fc2", d, d)
    linear(weights, "final_layer.linear", 32, d)
    weights["x_embedder.proj.weight"] = torch.randn(d, 4, 2, 2) / 4
    weights["x_embedder.proj.bias"] = torch.randn(d) * 0.1
    weights["y_embedder.y_embedding"] = torch.randn(m.tokens, captions)
    weights["final_layer.scale_shift_table"] = torch.randn(2, d) * 0.3
    weights["pos_embed"] = get_2d_sincos_pos_embed(d, m.side // 2, base_size=m.side // 2, output_type="pt").float().unsqueeze(0)
    for i in range(m.depth):
        b = f"blocks.{i}."
        weights[b + "scale_shift_table"] = torch.randn(6, d) * 0.3
        for name, rows, columns in (("attn.qkv", 3, 1), ("attn.proj", 1, 1), ("cross_attn.q_linear", 1, 1), ("cross_attn.kv_linear", 2, 1),
                                    ("cross_attn.proj", 1, 1), ("mlp.fc1", 4, 1), ("mlp.fc2", 1, 4)):
            linear(weights, b + name, rows * d, columns * d)
    return weights


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench_sample: {command[0]} ends with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def made_parts(m, folder):
    """(transformer, autoencoder, text encoder, options of convert)"""
    levels = len(m.vae["block_out_channels"])
    diffusers.AutoencoderKL(**m.vae, latent_channels=4, down_block_types=("DownEncoderBlock2D",) * levels,
                            up_block_types=("UpDecoderBlock2D",) * levels).save_pretrained(folder / "vae")
    encoder = transformers.T5Config(vocab_size=1200, feed_forward_proj="gated-gelu", dropout_rate=0.0, **m.text)
    transformers.T5EncoderModel(encoder).save_pretrained(folder / "t5")
    spiece = sorted((SOURCE / "tests/golden/tokenizer").glob("*/spiece.model"))[0]
    shutil.copy(spiece, folder / "t5/spiece.model")
    torch.save({"state_dict": transformer(m)}, folder / "model.pth")
    return folder / "model.pth", folder / "vae", folder / "t5", ["--num-heads", m.heads, "--prediction", "epsilon"]


def trained_parts(run_folder):
    steps = [step for stage in ("aesthetic", "text") for step in sorted((run_folder / "checkpoints" / stage).glob("step-*"))[-1:]]
    if not steps:
        sys.exit(f"bench_sample: {run_folder} has no checkpoint of the stages aesthetic and text")
    return steps[0] / "ema.safetensors", run_folder / "autoencoder", run_folder / "text_encoder", []


def prompts_of(count):
    return [f"a {WORDS[i % 8]} circle and a {WORDS[i // 8 % 8]} square, number {i}" for i in range(count)]


class Ours:
    def __init__(self, pixart, pipeline, m, threads):
        self.words = [pixart, "sample", pipeline, "--steps", m.steps, "--batch", m.batch, "--guidance", GUIDANCE, "--threads", threads,
                      "--device", "cpu", "--no-cache"]

    def draw(self, count, folder):
        """(seconds, CPU seconds)"""
        suite = folder.parent / f"{count}.jsonl"
        suite.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts_of(count)))
        words = [*self.words, "--suite", f"jsonl:{suite}", "--out", folder]
        begun = time.perf_counter()
        child = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            sys.exit(f"bench_sample: pixart sample ends with {child.returncode}")
        return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime


class Theirs:
    def __init__(self, pipeline, m, threads):
        torch.set_num_threads(threads)
        self.pipe, self.m = diffusers.PixArtAlphaPipeline.from_pretrained(pipeline), m
        self.pipe.set_progress_bar_config(disable=True)

    def draw(self, count, folder):
        folder.mkdir()
        begun, cpu = time.perf_counter(), time.process_time()
        prompts, pixels = prompts_of(count), self.m.side * self.m.scale
        for first in range(0, count, self.m.batch):
            images = self.pipe(prompts[first:first + self.m.batch], num_inference_steps=self.m.steps, guidance_scale=GUIDANCE, height=pixels,
                               width=pixels, use_resolution_binning=False, max_sequence_length=self.m.tokens).images
            for i, image in enumerate(images):
                image.save(folder / f"{first + i:04}.png")
        return time.perf_counter() - begun, time.process_time() - cpu


def check_images(folder, count, side):
    from PIL import Image

    files = sorted(folder.glob("*.png"))
    assert len(files) == count, f"{folder} has {len(files)} images, not {count}"
    with Image.open(files[-1]) as image:
        assert image.size == (side, side) and len(image.getcolors(side * side)) > 1, f"{files[-1]}: {image.size}"


def per_image(program, m, folder):
    """(seconds, CPU seconds) for one image, without the start."""
    times = []
    for count in m.counts:
        out = folder / str(count)
        times.append(program.draw(count, out))
        check_images(out, count, m.side * m.scale)
        shutil.rmtree(out)
    more = m.counts[1] - m.counts[0]
    return [(large - small) / more for small, large in zip(*times)]


def spread(values):
    return {"median": statistics.median_high(values), "min": min(values), "max": max(values)}


def compare(name, m, parts, a, folder):
    weights, vae, encoder, options = parts
    pipeline = folder / "pipeline"
    run(a.binaries / "pixart", "convert", weights, pipeline, "--pipeline", "--vae", vae, "--text-encoder", encoder, *options)
    programs = {"pixart": Ours(a.binaries / "pixart", pipeline, m, a.threads), "rival": Theirs(pipeline, m, a.threads)}
    programs["rival"].draw(m.batch, folder / "warm-up")
    results = {"pixart": [], "rival": []}
    for repetition in range(a.repeat):
        for which in sorted(programs, reverse=repetition % 2 == 1):
            results[which].append(per_image(programs[which], m, folder))
    wall, cpu = ([[times[part] for times in results[which]] for which in ("pixart", "rival")] for part in (0, 1))
    ratios = [theirs / ours for ours, theirs in zip(*wall)]
    return {"model": name, "width": m.width, "depth": m.depth, "pixels": m.side * m.scale, "batch": m.batch, "steps": m.steps,
            "guidance": GUIDANCE, "images": m.counts, "times_as_fast": spread(ratios),
            "times_as_fast_by_cpu_time": statistics.median_high([theirs / ours for ours, theirs in zip(*cpu)]), "at_least": m.bar,
            **{which: {"images_per_second": spread([1 / times[0] for times in results[which]]),
                       "cpu_seconds_per_image": spread([times[1] for times in results[which]])} for which in results}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binaries", type=pathlib.Path)
    parser.add_argument("--models", default="demo,xl")
    parser.add_argument("--run", type=pathlib.Path, help="finished run of the demo, for the model demo")
    parser.add_argument("--depth", type=int, default=4, help="blocks of the model xl")
    parser.add_argument("--steps", type=int, help="of both models (default: 20 and 10)")
    parser.add_argument("--batch", type=int, help="of both models (default: 4 and 2)")
    parser.add_argument("--counts", type=lambda text: tuple(int(part) for part in text.split(",")), help="images, smaller and larger number")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    a = parser.parse_args()
    a.binaries = a.binaries.resolve()
    torch.manual_seed(0)
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    results = []
    for name in a.models.split(","):
        m = models(a.depth)[name]
        m.steps, m.batch, m.counts = a.steps or m.steps, a.batch or m.batch, a.counts or m.counts
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            parts = trained_parts(a.run) if a.run and name == "demo" else made_parts(m, folder)
            results.append(compare(name, m, parts, a, folder))
    print(json.dumps({"benchmark": "sample", "rival": f"diffusers {diffusers.__version__}, torch {torch.__version__}", "threads": a.threads,
                      "load_average": os.getloadavg()[0], "results": results}, indent=1))
    return 0 if all(result["times_as_fast"]["median"] >= result["at_least"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
