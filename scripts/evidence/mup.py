"""The part mup: the best learning rates of two widths, and the coordinate check over four."""

import json
import statistics
import subprocess

import claims
from runs import Failed, Run
from text import CONFIG, autoencoder, scenes, texts

NARROW, WIDE, RATES = 96, 384, [5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2]
STEPS, BATCH = 150, 32
COST = {NARROW: 10, WIDE: 60}  # CPU seconds of a run
CHECKED, MOST_SLOPE, FACTOR = [96, 192, 384, 768], 0.25, 2.0


class Mup:
    text = f"with muP the best learning rate of width {NARROW} is within a factor of {FACTOR:.0f} of that of width {WIDE}"
    flat = f"the coordinate check is flat over the widths {', '.join(map(str, CHECKED))} (each slope at most {MOST_SLOPE})"

    def run(self, setup, width, rate, seed):
        sets = {**scenes(setup, STEPS, [STEPS]), "seed": seed}
        sets |= {"transformer.hidden_size": width // 8 if setup.quick else width, "transformer.base_width": NARROW // 8 if setup.quick else NARROW,
                 "transformer.num_heads": 4, "stages.text.optimizer.lr": rate, "stages.text.validation.every": STEPS}
        if not setup.quick:
            sets |= {"stages.text.batch_size": BATCH}
        return Run(f"width-{width}-lr-{rate:g}-seed-{seed}", CONFIG, {"text": COST[width]}, texts(sets), curve=False)

    def rates(self, setup):
        return [1e-3, 4e-3] if setup.quick else RATES

    def runs(self, setup):
        return [self.run(setup, width, rate, seed) for seed in setup.seeds for width in (NARROW, WIDE) for rate in self.rates(setup)]

    def judge(self, setup):
        losses = {width: {rate: [last_loss(result) for result in setup.runner.results([self.run(setup, width, rate, seed) for seed in setup.seeds])]
                          for rate in self.rates(setup)} for width in (NARROW, WIDE)}
        best = {width: [min(by_rate, key=lambda rate: by_rate[rate][i]) for i in range(len(setup.seeds))] for width, by_rate in losses.items()}
        values = {seed: best[NARROW][i] / best[WIDE][i] for i, seed in enumerate(setup.seeds)}
        holds = {seed: 1 / FACTOR <= value <= FACTOR for seed, value in values.items()}
        claim = claims.Claim(self.text, f"best rate of width {NARROW} over that of {WIDE}", values, holds)
        for width, by_rate in losses.items():
            means = ", ".join(f"{rate:g}: {statistics.mean(some):.4f}" for rate, some in by_rate.items())
            claim.notes.append(f"mean held-out loss of width {width} after {STEPS} steps by learning rate: {means}")
        return [claim, self.check_coordinates(setup)]

    def check_coordinates(self, setup):
        picture = setup.out / "widths.svg"
        widths = [24, 48] if setup.quick else CHECKED
        command = [setup.runner.pixart, "plan", CONFIG, "--coord-check", picture, "--widths", ",".join(map(str, widths)), "--seeds", len(setup.seeds),
                   "--set", f"transformer.base_width={widths[0]}", "--set", "threads=1",
                   "--set", f"autoencoder.path={setup.runner.folder(autoencoder(setup)) / 'autoencoder'}"]
        if not picture.exists() or not picture.with_suffix(".json").exists():
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
            if done.returncode != 0:
                raise Failed(f"pixart plan --coord-check ended with {done.returncode}: {done.stderr[-800:]}", done.returncode)
        rows = json.loads(picture.with_suffix(".json").read_text())["layers"]
        worst = max((row for row in rows if row["slope"] is not None), key=lambda row: abs(row["slope"]))
        claim = claims.Claim(self.flat, f"largest slope (of {worst['layer']})", {claims.NO_SEED: worst["slope"]}, {claims.NO_SEED: abs(worst["slope"]) <= MOST_SLOPE})
        claim.notes.append(f"image: {picture}")
        return claim


def last_loss(result):
    by_step = result["held_out"]["text"]
    return by_step[max(by_step, key=int)]["loss"]
