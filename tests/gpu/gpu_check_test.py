"""scripts/gpu_check.py: its parts do not harm one another, and all of it on the fake GPU.

Usage: gpu_check_test.py SOURCE_DIR [FOLDER_OF_THE_FAKE_PROGRAMS]    (without the folder, only what needs no program)
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

SOURCE = pathlib.Path(sys.argv[1]).resolve()
PROGRAMS = pathlib.Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None
sys.path.insert(0, str(SOURCE / "scripts"))
sys.dont_write_bytecode = True
import gpu_check  # noqa: E402

RESULTS = SOURCE / "tests/gpu/results"


def made_check(folder, **options):
    values = {"device": "cuda:0", "quick": False, "fake": False, "bin": pathlib.Path("absent"), "python": "absent"} | options
    return gpu_check.Check(argparse.Namespace(**values), pathlib.Path(folder))


class Parts(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def run_part(self, function, limit=30, **options):
        return gpu_check.run_part(made_check(self.folder, **options), function, limit)

    def test_a_part_that_hangs_ends_with_its_children(self):
        file = self.folder / "pid"
        command = ["sh", "-c", f"echo begun; sleep 600 & echo $! >{file}; wait"]
        begin = time.monotonic()
        result = self.run_part(lambda check, trial: trial.run(command, check.environment), limit=2)
        self.assertLess(time.monotonic() - begin, 30)
        self.assertFalse(result["ok"])
        self.assertIn("had not ended after 2 s", result["finding"])
        self.assertEqual([command["rc"] for command in result["commands"]], [None])
        stat = pathlib.Path(f"/proc/{file.read_text().strip()}/stat")
        for _ in range(500):
            if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX":
                return
            time.sleep(0.01)
        self.fail("the child still runs")

    def test_a_command_that_fails_says_why(self):
        command = ["sh", "-c", "echo one >&2; echo the reason >&2; exit 7"]
        result = self.run_part(lambda check, trial: trial.run(command, check.environment))
        self.assertEqual(result["finding"], "sh ended with 7: the reason")
        self.assertEqual(result["commands"][0]["rc"], 7)
        self.assertEqual(result["commands"][0]["messages"], ["one", "the reason"])
        self.assertEqual(self.run_part(lambda check, trial: ("good", trial.run(command, check.environment, (0, 7))))["ok"], True)

    def test_a_mistake_in_a_part_is_its_finding(self):
        result = self.run_part(lambda check, trial: {}["absent"])
        self.assertEqual((result["ok"], result["finding"]), (False, "KeyError: 'absent'"))

    def test_the_limits_leave_time(self):
        self.assertLess(sum(limit for _, _, limit, _ in gpu_check.PARTS), 600)

    def test_batches_are_chosen_by_free_memory(self):
        for free_mib, sizes in ((80000, [64, 32, 16]), (40000, [16, 8, 4]), (23000, [8, 4]), (8000, [4])):
            with mock.patch.object(gpu_check, "nvidia_smi", lambda query, *more, free=free_mib: [[str(free)]]):
                self.assertEqual(gpu_check.batch_sizes(made_check(self.folder)), sizes, free_mib)
        with mock.patch.object(gpu_check, "nvidia_smi", lambda *words: []):
            self.assertEqual(gpu_check.batch_sizes(made_check(self.folder)), [64, 32, 16])

    def test_a_batch_without_memory_is_noted_and_a_smaller_one_is_compared(self):
        started = []

        def measure(_check, _trial, program, batch_size, *_more):
            started.append((program, batch_size))
            if (program, batch_size) == ("eager", 64):
                return {"failed": "python ended with 1: out of memory: it needs more"}
            return {"images_per_second": 100.0, "peak_bytes": 5, "first_step_seconds": 30.0}

        with mock.patch.object(gpu_check, "measure_step", measure), mock.patch.object(gpu_check, "nvidia_smi", lambda *words: []):
            result = self.run_part(gpu_check.step)
        self.assertTrue(result["ok"], result)
        self.assertIn("out of memory", result["figures"]["64"]["eager"]["failed"])
        self.assertEqual(result["figures"]["32"]["compiled"]["images_per_second"], 100)
        self.assertEqual(list(result["figures"]["16"]), ["pixart"])
        self.assertIn("batch 32: pixart 100.0 images/s, eager 100.0 images/s (pixart is 1.00 times as fast)", result["finding"])
        self.assertEqual([program for program, size in started if size == 32],
                         ["pixart", "eager", "compiled", "compiled", "eager", "pixart"])

    def test_two_gpus_are_needed_for_two_ranks(self):
        with mock.patch.object(gpu_check, "PARTS", [("two", lambda check, trial: self.fail("runs"), 5, 2)]), \
             mock.patch.object(gpu_check, "result_path", lambda check, result: self.folder / "result.json"), \
             mock.patch.object(gpu_check, "visible_gpus", lambda: ["0"]):
            self.assertEqual(gpu_check.run_parts(made_check(self.folder), None), 0)
        parts = json.loads((self.folder / "result.json").read_text())["parts"]
        self.assertEqual(parts["two"], {"ok": None, "finding": "not run: it needs 2 GPUs"})

    def test_losses_of_two_ranks_that_differ_are_found(self):
        for factor, good in ((1 + 1e-5, True), (1.01, False), (float("nan"), False)):
            def trained(_trial, command, *_more, factor=factor, **_options):
                run = next(pathlib.Path(word[4:]) for word in map(str, command) if word.startswith("run="))
                lines = [{"stage": stage, "step": i + 1, "loss": 0.5, "gradient_norm": 2.0 * (factor if run.name == "two" else 1)}
                         for stage, count in (("autoencoder", 20), ("text", 40)) for i in range(count)]
                run.mkdir(exist_ok=True)
                (run / "events.jsonl").write_text("\n".join(map(json.dumps, lines)))

            with mock.patch.object(gpu_check.Trial, "run", trained):
                self.assertEqual(self.run_part(gpu_check.two_ranks)["ok"], good, factor)


@unittest.skipIf(PROGRAMS is None, "the folder of the programs was not given")
class OnTheFakeGpu(unittest.TestCase):
    def test_it_runs_to_its_end(self):
        before = {path: path.read_bytes() for path in RESULTS.iterdir()}
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, SOURCE / "scripts/gpu_check.py", "--fake", "--quick", "--bin", PROGRAMS, "--keep", folder,
                       "--python", f"{folder}/absent"]
            done = subprocess.run(command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            print(done.stdout, flush=True)
            result = json.loads((pathlib.Path(folder) / "gpu_check.json").read_text())
        self.assertEqual(done.returncode, 1)
        self.assertEqual({path: path.read_bytes() for path in RESULTS.iterdir()}, before, "fake figures are not kept")
        self.assertTrue(result["fake"] and result["quick"])
        # PyTorch does not run on the fake GPU: only this part fails, and keeps what it has.
        self.assertEqual([name for name, part in result["parts"].items() if part["ok"] is not True], ["step"])
        self.assertEqual(list(result["parts"]), [name for name, *_ in gpu_check.PARTS])
        step = result["parts"]["step"]["figures"]["2"]
        self.assertGreater(step["pixart"]["images_per_second"], 0)
        self.assertEqual(len(step["pixart"]["runs"]), 2)
        for rival in ("eager", "compiled"):
            self.assertIn("did not start", step[rival]["failed"])
        figures = {name: part["figures"] for name, part in result["parts"].items()}
        self.assertEqual(figures["step"]["2"]["pixart"]["runs"][0]["captions"], "4-16")
        self.assertEqual(figures["loader"]["loader"]["samples"], 32)
        self.assertEqual(figures["resume"]["stopped_at"], 4)
        self.assertLess(figures["two_ranks"]["largest_difference"], 1e-5)
        for name in ("killed_rank", "hung_rank"):
            self.assertEqual(figures[name]["rc"], 76)
        self.assertLess(figures["killed_rank"]["seconds"], figures["killed_rank"]["timeout_seconds"])
        for name, part in result["parts"].items():
            self.assertGreater(len(part["commands"]), 0, name)
            self.assertEqual(len([line for line in done.stdout.splitlines() if line.startswith(f"gpu_check: {name}: ")]), 1, name)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
