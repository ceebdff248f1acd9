#!/usr/bin/env python3
"""scripts/evidence.sh with tiny sizes: two parts from the autoencoder to the table, a second call that trains nothing again, and the
arithmetic of its claims.

Usage: evidence_test.py SOURCE_DIR PIXART
"""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

SOURCE, PIXART = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
sys.path.insert(0, str(SOURCE / "scripts/evidence"))
sys.dont_write_bytecode = True
import claims
import runs
import teacher

BAD_INPUT, STOPPED, DOES_NOT_HOLD = 78, 75, 1


def command(words, pixart=PIXART):
    return {"args": [str(SOURCE / "scripts/evidence.sh"), *map(str, words)], "text": True,
            "env": {**os.environ, "PIXART_BIN": str(pixart), "PYTHONDONTWRITEBYTECODE": "1"}}


def evidence(*words, code, pixart=PIXART):
    done = subprocess.run(**command(words, pixart), capture_output=True, timeout=600)
    assert done.returncode == code, f"{words}: {done.returncode} in place of {code}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


class Script(unittest.TestCase):
    def test_two_parts_are_measured_once(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            page = folder / "page.md"
            page.write_text("before\n<!-- evidence -->\nold\n<!-- evidence -->\nafter\n")
            words = "--quick", "--parts", "routing,muon", "--seeds", "3", "--jobs", "2", "--out", folder, "--page", page
            self.stop_after("autoencoder: done", words)
            first = evidence(*words, code=DOES_NOT_HOLD)
            self.assertNotIn("autoencoder: training", first)
            self.assertIn("0 runs and about 0 minutes left", first)
            table = (folder / "table.md").read_text()
            self.assertEqual(table.splitlines()[0], "| part | claim | measured | holds |")
            rows = {line.split(" | ")[0].strip("| "): line for line in table.splitlines()[2:] if not line.startswith("| | ")}
            self.assertEqual(list(rows), ["routing", "muon", "alignment", "stamps", "mup", "time"])
            for part in "routing", "muon":
                self.assertIn("one seed only: no", rows[part])
                self.assertNotIn("not run yet", rows[part])
            self.assertIn("not run yet: `scripts/evidence.sh --parts alignment`", rows["alignment"])
            self.assertRegex(table, r"with routing \(steps 1 to 5\) 0\.\d+, which is \d+\.\d% fewer")
            self.assertEqual(page.read_text(), f"before\n<!-- evidence -->\n{table}<!-- evidence -->\nafter\n")
            for part in "routing", "muon":
                lines = [line for line in xml.etree.ElementTree.parse(folder / f"curves-{part}.svg").iter() if line.tag.endswith("polyline")]
                self.assertEqual(len(lines), 4, part)  # seed and mean of both
            results = {path.stem: json.loads(path.read_text()) for path in (folder / "results").iterdir()}
            self.assertEqual(sorted(results), ["autoencoder", "muon-seed-3", "plain-seed-3", "routed-seed-3"])
            for run in "muon-seed-3", "plain-seed-3", "routed-seed-3":
                self.assertEqual([point["step"] for point in results[run]["curve"]], [3, 6])
                self.assertGreater(results[run]["stages"]["text"]["cpu_seconds"], 0)
            times = {path: path.stat().st_mtime_ns for path in (folder / "results").iterdir()}

            # A run whose results are lost is scored again, and trained no more; the others are read.
            (folder / "results/routed-seed-3.json").unlink()
            again = evidence(*words, code=DOES_NOT_HOLD)
            self.assertIn("routed-seed-3: training", again)
            self.assertNotIn("plain-seed-3: training", again)
            self.assertIn("already finished", (folder / "runs/routed-seed-3/log.txt").read_text())
            for path, before in times.items():
                self.assertEqual(path.stat().st_mtime_ns == before, path.stem != "routed-seed-3", path)
            curve = json.loads((folder / "results/routed-seed-3.json").read_text())["curve"]
            self.assertEqual(curve, results["routed-seed-3"]["curve"])
            self.assertEqual((folder / "table.md").read_text(), table)

            # Other settings do not pass for these.
            self.assertIn("made with other settings", evidence("--parts", "routing", "--seeds", "3", "--out", folder, code=BAD_INPUT))
            broken = folder / "broken"
            broken.write_text("#!/bin/sh\necho no such thing\nexit 70\n")
            broken.chmod(0o755)
            output = evidence("--quick", "--parts", "muon", "--seeds", "4", "--out", folder, code=70, pixart=broken)
            self.assertIn("no such thing", output)
            self.assertNotIn("Traceback", output)

    def stop_after(self, text, words):
        with subprocess.Popen(**command(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if text in line:
                    process.terminate()
        self.assertEqual(process.returncode, STOPPED, "".join(lines))
        self.assertIn("the same command continues", lines[-1])

    def test_all_wrong_arguments_are_named_at_once(self):
        output = evidence("--parts", "muon,speed", "--seeds", "1,x", "--jobs", "0", "--old", "/nowhere/pixart", code=BAD_INPUT)
        for text in "'speed' is not one of", "'1,x'", "--jobs", "/nowhere/pixart does not exist":
            self.assertIn(text, output)
        self.assertIn("evidence.sh --help", evidence("--wrong", "--parts", "muon", code=BAD_INPUT))
        self.assertIn("build pixart", evidence("--parts", "muon", code=BAD_INPUT, pixart="/nowhere/pixart"))
        self.assertIn("Exit codes:", evidence("--help", code=0))


class Claims(unittest.TestCase):
    def test_a_score_is_reached_on_the_line_between_two_checkpoints(self):
        curve = [{"step": 200, "all": 90.0}, {"step": 100, "all": 50.0}, {"step": 300, "all": 80.0}]
        self.assertEqual(claims.steps_to(curve, 80), 175)
        self.assertEqual(claims.steps_to(curve, 25), 50)
        self.assertIsNone(claims.steps_to(curve, 91))

    def test_a_ratio_holds_if_the_mean_does_and_its_error_leaves_no_doubt(self):
        for values, holds, each in (((0.7, 0.7, 0.8), True, [True, True, False]), ((0.4, 0.9, 0.92), True, [True, False, False]),
                                    ((0.8, 0.8, 0.8), False, [False] * 3), ((0.1, 0.1, None), False, [True, True, False])):
            claim = claims.judge_ratio("", "ratio", dict(enumerate(values)), 0.75)
            self.assertEqual((claim.all_hold(), list(claim.holds.values())), (holds, each), values)
        self.assertFalse(claims.judge_ratio("", "ratio", {0: 0.1, 1: 1.8, 2: 0.1}, 0.95).all_hold())  # 0.67, standard error 0.57
        claim = claims.judge_ratio("", "ratio", {0: 0.5, 1: 0.7}, 0.75)
        self.assertEqual(claim.measured(), "ratio: 0.60, standard error 0.10 (0.50, 0.70)")
        self.assertIn("not reached", claims.judge_ratio("", "ratio", {0: 0.5, 1: None}, 0.75).measured())

    def test_the_teacher_has_each_filter_once(self):
        found = [tuple(teacher.flat(one)) for one in teacher.filters()]
        self.assertEqual(len(set(found)), teacher.WIDTH)
        for i, one in enumerate(found):
            for other in found[:i]:
                self.assertAlmostEqual(sum(a * b for a, b in zip(one, other)), 0, places=9)

    def test_what_is_no_file_of_results_is_said(self):
        with tempfile.TemporaryDirectory() as name:
            runner = runs.Runner(PIXART, name, 1)
            run = runs.Run("a", str(SOURCE / "configs/evidence/text.yaml"), {"text": 1}, {})
            runs.write(runner.result_file(run), "{")
            with self.assertRaisesRegex(runs.BadInput, "a.json is not a file of results"):
                runner.finished(run)


@unittest.skipUnless(importlib.util.find_spec("numpy"), "needs numpy")
class Linear(unittest.TestCase):
    def test_the_loss_is_that_of_drawn_noise(self):
        import numpy
        import stamps
        generator = numpy.random.default_rng(1)
        x_0 = generator.normal(size=(200000, 3)) * [0.5, 1, 3]
        noise = generator.normal(size=x_0.shape)
        for sigma in 0.1, 0.6:
            x_t = (1 - sigma) * x_0 + sigma * noise
            fit = numpy.linalg.lstsq(x_t, noise, rcond=None)[0]  # the best linear function of these samples
            drawn = ((x_t @ fit - noise) ** 2).mean() / (1 - sigma) ** 2
            computed = stamps.loss_of_noise(sigma, x_0.var(0), (x_0**2).mean(0))
            self.assertAlmostEqual(drawn / computed, 1, delta=0.01)


unittest.main(argv=sys.argv[:1] + sys.argv[3:])
