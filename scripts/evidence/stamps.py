"""The part stamps: held-out losses on real images, next to the best linear predictor of the noise, and two starts. Needs numpy."""

import json
import pathlib
import struct

import claims
from runs import BadInput, Run, write
from text import lists, texts

CONFIG, AUTOENCODER = "configs/evidence/stamps.yaml", "configs/demo/stamps.yaml"
STAMPS = pathlib.Path("/usr/share/tuxpaint/stamps")
HELD_OUT = ["hobbies", "space", "sports", "vehicles"]  # the kinds that no stage sees
STEPS, CLASS_STEPS, EVERY = 200, 300, 25
STEP_COST = 0.25  # CPU seconds
NUM_LEVELS, NUM_STEPS = 8, 1000
RIDGES = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1]
LEAST_LEAD = 0.2


def autoencoder(setup):
    kinds = sorted(path.name for path in STAMPS.iterdir() if path.is_dir() and path.name not in HELD_OUT)
    sets = {"sources.stamps.include": lists(kinds)}
    if setup.quick:
        sets |= {"stages.autoencoder.steps": 4, "stages.autoencoder.batch_size": 4}
    return Run("stamps-autoencoder", AUTOENCODER, {"autoencoder": 200}, sets, curve=False)


class Stamps:
    text = "held-out loss on real stamps at least 20 % below that of the best linear predictor of the noise"
    start = "the re-parameterised start is ahead of scratch after equal steps of the text stage"
    names = ("reparameterized", "scratch")

    def __init__(self):
        self.linear = None  # computed once

    def linear_predictor(self, setup):
        self.linear = self.linear or linear_losses(setup)
        return self.linear

    def runs(self, setup):
        check(setup)
        return [run for seed in setup.seeds for run in self.of_seed(setup, seed)]

    def of_seed(self, setup, seed):
        sets = {"seed": seed, "sources.kinds.path": list_of_kinds(setup),
                "autoencoder.path": autoencoder_folder(setup)}
        steps = 6 if setup.quick else STEPS
        for stage in ("class", *self.names):
            sets[f"stages.{stage}.steps"] = steps if stage != "class" or setup.quick else CLASS_STEPS
            if setup.real or setup.quick:
                sets[f"stages.{stage}.resolution"] = 64 if setup.real else 48  # of TAEF2's latents an eighth
            if setup.quick:
                sets |= {f"stages.{stage}.batch_size": 8, f"stages.{stage}.samples.num_steps": 2}
            if stage != "class":
                sets[f"stages.{stage}.validation.every"] = 3 if setup.quick else EVERY
        if setup.real:
            sets |= {"text_encoder.tokenizer": setup.real / "t5_v1_1_tokenizer/spiece.model", "transformer.patch_size": 1}
        if setup.quick:
            sets |= {"transformer.hidden_size": 32, "transformer.num_heads": 2}
        cost = {"class": CLASS_STEPS * STEP_COST * 0.7, **{name: STEPS * STEP_COST for name in self.names}}
        name = f"{'real-stamps' if setup.real else 'stamps'}-seed-{seed}"
        return [Run(name, CONFIG, cost, texts(sets), curve=False)]

    def judge(self, setup):
        results = setup.runner.results(self.runs(setup))
        last = [{stage: last_point(result, stage) for stage in self.names} for result in results]
        linear = self.linear_predictor(setup)
        claim = self.against(linear["ridge"], last, setup)
        claim.notes.append("over that of least squares, without a ridge: " + self.against(linear["least_squares"], last, setup).measured())
        claim.notes.append("ratio by timestep, mean of the seeds: " + ", ".join(
            f"{mean([one['reparameterized']['by_timestep'][k] for one in last]) / loss:.2f}" for k, loss in enumerate(linear["ridge"])))
        for name, losses in (("linear, least squares", linear["least_squares"]), ("linear, with a ridge", linear["ridge"]),
                             (f"model, seed {setup.seeds[0]}", last[0]["reparameterized"]["by_timestep"])):
            claim.notes.append(f"{name}: {mean(losses):.4f}; by timestep {', '.join(f'{loss:.3f}' for loss in losses)}")
        starts = {seed: one["reparameterized"]["loss"] / one["scratch"]["loss"] for seed, one in zip(setup.seeds, last)}
        ahead = claims.Claim(self.start, "held-out loss over that of scratch", starts, {seed: value < 1 for seed, value in starts.items()})
        class_steps = 6 if setup.quick else CLASS_STEPS
        ahead.notes.append(f"the re-parameterised start has {class_steps} steps of its class stage before")
        return [claim, ahead]

    @staticmethod
    def against(losses, last, setup):
        values = {seed: one["reparameterized"]["loss"] / mean(losses) for seed, one in zip(setup.seeds, last)}
        return claims.Claim(Stamps.text, "loss over that of the linear predictor", values, {seed: value <= 1 - LEAST_LEAD for seed, value in values.items()})

    def curves(self, setup):
        """{seed: {stage: {step: percent of the linear predictor's loss}}}"""
        results = setup.runner.results(self.runs(setup))
        linear = mean(self.linear_predictor(setup)["ridge"])
        return {f"seed {seed}": {stage: {int(step): {"all": 100 * point["loss"] / linear} for step, point in result["held_out"][stage].items()}
                                 for stage in self.names} for seed, result in zip(setup.seeds, results)}


def mean(values):
    return sum(values) / len(values)


def last_point(result, stage):
    by_step = result["held_out"][stage]
    return by_step[max(by_step, key=int)]


def check(setup):
    if not STAMPS.is_dir():
        raise BadInput(f"{STAMPS} is not there: install the Debian package tuxpaint-stamps-default (scripts/setup.sh does)")
    for part in ("taef2", "t5_v1_1_tokenizer/spiece.model") if setup.real else ():
        if not (setup.real / part).exists():
            raise BadInput(f"--real: {setup.real} has no {part}")


def autoencoder_folder(setup):
    return setup.real / "taef2" if setup.real else setup.runner.folder(autoencoder(setup)) / "autoencoder"


def list_of_kinds(setup):
    """The table of the class stage: all stamps but those held out, with the folder as class."""
    rows = [{"image": str(path.relative_to(STAMPS)), "kind": path.relative_to(STAMPS).parts[0]} for path in sorted(STAMPS.rglob("*.png"))]
    text = "".join(json.dumps(row) + "\n" for row in rows if row["kind"] not in HELD_OUT)
    file = setup.out / "stamps.jsonl"
    if not file.exists() or file.read_text() != text:
        write(file, text)
    return file


# --- The linear predictor --------------------------------------------------------------------------------------------

def linear_losses(setup):
    """The stage's loss at the eight held-out timesteps, of the linear functions of x_t that predict the noise best on the training
    latents: by least squares, and with a part of the covariance replaced by its mean variance (the part that is best on the held-out
    latents, so the predictor has an advantage over the model). The mean over the noise is computed, not drawn."""
    import numpy

    run = Stamps().runs(setup)[0]
    features, run_folder = setup.runner.features(run), setup.runner.folder(run)
    mean_of, scale = normalisation(autoencoder_folder(setup), numpy)
    means, log_variances = latents_of(features, "stamps", rejected(run_folder, "stamps"), numpy)
    train, drawn = flat((means - mean_of) * scale), flat(numpy.exp(log_variances) * scale**2)
    held_out = flat((latents_of(features, "held_out", rejected(run_folder, "held_out"), numpy)[0] - mean_of) * scale)
    centre = train.mean(0)
    covariance = (train - centre).T @ (train - centre) / len(train) + numpy.diag(drawn.mean(0))
    variance, directions = numpy.linalg.eigh(covariance)
    variance = variance.clip(0)
    squares = (((held_out - centre) @ directions) ** 2).mean(0)
    result = {"least_squares": [], "ridge": []}
    for k in range(NUM_LEVELS):
        sigma = (NUM_STEPS * (2 * k + 1) // (2 * NUM_LEVELS) + 1) / NUM_STEPS  # of flow matching, shift 1
        losses = [loss_of_noise(sigma, (1 - ridge) * variance + ridge * variance.mean(), squares) for ridge in RIDGES]
        result["least_squares"].append(float(losses[0]))
        result["ridge"].append(float(min(losses)))
    return result


def flat(latents):
    return latents.reshape(len(latents), -1)


def loss_of_noise(sigma, variance, squares):
    """x_t = (1 - sigma) x_0 + sigma noise; the loss of the direction noise - x_0 is the noise's squared error over (1 - sigma)^2."""
    alpha = 1 - sigma
    gain = sigma / (alpha**2 * variance + sigma**2)
    return ((1 - sigma * gain) ** 2 + alpha**2 * gain**2 * squares).mean() / alpha**2


def normalisation(folder, numpy):
    """(mean, scale), [channels, 1, 1], with which latents become what the transformer sees."""
    file = pathlib.Path(folder) / "config.json"
    config = json.loads(file.read_text()) if file.exists() else {}
    spread = numpy.array(config.get("latents_std") or [1.0])
    centre = numpy.array(config.get("latents_mean") or [0.0]) + (config.get("shift_factor") or 0.0)
    return centre.reshape(-1, 1, 1), (config.get("scaling_factor", 1.0) / spread).reshape(-1, 1, 1)


def latents_of(folder, source, left_out, numpy):
    """(means, log-variances) of a source's feature set, [samples, channels, height, width] each."""
    folders = sorted(folder.glob(f"{source}-latents-*"))
    if len(folders) != 1:
        raise BadInput(f"{folder} has {len(folders)} sets of latents of {source} in place of one")
    result = []
    for shard in sorted(folders[0].glob("shard-*.safetensors")):
        tensors = read_safetensors(shard, numpy)
        kept = numpy.array([row not in left_out for row in tensors["row"]])
        channels, height, width = tensors["item"][0][:3]
        moments = tensors["moments"].astype(numpy.float64).reshape(len(kept), -1, 2, channels, height, width)[kept]
        moments = moments.reshape(-1, 2, channels, height, width)  # with the mirrored ones
        result.append(moments)
    return numpy.concatenate(result)[:, 0], numpy.concatenate(result)[:, 1]


def rejected(run_folder, source):
    file = pathlib.Path(run_folder) / "quarantine" / f"{source}.jsonl"
    return {json.loads(line)["row"] for line in file.read_text().splitlines()} if file.exists() else set()


def read_safetensors(file, numpy):
    data = file.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    types = {"F16": numpy.float16, "F32": numpy.float32, "I64": numpy.int64, "I32": numpy.int32}
    return {name: numpy.frombuffer(data[8 + size:][slice(*entry["data_offsets"])], types[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in json.loads(data[8: 8 + size]).items() if name != "__metadata__"}
