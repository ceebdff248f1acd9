"""Tests of scripts/plot_compare.py. Usage: plot_compare_test.py SCRIPTS_DIR"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

SCRIPT = pathlib.Path(sys.argv.pop(1)) / "plot_compare.py"
SVG = "{http://www.w3.org/2000/svg}"


def curve(*values):
    return [{"step": 200 * (i + 1), "all": value, "all_heldout": value / 2} for i, value in enumerate(values)]


class PlotCompare(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.svg = self.folder / "out" / "curves.svg"

    def plot(self, stages, *options):
        """stages: {run name: stages of curve.json, or None for no file}."""
        runs = []
        for name, value in stages.items():
            run = self.folder / name
            run.mkdir()
            runs.append(run)
            if value is not None:
                (run / "curve.json").write_text(json.dumps({"stages": value}))
        return subprocess.run([sys.executable, SCRIPT, "--out", self.svg, *options, *runs], capture_output=True, text=True, check=False)

    def lines(self, kind, stage):
        root = xml.etree.ElementTree.parse(self.svg).getroot()
        return [line for line in root.iter(f"{SVG}polyline") if {kind, stage} <= set(line.get("class").split())]

    def test_draws_one_thin_line_per_seed_and_one_mean(self):
        good = {"reparameterized": curve(50, 90), "scratch": curve(10, 40)}
        done = self.plot({"seed-0": good, "seed-1": good})
        self.assertEqual(done.returncode, 0, done.stderr)
        for stage in ("leader", "baseline"):
            self.assertEqual(len(self.lines("seed", stage)), 2)
            self.assertEqual(len(self.lines("mean", stage)), 1)
        self.assertIn("prefers-color-scheme: dark", self.svg.read_text())

    def test_mean_lies_between_the_seeds(self):
        self.plot({"seed-0": {"reparameterized": curve(100), "scratch": curve(0)},
                   "seed-1": {"reparameterized": curve(50), "scratch": curve(0)}})
        height = {line.get("points").split(",")[1] for line in self.lines("seed", "leader")}
        mean = float(self.lines("mean", "leader")[0].get("points").split(",")[1])
        self.assertAlmostEqual(mean, sum(map(float, height)) / 2, delta=0.1)

    def test_lead_is_that_of_the_last_common_step(self):
        done = self.plot({"seed-0": {"reparameterized": curve(30, 90, 10), "scratch": curve(20, 40)}})
        self.assertEqual(done.returncode, 0)
        row = next(line for line in done.stdout.splitlines() if line.startswith("seed-0")).split()
        self.assertEqual(row[1:5], ["400", "90.0", "40.0", "+50.0"])

    def test_one_seed_below_the_margin_fails(self):
        good, weak = ({"reparameterized": curve(60), "scratch": curve(value)} for value in (45, 45.5))
        done = self.plot({"seed-0": good, "seed-1": weak})
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.count("below 15"), 1)
        self.assertTrue(self.svg.exists())

    def test_margin_can_be_set(self):
        self.assertEqual(self.plot({"seed-0": {"reparameterized": curve(60), "scratch": curve(50)}}, "--margin", "5").returncode, 0)

    def test_two_runs_of_a_seed_and_the_standard_error(self):
        pair = ("--leader", "flow", "--baseline", "epsilon", "--title", "T & T", "--leader-label", "by flow", "--not-below")

        def plot(*leads):
            runs = []
            for seed, lead in enumerate(leads):
                for name, last in (("flow", 50 + lead), ("epsilon", 50)):
                    run = self.folder / f"seed-{seed}" / name
                    run.mkdir(parents=True, exist_ok=True)
                    (run / "curve.json").write_text(json.dumps({"stages": {"text": curve(20, last)}}))
                runs.append(run.parent)
            return subprocess.run([sys.executable, SCRIPT, "--out", self.svg, *pair, *runs], capture_output=True, text=True, check=False)

        done = plot(-1, 1, 6)  # mean 2, standard error 2.08
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("flow: mean 52.0, standard error 2.1 (3 seeds)", done.stdout)
        self.assertIn("lead: mean 2.0, standard error 2.1 (3 seeds)", done.stdout)
        self.assertIn("flow is not below epsilon", done.stdout)
        self.assertIn("T &amp; T", self.svg.read_text())
        self.assertIn("by flow, mean", self.svg.read_text())
        self.assertEqual(plot(-4, 1, -3).returncode, 1)  # mean -2, standard error 1.5
        self.assertEqual(plot(-5, 1, -1).returncode, 0)  # mean -1.7, standard error 1.8
        self.assertEqual(plot(3).returncode, 78)

    def test_unusable_input_says_what_to_do(self):
        for name, stages, part in (("a", None, "pixart demo score"), ("b", {"scratch": curve(1)}, "reparameterized"),
                                   ("c", {"reparameterized": [], "scratch": curve(1)}, "no scored step in common")):
            with self.subTest(name):
                done = self.plot({name: stages})
                self.assertEqual(done.returncode, 78)
                self.assertIn(part, done.stderr)
                self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    unittest.main()
