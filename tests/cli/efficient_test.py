"""Runs stages with routed tokens, masked tokens and a teacher: what is recorded, kept, left out and continued.

Usage: efficient_test.py SOURCE_DIR PIXART
"""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

source, pixart = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
sys.path.insert(0, str(source / "tests/support"))
import tiny_clip  # noqa: E402

# The transformer has two blocks. {class} and {text}: further keys of these stages.
RUN = """
run: {run}
seed: 3
threads: 1
device: cpu
autoencoder: {{block_out_channels: [8, 8, 16], layers_per_block: 1, norm_num_groups: 4}}
text_encoder: {{max_tokens: 10, d_model: 32, num_layers: 1, num_heads: 2, d_ff: 32}}
transformer: {{patch_size: 2, hidden_size: 36, depth: 3, num_heads: 2}}
sources:
  - {{name: scenes, type: scenes, count: 48}}
  - {{name: others, type: scenes, count: 8, seed: 5}}
stages:
  - {{name: autoencoder, objective: autoencoder, source: scenes, resolution: 32, steps: 4, batch_size: 8}}
  - {{name: class, objective: class_conditional, source: scenes, resolution: 32, steps: 12, batch_size: 8, micro_batch_size: 4, log_every: 5,
     samples: {{num_steps: 2, prompts: [red circle]}}, checkpoints: {{every: 4, keep_last: 9}}{class_keys}}}
  - {{name: text, objective: text_conditional, source: scenes, resolution: 32, steps: 12, batch_size: 8, log_every: 5, horizontal_flip: {flip},
     init: {{how: reparameterize, from: class}}, validation: {{every: 6, source: others, samples: 4}},
     samples: {{num_steps: 2, prompts: [a red circle]}}, checkpoints: {{every: 4, keep_last: 9}}{text_keys}}}
  - {{name: after, objective: text_conditional, source: scenes, resolution: 32, steps: 2, batch_size: 8, init: {{how: copy, from: text}},
     samples: {{num_steps: 2, prompts: [a red circle]}}}}
"""
ROUTED = ", routing: {rate: 0.5, from: 1, to: 2, until: 8}, alignment: {teacher: clip, block: 1, hidden_size: 16, until: 8}"
MASKED = ", masking: {rate: 0.75, after_blocks: 1, until: 8}, alignment: {teacher: clip, block: 0, hidden_size: 16, until: 8}"
NONE = ", routing: {rate: 0, to: 2}, masking: {rate: 0}, alignment: {teacher: clip, weight: 0}"
problems = []


def check(is_true, what):
    if not is_true:
        problems.append(what)


def run(*arguments, code=0):
    result = subprocess.run([str(pixart), *arguments], capture_output=True, text=True)
    output = result.stdout + result.stderr
    check(result.returncode == code, f"pixart {' '.join(arguments)} ended with {result.returncode}: {output}")
    return output


def write(name, class_keys="", text_keys="", flip="false"):
    pathlib.Path(f"{name}.yaml").write_text(RUN.format(run=name, class_keys=class_keys, text_keys=text_keys, flip=flip))
    return f"{name}.yaml"


def header(path):
    with open(path, "rb") as file:
        return json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))


def names(path):
    return {name for name in header(path) if name != "__metadata__"}


def hashes(run_folder, stages=("class", "text", "after")):
    """Of the data of each file of the last checkpoints, without its metadata."""
    result = {}
    for stage in stages:
        last = sorted(pathlib.Path(run_folder, "checkpoints", stage).iterdir())[-1]
        for file in sorted(last.glob("*.safetensors")):
            tensors = {k: v for k, v in header(file).items() if k != "__metadata__"}
            size = struct.unpack("<Q", file.read_bytes()[:8])[0]
            result[f"{stage}/{file.name}"] = hashlib.sha256(json.dumps(tensors).encode() + file.read_bytes()[8 + size:]).hexdigest()
    return result


def events(run_folder, stage):
    lines = [json.loads(line) for line in pathlib.Path(run_folder, "events.jsonl").read_text().splitlines()]
    return [line for line in lines if line.get("stage") == stage and "loss" in line]


def check_recorded():
    for stage in ("class", "text"):
        steps = [line["step"] for line in events("with", stage) if "alignment_loss" in line]
        check(steps == list(range(1, 9)), f"stage {stage} records the alignment loss at steps {steps}, not 1 to 8")
    telemetry = [json.loads(line) for line in pathlib.Path("with/telemetry.jsonl").read_text().splitlines()]
    plain = [json.loads(line) for line in pathlib.Path("plain/telemetry.jsonl").read_text().splitlines()]
    flops = lambda lines: next(l["flops_per_sample"] for l in lines if l["kind"] == "stage" and l["stage"] == "text")  # noqa: E731
    check(flops(telemetry) < 0.9 * flops(plain), f"{flops(telemetry)} FLOPs a sample with masking, {flops(plain)} without")


def check_projection():
    last = "with/checkpoints/text/step-00000012/"
    for file in ("model.safetensors", "ema.safetensors"):
        check({f"alignment.{i}.{part}" for i in (0, 2, 4) for part in ("weight", "bias")} <= names(last + file), f"{file} lacks the projection")
    run("convert", last + "ema.safetensors", "exported.safetensors")
    left = {name for name in names("exported.safetensors") if name.startswith("alignment.")}
    check(not left, f"an export has {left}")
    check(names("exported.safetensors") == names("plain/checkpoints/text/step-00000012/ema.safetensors"), "an export has other tensors than a plain model")
    check(not any(name.startswith("alignment.") for name in names("with/checkpoints/after/step-00000002/model.safetensors")), "the next stage has the projection")
    check(pathlib.Path("with/features/scenes-teacher-clip-32-mirrored/manifest.json").is_file(), "nothing of the teacher is stored")
    run("sample", "with", "a red circle", "--out", "drawn", "--steps", "2")
    run("sample", "with", "a red circle", "--stage", "text", "--out", "drawn-with-projection", "--steps", "2")


def check_continued():
    """Killed and continued, the run is the same, with the tokens and the teacher's end after the kill."""
    file = write("killed", ROUTED, MASKED, "true")
    shutil.copytree("with", "killed")
    for name in ("checkpoints/text", "checkpoints/after"):
        shutil.rmtree(pathlib.Path("killed", name))
    begin = [str(pixart), "train", file, "--restart-stage", "text", "--restart-stage", "after"]
    process = subprocess.Popen(begin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not pathlib.Path("killed/checkpoints/text/step-00000004/manifest.json").is_file():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for later in ("step-00000008", "step-00000012"):
        shutil.rmtree(pathlib.Path("killed/checkpoints/text", later), ignore_errors=True)
    shutil.rmtree("killed/checkpoints/after", ignore_errors=True)
    check("continues at step" in run(*begin[1:]), "the killed stage began anew")
    check(hashes("killed") == hashes("with"), "a killed run differs")
    check(events("killed", "text") == events("with", "text"), "a killed run has other events")


def check_refused():
    tiny_clip.make_clip("other", seed=2)
    output = run("train", "with.yaml", "--set", "stages.text.alignment.teacher=other", "--set", "stages.text.steps=13", "--allow-change", "stages.text.steps", code=78)
    check("teacher" in output, f"another teacher: {output}")
    write("missing", text_keys=MASKED.replace("clip", "nowhere"))
    check("nowhere" in run("train", "missing.yaml", code=78), "a missing teacher is not named")
    check(not pathlib.Path("missing/checkpoints").exists(), "a run began although its teacher is missing")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
    tiny_clip.make_clip("clip")
    for arguments in (("plain", "", "", "true"), ("none", NONE, NONE, "true"), ("with", ROUTED, MASKED, "true")):
        run("train", write(*arguments))
    if not problems:
        check(hashes("none") == hashes("plain"), "rates and weights of 0 change the weights")
        check(events("none", "text") == events("plain", "text"), "rates and weights of 0 change the events")
        check_recorded()
        check_projection()
        check_continued()
        check_refused()
        run("extract", "with.yaml", "--verify")
    os.chdir("/")
print("\n".join(problems) or "all as promised")
sys.exit(1 if problems else 0)
