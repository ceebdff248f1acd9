#!/usr/bin/env python3
"""Are suites drawn at scale: the same bytes after kills on every number of ranks, in memory that does not grow?

Usage: scripts/check_drawing.py BINARIES [--images 5000] [--kills 20] [--ranks 1,2,4] [--seed 0] [--quick] [--keep FOLDER]

Trains a tiny run, and draws a suite of prompts on one rank, undisturbed. Then draws it on each number of ranks with
`kill -9` at random moments (one process, or all of them), each time continued by the same command. Every file must have
the same bytes. A tenth of the images is drawn so with `--weights both`, and with a class model and `--npz`. The peak
memory of 100 images and of all must differ by at most 7000 bytes for each further image. Prints one JSON object; ends
with 1 if a promise is broken.
  --quick        60 images and three kills, in seconds; the memory is told, but not judged
  --keep FOLDER  works in this folder, which must not exist, and leaves it there
"""
import argparse
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "campaign"))
from commands import MODELS, SMALL_AUTOENCODER, SMALL_TEXT_ENCODER  # noqa: E402
from drill import MARK, Process, signal_one  # noqa: E402

SIDE = 32
STAGE = ("  - {{name: {name}, objective: {objective}, source: s, resolution: 32, steps: {steps}, batch_size: 8, log_every: 1,\n"
         "     {more}checkpoints: {{every: 10}}}}\n")
MOST_BYTES_PER_IMAGE = 7000
FEW_IMAGES = 100
KILLED = (-9, 137, 76)  # the process itself, a rank of the launcher, a rank that lost another one
COLOURS = ("red", "green", "blue", "yellow", "black", "white", "orange", "violet")
SHAPES = ("circle", "square", "triangle", "cross", "star")


def run_file():
    learning = "optimizer: {lr: 1.0e-3}, ema_decay: 0.9, "
    return ("run: run\n" + MODELS.format(autoencoder=SMALL_AUTOENCODER, text_encoder=SMALL_TEXT_ENCODER) + "stages:\n" +
            STAGE.format(name="autoencoder", objective="autoencoder", steps=4, more="") +
            STAGE.format(name="class", objective="class_conditional", steps=4, more=learning) +
            STAGE.format(name="text", objective="text_conditional", steps=4,
                         more=learning + "init: {how: reparameterize, from: class}, "))


def write_suite(path, count):
    with open(path, "w", encoding="utf-8") as file:
        for i in range(count):
            prompt = f"a {COLOURS[i % 8]} {SHAPES[i // 8 % 5]} on a {COLOURS[i // 40 % 8]} background, number {i}"
            file.write(json.dumps({"prompt": prompt, "id": f"p{i}"}) + "\n")


def digests(folder):
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def images_in(folder):
    """Finished ones, also in the folders below."""
    if not folder.is_dir():
        return 0
    return sum(images_in(pathlib.Path(entry.path)) if entry.is_dir() else
               entry.name.endswith(".png") and not entry.name.startswith(".") for entry in os.scandir(folder))


def processes_of(mark):
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and wanted in pathlib.Path(entry.path, "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            pass
    return found


class Studio:
    """The tiny run, the suites, and the commands that draw them."""

    def __init__(self, pixart, folder, rng):
        self.pixart, self.folder, self.rng = pixart, folder, rng
        self.failures, self.number = [], 0
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PIXART_")}
        self.environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_WAIT_POLICY": "passive"}

    def demand(self, holds, problem):
        if not holds:
            self.failures.append(problem)
        return holds

    def train(self):
        (self.folder / "run.yaml").write_text(run_file())
        subprocess.run([self.pixart, "train", "run.yaml"], cwd=self.folder, env=self.environment, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def words(self, drawing, out, ranks):
        sample = ["sample", "run", *drawing, "--out", out, "--resume"]
        return [self.pixart, *(sample if ranks == 1 else ["launch", "-n", ranks, "--timeout", 60, "--", *sample])]

    def undisturbed(self, drawing, out):
        """(seconds, peak bytes) of one rank."""
        begun = time.monotonic()
        with open(self.folder / "output.txt", "wb") as log:
            child = subprocess.Popen([str(word) for word in self.words(drawing, out, 1)], cwd=self.folder, env=self.environment,
                                     stdout=log, stderr=log)
            _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            sys.exit(f"check_drawing: undisturbed, it ends with {child.returncode}:\n" + (self.folder / "output.txt").read_text())
        return time.monotonic() - begun, usage.ru_maxrss << 10

    def start(self, drawing, out, ranks):
        self.number += 1
        mark = f"{os.getpid()}-{self.number}"
        return Process(self.words(drawing, out, ranks), self.folder, self.environment | {MARK: mark}), mark

    def wait_for_moment(self, process, out, images):
        """Waits for a number of images and a little longer, or a moment of the start. Returns whether it still runs."""
        if self.rng.random() < 0.2:
            time.sleep(self.rng.random() * 1.5)
            return not process.ended()
        while not process.ended() and images_in(self.folder / out) < images:
            time.sleep(0.02)
        time.sleep(self.rng.random() * 0.1)
        return not process.ended()

    def kill(self, process, mark):
        """One of its processes, or all at once; then nobody may be left."""
        everyone = processes_of(mark)
        victims = everyone if self.rng.random() < 0.3 else [self.rng.choice(everyone)] if everyone else []
        for pid in victims:
            signal_one(pid, signal.SIGKILL)
        code, deadline = process.wait(), time.monotonic() + 70
        while processes_of(mark) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.demand(not processes_of(mark), "processes are left after a kill")
        return code

    def disturbed(self, drawing, out, ranks, total, kills):
        """Draws with kills, and continues until the end; returns how many kills met the command."""
        moments = sorted(self.rng.random() * 0.97 * total for _ in range(kills))
        met = 0
        for images in moments:
            process, mark = self.start(drawing, out, ranks)
            if not self.wait_for_moment(process, out, images):
                code = process.wait()
                self.demand(code == 0, f"{out}: it ends by itself with {code}: {process.output()[-1500:]}")
                break
            code = self.kill(process, mark)
            met += code != 0
            self.demand(code in (*KILLED, 0), f"{out}: killed, it ends with {code}: {process.output()[-1500:]}")
        process, _ = self.start(drawing, out, ranks)
        code = process.wait()
        self.demand(code == 0, f"{out}: continued, it ends with {code}: {process.output()[-1500:]}")
        return met

    def compare(self, out, expected):
        """The number of files that differ."""
        found = digests(self.folder / out)
        different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        self.demand(not different, f"{out}: {len(different)} files differ: {', '.join(different[:5])}")
        return len(different)

    def trial(self, drawing, out, ranks, total, kills, expected):
        begun = time.monotonic()
        met = self.disturbed(drawing, out, ranks, total, kills)
        return {"ranks": ranks, "kills": met, "files": len(expected), "files_that_differ": self.compare(out, expected),
                "seconds": round(time.monotonic() - begun, 1)}


def check_memory(studio, drawing, few_images, total, peak, judges):
    _, few_peak = studio.undisturbed(drawing, "few")
    grown = (peak - few_peak) / max(1, total - few_images)
    if judges:
        studio.demand(grown <= MOST_BYTES_PER_IMAGE, f"the peak memory grows by {grown:.0f} bytes for each image")
    return {"peak_bytes": {str(few_images): few_peak, str(total): peak}, "bytes_per_image": round(grown, 1),
            "most_bytes_per_image": MOST_BYTES_PER_IMAGE, "judged": judges}


def check(studio, a):
    studio.train()
    few_images, tenth = min(FEW_IMAGES, a.images // 3), max(20, a.images // 10)
    for name, count in (("few", few_images), ("all", a.images), ("tenth", tenth)):
        write_suite(studio.folder / f"{name}.jsonl", count)
    common = ["--steps", 2, "--batch", 8]

    def of(name):
        return ["--suite", f"{name}.jsonl", "--stage", "text", *common]

    seconds, peak = studio.undisturbed(of("all"), "whole")
    whole = digests(studio.folder / "whole")
    studio.demand(len(whole) == a.images + 1 and "sample.json" in whole, f"{len(whole)} files, not {a.images} images and sample.json")
    summary = {"images": a.images, "side": SIDE, "undisturbed": {"seconds": round(seconds, 1), "images_per_second": round(a.images / seconds, 1)},
               "memory": check_memory(studio, of("few"), few_images, a.images, peak, not a.quick)}
    summary["suite"] = [studio.trial(of("all"), f"on-{ranks}", ranks, a.images, a.kills, whole) for ranks in a.ranks]
    both = [*of("tenth"), "--weights", "both"]
    classes = ["--suite", f"classes:{tenth}", "--stage", "class", "--guidance", 1.5, "--npz", *common]
    for name, drawing, total in (("both_weights", both, 2 * tenth), ("classes_with_npz", classes, tenth)):
        studio.undisturbed(drawing, name)
        expected = digests(studio.folder / name)
        summary[name] = [studio.trial(drawing, f"{name}-on-{ranks}", ranks, total, max(2, a.kills // 4), expected) for ranks in a.ranks]
    ema, live = ((studio.folder / "both_weights" / kind / "p0.png").read_bytes() for kind in ("ema", "live"))
    studio.demand(ema != live, "live and EMA weights draw the same image")
    return summary


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binaries", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--ranks", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=pathlib.Path)
    a = parser.parse_args()
    if a.quick:
        a.images, a.kills = 60, 3
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        if a.keep:
            a.keep.mkdir(parents=True)
            folder = a.keep.resolve()
        studio = Studio(a.binaries.resolve() / "pixart", folder, random.Random(a.seed))
        begun = time.monotonic()
        summary = {**check(studio, a), "seed": a.seed, "seconds": round(time.monotonic() - begun, 1), "failures": studio.failures}
    print(json.dumps(summary, indent=1))
    return 1 if studio.failures else 0


if __name__ == "__main__":
    sys.exit(main())
