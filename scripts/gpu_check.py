#!/usr/bin/env python3
"""The checks of scripts/gpu_check.sh, after its build: parts with a time limit each, and one JSON file with what they found.

A part that fails, hangs or needs more memory than there is does not end the others. The file is written after each part.
"""
import argparse
import datetime
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from timed_commands import Failed, Trial, kill_group

ROOT = pathlib.Path(__file__).resolve().parent.parent
REQUEUE, DEVICE, BELOW_BAR, BAD_INPUT = 75, 76, 72, 78  # exit codes of pixart
MOST_SECONDS = 600  # the limits of all parts together
END_SECONDS = 10  # after the time-out, until all ranks have ended
# Sums over two ranks round otherwise than sums over one batch, and each step's error enters the next. Gradients that are
# not summed, or summed twice, change the gradient's norm at once by more than this share.
RANKS_TOLERANCE = 1e-3
# PixArt-XL/2 at 256 px in bfloat16 with PyTorch, which needs more than pixart: bytes that do not depend on the batch,
# and bytes of a sample.
FIXED_BYTES, SAMPLE_BYTES = 14e9, 0.9e9
SIZES = (4, 8, 16, 32, 64)

RUN_FILE = """seed: 1
autoencoder: {block_out_channels: [8, 16, 16], layers_per_block: 1, norm_num_groups: 4}
text_encoder: {max_tokens: 12, d_model: 64, num_layers: 1, num_heads: 4, d_ff: 128}
transformer: {patch_size: 2, hidden_size: 144, depth: 2, num_heads: 2}
sources:
  - {name: scenes, type: scenes, count: 48}
stages:
  - name: autoencoder
    objective: autoencoder
    source: scenes
    resolution: 32
    steps: 20
    batch_size: 8
    gradient_clip: 1
    ema_decay: 0
    log_every: 1
  - name: text
    objective: text_conditional
    source: scenes
    resolution: 32
    steps: 40
    batch_size: 8
    init: {how: random}
    gradient_clip: 1
    ema_decay: 0.9
    lr_schedule: {warmup_steps: 4}
    log_every: 1
    samples: {num_steps: 2, prompts: [a red circle on a white background]}
"""


class Check:
    """What all parts share: programs, device, sizes, and what earlier parts found."""

    def __init__(self, options, folder):
        self.options, self.folder, self.device = options, folder, options.device
        self.quick, self.fake = options.quick, options.fake
        suffix = "_fake_gpu" if options.fake else ""
        self.pixart, self.bench, self.device_check = (
            options.bin.resolve() / (name + suffix) for name in ("pixart", "pixart_bench", "pixart_device_check"))
        # cuBLAS gives the same sums each time only with a workspace of fixed size.
        self.environment = os.environ | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
        self.environment.setdefault("PIXART_GOLDEN_DIR", str(ROOT / "tests/golden"))
        self.environment["XDG_CACHE_HOME"] = str(folder / "cache")
        if options.fake:
            self.environment |= {"PIXART_DRIVER_FILE": "/dev/null", "OMP_NUM_THREADS": "1"}
        self.gpus = ["fake", "fake"] if options.fake else visible_gpus()
        self.timeout = 5 if options.quick else 8  # of ranks that wait for one another
        self.steps = {"autoencoder": 2, "text": 6} if options.quick else {"autoencoder": 20, "text": 40}
        self.stop_step = 4 if options.quick else 25
        self.batch_size, self.images_per_second = None, None  # of the step, once it is measured
        for run in ("whole", "parts", "one", "two", "killed", "hung"):  # of an earlier check
            shutil.rmtree(folder / run, ignore_errors=True)
        (folder / "run.yaml").write_text(f"run: {folder}/run\n{RUN_FILE}")

    def train(self, run, *settings, device=None, stage=None):
        """The command that trains in <folder>/<run>."""
        values = [f"run={self.folder / run}", f"device={device or self.device}", *settings]
        command = ["train", self.folder / "run.yaml"] + [word for value in values for word in ("--set", value)]
        return command + (["--stage", stage] if stage else [])

    def step_settings(self):
        return [f"stages.{name}.steps={steps}" for name, steps in self.steps.items()]

    def step_options(self, batch_size):
        if self.quick:
            shape = {"hidden-size": 72, "depth": 2, "num-heads": 2, "latent-size": 8, "caption-tokens": 16,
                     "caption-width": 16, "captions": "4-16", "steps": 3, "warmup-steps": 1}
        else:
            shape = {"hidden-size": 1152, "depth": 28, "num-heads": 16, "latent-size": 32, "caption-tokens": 120,
                     "caption-width": 4096, "captions": "60-120", "steps": 15, "warmup-steps": 3}
        shape |= {"batch-size": batch_size, "precision": "bf16", "device": self.device}
        return [word for name, value in shape.items() for word in (f"--{name}", value)] + ["--json"]


# The machine.


def nvidia_smi(query, *more):
    """The values of a query, by GPU; none where nvidia-smi does not answer."""
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits", *more]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.split(", ") for line in done.stdout.splitlines()] if done.returncode == 0 else []


def visible_gpus():
    """What nvidia-smi calls the GPUs that CUDA numbers from 0."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return chosen.split(",") if chosen else [index for index, in nvidia_smi("index")]


def gpu_of(check):
    """nvidia-smi's name of the checked GPU; None if it is not known."""
    number = int(check.device.partition(":")[2] or 0)
    return check.gpus[number] if number < len(check.gpus) else None


def machine(check, trial):
    findings = json.loads(trial.run([check.pixart, "doctor", "--json"], check.environment))
    figures = {"doctor": findings}
    names = "name,driver_version,memory.total,memory.free,power.limit,clocks.max.sm"
    gpu = gpu_of(check)
    if not check.fake and gpu is not None:
        figures["gpus"] = len(check.gpus)
        figures["gpu"] = dict(zip(names.split(","), (nvidia_smi(names, "-i", gpu) or [[]])[0]))
    value = {finding["what"]: finding["value"] for finding in findings}
    if value.get("GPU") != "usable":
        raise Failed(f"the GPU is not usable: {value.get('GPU')}", figures)
    name = figures.get("gpu", {}).get("name", "fake GPU" if check.fake else "unknown GPU")
    return f"{name}, LibTorch {value['LibTorch']}, NCCL {value['NCCL']}", figures


# The parts: (check, trial) -> a sentence, and figures.


def golden(check, trial):
    figures = json.loads(trial.run([check.device_check, check.device], check.environment, (0, BELOW_BAR)))
    worst = {precision: max(max(case["output"], case["gradient"]) for case in cases)
             for precision, cases in figures["golden"].items()}
    sentence = ", ".join(f"{precision} differs by at most {difference:.1e}" for precision, difference in worst.items())
    if not figures["good"]:
        raise Failed(f"{sentence}; packed captions by {figures['packed_captions']}; communicator: {figures['communicator']}", figures)
    return f"golden cases: {sentence}", figures


def same_files(one, other):
    """By name: whether two folders hold the same bytes; weights, EMA and optimizer of the last checkpoint, and the losses."""
    last = max((one / "checkpoints/text").glob("step-*")).relative_to(one)
    names = ["events.jsonl", *(str(last / path.name) for path in sorted((one / last).glob("*.safetensors")))]
    return {name: (other / name).exists() and (one / name).read_bytes() == (other / name).read_bytes() for name in names}


def resume(check, trial):
    settings = ["numerics=exact", *check.step_settings()]
    trial.run([check.pixart, *check.train("whole", *settings)], check.environment)
    parts = [check.pixart, *check.train("parts", *settings), "--stop-at-step", check.stop_step]
    trial.run(parts, check.environment, expected=(REQUEUE,))
    stopped = max(path.name for path in (check.folder / "parts/checkpoints/text").glob("step-*"))
    if stopped != f"step-{check.stop_step:08}":
        raise Failed(f"the run stopped at {stopped}, not at step {check.stop_step}")
    trial.run(parts, check.environment)
    same = same_files(check.folder / "whole", check.folder / "parts")
    figures = {"stopped_at": check.stop_step, "steps": check.steps["text"], "same": same}
    if len(same) < 4 or not all(same.values()):
        raise Failed("these differ after a stop: " + ", ".join(name for name in same if not same[name]), figures)
    sentence = f"stopped after step {check.stop_step} of {check.steps['text']} and continued"
    return f"{sentence}: {len(same)} files are the same to the bit", figures


def batch_sizes(check):
    """The three largest that fit into the free memory, the largest first; all if the memory is not known."""
    if check.quick:
        return [2]
    answer = nvidia_smi("memory.free", "-i", gpu_of(check)) if gpu_of(check) is not None else []
    free = float(answer[0][0]) * 2**20 if answer else float("inf")
    fitting = [size for size in SIZES if FIXED_BYTES + SAMPLE_BYTES * size <= free]
    return sorted(fitting or SIZES[:1], reverse=True)[:3]


def measure_step(check, trial, program, batch_size, *more):
    """One process that measures the step; its figures, or why it has none."""
    rival = [check.options.python, "scripts/bench_step.py"]
    commands = {"pixart": [check.bench, "step"], "eager": [*rival, "--form", "sdpa,fused"], "compiled": [*rival, "--compile"]}
    limit = 150 if program == "compiled" else 45
    command = [*commands[program], *check.step_options(batch_size), *more]
    try:
        return json.loads(trial.run(command, check.environment, limit=limit))
    except Failed as failure:
        return {"failed": str(failure)}


def compare(check, trial, batch_size):
    """Each program has the GPU for itself, in two rounds, the second in reverse; one that fails is not started again."""
    runs = {"pixart": [], "eager": [], "compiled": []}
    for order in (list(runs), list(reversed(runs))):
        for program in order:
            if not any("failed" in run for run in runs[program]):
                runs[program].append(measure_step(check, trial, program, batch_size))
    return {program: summary(measured) for program, measured in runs.items()}


def summary(runs):
    good = [run for run in runs if "failed" not in run]
    result = {"runs": runs} | next(({"failed": run["failed"]} for run in runs if "failed" in run), {})
    if good:
        result["images_per_second"] = statistics.mean(run["images_per_second"] for run in good)
        result["peak_bytes"] = max(run["peak_bytes"] for run in good)
        if "first_step_seconds" in good[0]:
            result["first_step_seconds"] = good[0]["first_step_seconds"]
    return result


def sentence_of_step(size, programs):
    ours = programs["pixart"].get("images_per_second")
    parts = []
    for name, result in programs.items():
        rate = result.get("images_per_second")
        text = f"{name} {rate:.1f} images/s" if rate else f"{name} failed"
        if rate and ours and name != "pixart":
            text += f" (pixart is {ours / rate:.2f} times as fast)"
        if rate and name == "compiled":
            text += f", its first step took {result['first_step_seconds']:.0f} s"
        parts.append(text)
    return f"batch {size}: " + ", ".join(parts)


def step(check, trial):
    sizes, figures = batch_sizes(check), {}
    while sizes:
        size = sizes.pop(0)
        figures[str(size)] = programs = compare(check, trial, size)
        if not any("out of memory" in result.get("failed", "") for result in programs.values()):
            break
    check.batch_size, check.images_per_second = size, programs["pixart"].get("images_per_second")
    for other in sizes:
        figures[str(other)] = {"pixart": summary([measure_step(check, trial, "pixart", other)])}
    sentence = sentence_of_step(size, programs)
    for other in sizes:
        sentence += "; " + sentence_of_step(other, figures[str(other)])
    failed = [f"{name}: {result['failed']}" for name, result in programs.items() if "failed" in result]
    if failed:
        raise Failed(sentence + ". " + "; ".join(failed), figures)
    return sentence, figures


def loader(check, trial):
    size = check.batch_size or batch_sizes(check)[-1]
    options = ["--loader", "--dir", check.folder, "--samples", 32 if check.quick else 512]
    figures = measure_step(check, trial, "pixart", size, *options)
    if "failed" in figures:
        raise Failed(figures["failed"], figures)
    rate, without = figures["images_per_second"], check.images_per_second
    share = f", {rate / without:.2f} of the speed without it" if without else ""
    return (f"features on the disk through the loader, batch {size}: {rate:.1f} images/s{share}, "
            f"{100 * figures['loader']['data_wait']:.1f} % of the time is spent waiting for data"), figures


def checkpoint(check, trial):
    size = ["--parameters", 100_000 if check.quick else 100_000_000, "--rounds", 1 if check.quick else 2]
    command = [check.bench, "checkpoint", "--device", check.device, "--dir", check.folder, *size, "--json"]
    figures = json.loads(trial.run(command, check.environment))
    return (f"a checkpoint of {figures['bytes'] / 1e9:.2f} GB stalls training for {figures['stall_ms']:.0f} ms "
            f"(the first one {figures['first_stall_ms']:.0f} ms) and is durable after "
            f"{figures['seconds']['durable']['median']:.1f} s"), figures


def events_of(run):
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return {(line["stage"], line["step"], key): line[key] for line in lines for key in ("loss", "gradient_norm") if key in line}


def relative_difference(got, wanted):
    difference = abs(got - wanted) / abs(wanted)
    return difference if math.isfinite(difference) else math.inf


def two_ranks(check, trial):
    settings = check.step_settings()
    trial.run([check.pixart, *check.train("one", *settings)], check.environment)
    launch = [check.pixart, "launch", "-n", 2, "--timeout", 30, "--"]
    trial.run([*launch, *check.train("two", *settings, device="cuda")], check.environment)
    one, two = events_of(check.folder / "one"), events_of(check.folder / "two")
    if one.keys() != two.keys() or len(one) != 2 * sum(check.steps.values()):
        raise Failed(f"one rank has {len(one)} losses and norms, two ranks have {len(two)}")
    differences = {key: relative_difference(two[key], one[key]) for key in one}
    worst = max(differences, key=differences.get)
    figures = {"largest_difference": differences[worst], "in": " ".join(map(str, worst)), "compared": len(one)}
    sentence = f"two ranks: {len(one)} losses and gradient norms differ from one rank's by at most {differences[worst]:.1e}"
    if not differences[worst] <= RANKS_TOLERANCE:
        raise Failed(sentence, figures)
    return sentence, figures


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start_ranks(check, trial, run):
    """Two ranks with the variables of torchrun: their commands, times and processes."""
    port = free_port()
    command = [check.pixart, *check.train(run, "stages.autoencoder.steps=1000000", "stages.autoencoder.checkpoints.every=1000000",
                                          device="cuda", stage="autoencoder")]
    started = []
    for rank in ("0", "1"):
        variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                     "MASTER_PORT": str(port), "PIXART_DIST_TIMEOUT": str(check.timeout)}
        started.append((command, time.monotonic(), *trial.start(command, check.environment | variables)))
    return started


def lost_rank(check, trial, number, what):
    """Sends a signal to rank 1 while both train; rank 0 must end with 76 in time."""
    run = check.folder / what
    started = start_ranks(check, trial, what)
    (_, _, survivor, _), (_, _, victim, _) = started
    code, events = None, run / "events.jsonl"
    try:
        while not (events.exists() and events.read_text().count("\n") >= 3):
            if trial.left() < 0 or survivor.poll() is not None or victim.poll() is not None:
                raise Failed("the ranks did not begin to train")
            time.sleep(0.05)
        begin = time.monotonic()
        os.kill(victim.pid, number)
        try:
            code = survivor.wait(check.timeout + END_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        seconds = time.monotonic() - begin
    finally:
        for command, begun, process, files in started:
            kill_group(process)
            trial.note(command, process.returncode, begun, files)
    figures = {"timeout_seconds": check.timeout, "seconds": round(seconds, 1), "rc": code}
    if code != DEVICE:
        ended = f"ended with {code}" if code is not None else "had not ended"
        raise Failed(f"rank 1 {what}: rank 0 {ended} after {seconds:.1f} s", figures)
    return f"rank 1 {what}: rank 0 ended with {DEVICE} after {seconds:.1f} s (time-out {check.timeout} s)", figures


def killed_rank(check, trial):
    return lost_rank(check, trial, signal.SIGKILL, "killed")


def hung_rank(check, trial):
    return lost_rank(check, trial, signal.SIGSTOP, "hung")


# Name, function, seconds, GPUs.
PARTS = [("machine", machine, 15, 1), ("golden", golden, 45, 1), ("resume", resume, 85, 1), ("step", step, 245, 1),
         ("loader", loader, 50, 1), ("checkpoint", checkpoint, 45, 1), ("two_ranks", two_ranks, 45, 2),
         ("killed_rank", killed_rank, 30, 2), ("hung_rank", hung_rank, 35, 2)]
assert sum(seconds for _, _, seconds, _ in PARTS) < MOST_SECONDS


def run_part(check, function, limit):
    """What the part found, as JSON keeps it."""
    trial, result = Trial(limit, ROOT), {"ok": False}
    try:
        finding, figures = function(check, trial)
        result |= {"ok": True, "finding": finding, "figures": figures}
    except Failed as failure:
        result |= {"finding": str(failure), "figures": failure.figures}
    except Exception as error:  # a mistake in one part does not lose the others
        result |= {"finding": f"{type(error).__name__}: {error}", "figures": None}
    return result | {"seconds": round(time.monotonic() - trial.begin, 1), "limit_seconds": limit, "commands": trial.commands}


def git(*words):
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def result_path(check, result):
    """Figures of a fake GPU, and of small sizes, are not kept with the results."""
    if check.fake or check.quick:
        return check.folder / "gpu_check.json"
    gpu = result["parts"]["machine"]["figures"] or {}
    name = re.sub(r"[^a-z0-9]+", "-", gpu.get("gpu", {}).get("name", "unknown GPU").lower())
    return ROOT / "tests/gpu/results" / f"{name}-{result['date']}.json"


def run_parts(check, only):
    result = {"fake": check.fake, "quick": check.quick, "date": datetime.date.today().isoformat(),
              "commit": git("rev-parse", "HEAD"), "changed": git("status", "--porcelain", "--untracked-files=no") != "",
              "seconds": 0, "parts": {}}
    begin, path = time.monotonic(), None
    for name, function, limit, gpus in PARTS:
        if only and name not in ("machine", *only):
            continue
        if gpus > 1 and len(check.gpus) < gpus:
            result["parts"][name] = {"ok": None, "finding": f"not run: it needs {gpus} GPUs"}
        else:
            result["parts"][name] = run_part(check, function, limit)
        part = result["parts"][name]
        word = {True: "good", False: "BAD", None: "-"}[part["ok"]]
        print(f"gpu_check: {name}: {word}: {part['finding']}", flush=True)
        result["seconds"] = round(time.monotonic() - begin, 1)
        path = path or result_path(check, result)
        path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"gpu_check: written to {path} after {result['seconds']:.0f} s", flush=True)
    return 1 if any(part["ok"] is False for part in result["parts"].values()) else 0


def main():
    parser = argparse.ArgumentParser(prog="scripts/gpu_check.sh", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--device", default="cuda:0", help="the checked GPU (default: cuda:0); two ranks take cuda:0 and cuda:1")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the small runs (default: a temporary folder)")
    parser.add_argument("--only", action="append", help="run this part only; may be repeated",
                        choices=[name for name, *_ in PARTS])
    parser.add_argument("--quick", action="store_true", help="small sizes: the parts work, their figures say nothing")
    parser.add_argument("--fake", action="store_true", help="the programs of tests/fake_gpu")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", help="folder of the programs")
    parser.add_argument("--python", default=os.environ.get("PYTHON", str(ROOT / ".deps/venv/bin/python")),
                        help="a Python with torch")
    options = parser.parse_args()
    if (options.fake or options.quick) and options.keep is None:
        parser.error("--fake and --quick need --keep: their results are written there")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that no process is left
    folder = (options.keep or pathlib.Path(tempfile.mkdtemp())).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return run_parts(Check(options, folder), options.only)
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SystemExit as end:
        sys.exit(BAD_INPUT if end.code == 2 else end.code)
