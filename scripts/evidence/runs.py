"""Trains and scores runs, each once: what is finished is read from its file of results, what was stopped goes on."""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

STOPPED, BAD_INPUT = 75, 78
BELOW_BAR = 72  # exit code of `pixart demo score`, which did score the run


class Failed(Exception):
    """A command failed, or was stopped; `code` is the exit code of the script."""

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


class BadInput(Failed):
    """Something that the user can mend."""

    def __init__(self, message):
        super().__init__(message, BAD_INPUT)


@dataclasses.dataclass
class Run:
    """A run file with other settings, trained stage by stage."""
    name: str            # of its files, for example muon-seed-0
    config: str
    stages: dict         # stage -> what its training is thought to take, in CPU seconds of a 2.0 GHz core
    sets: dict
    curve: bool = True   # draw and judge images of all kept checkpoints of the last stage
    program: pathlib.Path | None = None

    @property
    def cost(self):
        return sum(self.stages.values())

    def settings(self):
        text = json.dumps([self.config, pathlib.Path(self.config).read_text(), list(self.stages), self.sets, self.curve])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Runner:
    """Makes results of runs, `jobs` at a time. `out`/results has a file for each, `out`/runs the run folders."""

    def __init__(self, pixart, out, jobs):
        self.pixart, self.out, self.jobs = pathlib.Path(pixart).resolve(), pathlib.Path(out), jobs
        self.children, self.lock, self.stopping = set(), threading.Lock(), False
        self.todo, self.begun, self.done, self.num_done = [], time.monotonic(), 0.0, 0
        self.seconds_per_cost = 1.0  # wall seconds of a run for each CPU second that it was thought to take

    def folder(self, run):
        return self.out / "runs" / run.name

    def features(self, run):
        """Shared by runs of the same text encoder, which depends on the run file and the seed."""
        kind = "old-" if run.program else "real-" if run.name.startswith("real-") else ""
        name = f"{kind}{pathlib.Path(run.config).stem}-seed-{run.sets.get('seed', 0)}"
        return self.out / "features" / name

    def result_file(self, run):
        return self.out / "results" / f"{run.name}.json"

    def finished(self, run):
        try:
            result = json.loads(self.result_file(run).read_text())
        except OSError:
            return None
        except ValueError as error:
            raise BadInput(f"{self.result_file(run)} is not a file of results ({error}); remove it") from error
        if result.get("settings") != run.settings():
            raise BadInput(f"{self.result_file(run)} was made with other settings; name another folder with --out, or remove it "
                           f"and {self.folder(run)}")
        return result

    def expect(self, runs):
        """All runs that will come, for the time that remains."""
        self.todo = [run for run in {run.name: run for run in runs}.values() if not self.finished(run)]

    def results(self, runs):
        """[result] of all runs, in their order."""
        missing = [run for run in runs if not self.finished(run)]
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            futures = [pool.submit(self.make, run) for run in missing]
            try:
                for future in concurrent.futures.as_completed(futures):
                    future.result()
            except BaseException:
                self.stop()
                raise
        return [self.finished(run) for run in runs]

    def stop(self):
        """Ends the commands that run; each saves what it has."""
        with self.lock:
            self.stopping = True
            for child in self.children:
                child.terminate()

    def make(self, run):
        begun, result = time.monotonic(), {"name": run.name, "settings": run.settings(), "config": run.config, "set": run.sets, "stages": {}}
        if not self.stopping:
            self.say(f"{run.name}: training, {self.remaining()}")
        folder = self.folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        for stage in run.stages:
            if stage != "autoencoder":
                self.call(run, folder, "features", "extract", run.config, "--stage", stage, *self.arguments(run, folder))
            self.call(run, folder, stage, "train", run.config, "--stage", stage, *self.arguments(run, folder))
        stage = list(run.stages)[-1]
        if run.curve:
            self.call(run, folder, "scoring", "demo", "score", folder, "--curve", accept=(0, BELOW_BAR))
            result["curve"] = json.loads((folder / "curve.json").read_text())["stages"][stage]
        result["stages"] = json.loads((folder / "times.json").read_text())
        result["held_out"] = held_out_losses(folder)
        write(self.result_file(run), json.dumps(result, indent=1) + "\n")
        with self.lock:
            self.todo = [other for other in self.todo if other.name != run.name]
            self.num_done, self.done = self.num_done + 1, self.done + run.cost
            self.seconds_per_cost = (time.monotonic() - self.begun) * min(self.jobs, self.num_done) / max(self.done, 1e-9)
        self.say(f"{run.name}: done in {time.monotonic() - begun:.0f} s, {self.remaining()}")

    def arguments(self, run, folder):
        for key, value in {"run": folder, "threads": 1, "features.path": self.features(run), **run.sets}.items():
            yield "--set"
            yield f"{key}={value}"

    def call(self, run, folder, what, *words, accept=(0,)):
        """Runs pixart, and adds its time to `times.json` of the run folder, also if it was stopped."""
        program = run.program if run.program and words[0] in ("extract", "train") else self.pixart
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        with open(folder / "log.txt", "a", encoding="utf-8") as log:
            with self.lock:
                if self.stopping:
                    raise Failed("stopped", STOPPED)
                begun = time.monotonic()
                child = subprocess.Popen([str(program), *map(str, words)], stdout=log, stderr=log, env=environment)
                self.children.add(child)
            code, usage = wait(child)
        with self.lock:
            self.children.discard(child)
        add_time(folder / "times.json", what, usage.ru_utime + usage.ru_stime, time.monotonic() - begun)
        if code not in accept:
            if self.stopping or code == STOPPED:
                raise Failed("stopped; the same command continues", STOPPED)
            raise Failed(f"{program} {' '.join(map(str, words))} ended with {code}; the end of {folder}/log.txt:\n"
                         + "\n".join((folder / "log.txt").read_text().splitlines()[-8:]), code if code > 0 else 1)

    def remaining(self):
        with self.lock:
            seconds = sum(run.cost for run in self.todo) * self.seconds_per_cost / self.jobs
            return f"{len(self.todo)} runs and about {seconds / 60:.0f} minutes left"

    @staticmethod
    def say(text):
        print(f"evidence: {text}", flush=True)


def wait(child):
    """(exit code, resources) of a child process."""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, usage


def add_time(path, what, cpu, wall):
    times = json.loads(path.read_text()) if path.exists() else {}
    entry = times.setdefault(what, {"cpu_seconds": 0.0, "wall_seconds": 0.0, "calls": 0})
    entry["cpu_seconds"] += cpu
    entry["wall_seconds"] += wall
    entry["calls"] += 1
    write(path, json.dumps(times))


def held_out_losses(folder):
    """{stage: {step: {"loss": EMA's, "by_timestep": [...]}}} of what `validation` measured."""
    result = {}
    for line in (folder / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if "validation_loss_ema" in event:
            levels = [event[key] for key in sorted(key for key in event if key.startswith("validation_loss_ema_t"))]
            result.setdefault(event["stage"], {})[event["step"]] = {"loss": event["validation_loss_ema"], "by_timestep": levels}
    return result


def write(path, text):
    """Replaces a file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + f".{threading.get_ident()}.new")
    new.write_text(text)
    os.replace(new, path)


def die(error):
    print(f"evidence: {error}", file=sys.stderr)
    return error.code
