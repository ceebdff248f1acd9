"""The parts on the demo's text stage: routing, muon, alignment and time."""

import json
import pathlib
import subprocess

import claims
import teacher
from runs import BadInput, Failed, Run

SCORE = 86.0  # percent of whole captions drawn right, after which steps, FLOPs and times are compared
CONFIG, THEN, TODAY = "configs/evidence/text.yaml", "configs/evidence/then.yaml", "configs/evidence/today.yaml"
STEPS, KEPT = 400, [100, 150, 200, 250, 300, 350, 400]
CLASS_STEPS, THEN_STEPS, THEN_KEPT = 500, 1000, [500, 600, 700, 800, 900, 1000]
TODAY_STEPS, TODAY_KEPT = 300, [100, 150, 200, 250, 300]
STEP_COST, SCORE_COST = 0.15, 2.5  # CPU seconds
MUON = {"stages.text.optimizer.name": "muon", "stages.text.optimizer.betas": "[0.95,0.9,0.99]"}
ROUTED = {"stages.text.routing.rate": 0.5, "stages.text.routing.from": 0, "stages.text.routing.to": 2}
ALIGNED = {"stages.text.alignment.weight": 0.5, "stages.text.alignment.block": 0, "stages.text.alignment.hidden_size": 128}
LEAST_SAVING = 0.25  # of FLOPs
MOST_TIME = 0.6      # of then

TINY = {"sources.scenes.count": 96, "transformer.hidden_size": 32, "transformer.num_heads": 2, "evaluation.seen": 6,
        "evaluation.held_out": 3, "evaluation.num_steps": 2}


def autoencoder(setup):
    """The run that trains the demo's autoencoder, which all other runs of the drawn scenes read."""
    sets = {"stages.autoencoder.steps": 4, "stages.autoencoder.batch_size": 4, "sources.scenes.count": 96, "sources.shaded.count": 96} if setup.quick else {}
    return Run("autoencoder", "configs/demo/scenes.yaml", {"autoencoder": 150}, sets, curve=False)


def lists(values):
    return f"[{','.join(map(str, values))}]"


def scenes(setup, steps, kept, stage="text"):
    """Settings of all runs on the drawn scenes; --quick makes them tiny."""
    sets = {"autoencoder.path": setup.runner.folder(autoencoder(setup)) / "autoencoder"}
    if setup.quick:
        steps, kept = 6, [3, 6]
        sets |= {**TINY, f"stages.{stage}.batch_size": 8, f"stages.{stage}.samples.num_steps": 2}
    return {**sets, f"stages.{stage}.steps": steps, f"stages.{stage}.checkpoints.keep_steps": lists(kept)}


def text_run(setup, name, seed, sets):
    cost = {"text": STEPS * STEP_COST + len(KEPT) * SCORE_COST}
    return Run(f"{name}-seed-{seed}", CONFIG, cost, {**texts(scenes(setup, STEPS, KEPT)), **texts(sets), "seed": seed})


def texts(sets):
    return {key: value if isinstance(value, (int, float)) else str(value) for key, value in sets.items()}


def plain(setup):
    return [text_run(setup, "plain", seed, {}) for seed in setup.seeds]


def compared(setup, name, sets):
    return [text_run(setup, name, seed, sets) for seed in setup.seeds]


def ratios(setup, ours, theirs):
    pairs = zip(setup.seeds, setup.runner.results(ours), setup.runner.results(theirs))
    return {seed: claims.ratio(claims.steps_to(our["curve"], SCORE), claims.steps_to(their["curve"], SCORE)) for seed, our, their in pairs}


def last_scores(results):
    return [max(result["curve"], key=lambda point: point["step"])["all"] for result in results]


def note_of_ends(names, results):
    """The scores at the last step, by name."""
    parts = []
    for name, some in zip(names, results):
        values = last_scores(some)
        parts.append(f"{name} {', '.join(f'{value:.1f}' for value in values)}")
    return "whole captions at the last step, %: " + "; ".join(parts)


def steps_note(names, results):
    parts = []
    for name, some in zip(names, results):
        reached = [claims.steps_to(result["curve"], SCORE) for result in some]
        parts.append(f"{name} {', '.join('-' if step is None else f'{step:.0f}' for step in reached)}")
    return f"steps to {SCORE:.0f} %: " + "; ".join(parts)


# --- Parts: each has runs(setup) and judge(setup) -------------------------------------------------------------------

class Muon:
    text = f"Muon needs fewer steps than AdamW to {SCORE:.0f} % of whole captions"
    names = ("muon", "plain")
    labels = ("Muon", "AdamW")

    @staticmethod
    def ours(setup):
        return compared(setup, "muon", MUON)

    def runs(self, setup):
        return [run for pair in zip(plain(setup), self.ours(setup)) for run in pair]

    def judge(self, setup):
        ours, theirs = self.ours(setup), plain(setup)
        claim = claims.judge_ratio(self.text, f"steps over those of {self.labels[1]}", ratios(setup, ours, theirs), 1.0)
        self.add_notes(setup, claim, ours, theirs)
        return [claim]

    def add_notes(self, setup, claim, ours, theirs):
        results = setup.runner.results(ours), setup.runner.results(theirs)
        claim.notes += [steps_note(self.labels, results), note_of_ends(self.labels, results)]


class Alignment(Muon):
    text = f"alignment (REPA) needs fewer steps to {SCORE:.0f} % of whole captions"
    names = ("aligned", "plain")
    labels = ("with a teacher", "without")

    @staticmethod
    def ours(setup):
        folder = setup.teacher or teacher.write_teacher(setup.out / "teacher")
        return compared(setup, "aligned", {**ALIGNED, "stages.text.alignment.teacher": folder})

    def judge(self, setup):
        claims_of = super().judge(setup)
        claims_of[0].notes.append(f"teacher: {setup.teacher or 'fixed filters, not trained'}")
        return claims_of


class Routing(Muon):
    text = f"token routing reaches {SCORE:.0f} % of whole captions with at least {LEAST_SAVING:.0%} fewer FLOPs than the plain recipe"
    names = ("routed", "plain")
    labels = ("routed", "all tokens")

    @staticmethod
    def ours(setup):
        return compared(setup, "routed", {**ROUTED, "stages.text.routing.until": 5 if setup.quick else until()})

    def judge(self, setup):
        ours, theirs = self.ours(setup), plain(setup)
        usual = flops_per_step(setup, theirs[0], {})
        routed = flops_per_step(setup, ours[0], {"stages.text.routing.until": "null"})
        end = ours[0].sets["stages.text.routing.until"]
        values = {}
        for seed, our, their in zip(setup.seeds, setup.runner.results(ours), setup.runner.results(theirs)):
            to, of_plain = claims.steps_to(our["curve"], SCORE), claims.steps_to(their["curve"], SCORE)
            spent = None if to is None else min(to, end) * routed + max(0, to - end) * usual
            values[seed] = claims.ratio(spent, of_plain and of_plain * usual)
        claim = claims.judge_ratio(self.text, "FLOPs over those of the plain recipe", values, 1 - LEAST_SAVING)
        whole = flops_per_step(setup, ours[0], {})
        claim.notes.append(f"`pixart plan`: {usual / 1e9:.3f} GFLOP a step, with routing (steps 1 to {end}) {routed / 1e9:.3f}, which is "
                           f"{1 - routed / usual:.1%} fewer; over all {ours[0].sets['stages.text.steps']} steps {1 - whole / usual:.1%} fewer")
        self.add_notes(setup, claim, ours, theirs)
        return [claim]


def until():
    """The last tenth of the steps has all tokens in all blocks."""
    return STEPS * 9 // 10


def flops_per_step(setup, run, sets):
    """As `pixart plan` says them."""
    words = [f"{key}={value}" for key, value in {**run.sets, "run": setup.runner.folder(run), **sets}.items()]
    command = [setup.runner.pixart, "plan", run.config, "--json", *[word for pair in words for word in ("--set", pair)]]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"pixart plan {run.config} ended with {done.returncode}: {done.stderr[-800:]}", done.returncode)
    return json.loads(done.stdout)["stages"][-1]["flops_per_step"]


class Time:
    text = f"{SCORE:.0f} % of whole captions in at most {MOST_TIME} of the time of the recipe of then"
    names = ("today", "then")
    labels = ("today", "then (its class stage is not in the steps)")

    def then(self, setup):
        runs = []
        for seed in setup.seeds:
            sets = {**scenes(setup, THEN_STEPS, THEN_KEPT), "seed": seed}
            if setup.quick:
                sets |= {"stages.class.steps": 6, "stages.class.batch_size": 8, "stages.class.samples.num_steps": 2}
            if not setup.old:
                sets["sample_order"] = 1
            cost = {"class": CLASS_STEPS * STEP_COST * 0.7, "text": THEN_STEPS * STEP_COST + len(THEN_KEPT) * SCORE_COST}
            name = f"{'old' if setup.old else 'then'}-seed-{seed}"
            runs.append(Run(name, THEN, cost, texts(sets), program=setup.old))
        return runs

    def today(self, setup):
        cost = {"text": TODAY_STEPS * STEP_COST + len(TODAY_KEPT) * SCORE_COST}
        return [Run(f"today-seed-{seed}", TODAY, cost, {**texts(scenes(setup, TODAY_STEPS, TODAY_KEPT)), "seed": seed})
                for seed in setup.seeds]

    def runs(self, setup):
        return [run for pair in zip(self.then(setup), self.today(setup)) for run in pair]

    def judge(self, setup):
        then, today = setup.runner.results(self.then(setup)), setup.runner.results(self.today(setup))
        values = {"cpu": {}, "wall": {}}
        for kind, by_seed in values.items():
            for seed, old, new in zip(setup.seeds, then, today):
                by_seed[seed] = claims.ratio(seconds_to(new, TODAY_STEPS, setup.quick, kind), seconds_to(old, THEN_STEPS, setup.quick, kind))
        claim = claims.judge_ratio(self.text, "CPU seconds over those of then", values["cpu"], MOST_TIME)
        for name, results, steps in (("then", then, THEN_STEPS), ("today", today, TODAY_STEPS)):
            reached = [seconds_to(result, steps, setup.quick, "cpu") for result in results]
            claim.notes.append(f"{name}, CPU seconds of training to {SCORE:.0f} %: {', '.join('-' if value is None else f'{value:.0f}' for value in reached)}")
        claim.notes.append("the same by the clock: " + claims.Claim("", "ratio", values["wall"], {}).measured())
        claim.notes.append("then: " + ("the program of --old" if setup.old else "the recipe of then, with the present program"))
        claim.notes += [steps_note(("today", "then"), (today, then)), note_of_ends(("today", "then"), (today, then))]
        return [claim]


def seconds_to(result, steps, quick, kind):
    """Of training, from the autoencoder on, until the score is reached; without drawing and judging."""
    reached = claims.steps_to(result["curve"], SCORE)
    if reached is None:
        return None
    times = {name: time[f"{kind}_seconds"] for name, time in result["stages"].items() if name not in ("features", "scoring")}
    return sum(value for name, value in times.items() if name != "text") + times["text"] * reached / (6 if quick else steps)


def check(setup):
    for name, path in (("--old", setup.old), ("--teacher", setup.teacher)):
        if path and not pathlib.Path(path).exists():
            raise BadInput(f"{name}: {path} does not exist")
