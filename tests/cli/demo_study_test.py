#!/usr/bin/env python3
"""`pixart demo read`, and the comparison of models by simulated people and by `pixart judge` (scripts/demo_study.py): a model
that draws what the captions say, one that draws other scenes, and one that draws noise; and their page in `pixart report`.

Usage: demo_study_test.py SOURCE_DIR PIXART
"""
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

SOURCE, PIXART = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
sys.path.insert(0, str(SOURCE / "tests/support"))
import study_images

SCENES, BAD_INPUT = 24, 78
EVIL = "<script>alert(1)</script>"


def run(*words, folder, code=0):
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{words}: {done.returncode} in place of {code}\n{done.stdout}{done.stderr}"
    return done.stdout if code == 0 else done.stdout + done.stderr


class Scratch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        run(PIXART, "data", "pack", "scenes", "packed", "--type", "scenes", "--set", f"count={SCENES}", "--set", "seed=5", folder=cls.folder)
        for shard in sorted((cls.folder / "packed").glob("*.tar")):
            with tarfile.open(shard) as tar:
                tar.extractall(cls.folder / "scenes", filter="data")
        images = sorted((cls.folder / "scenes").rglob("*.png"))
        cls.captions = [image.with_suffix(".txt").read_text().strip() for image in images]
        for name in "right", "other", "noise":
            (cls.folder / name).mkdir()
        generator = random.Random(3)
        for i, image in enumerate(images):
            shutil.copy(image, cls.folder / f"right/{i:04}.png")
            shutil.copy(images[(i + 1) % SCENES], cls.folder / f"other/{i:04}.png")
            study_images.png(cls.folder / f"noise/{i:04}.png", 32, 32, lambda x, y: generator.randbytes(3))
        lines = [json.dumps({"id": f"{i:04}", "prompt": caption}) for i, caption in enumerate(cls.captions)]
        (cls.folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")


class Read(Scratch):
    def test_it_sees_what_the_captions_say(self):
        lines = [json.loads(line) for line in run(PIXART, "demo", "read", "right", folder=self.folder).splitlines()]
        self.assertEqual([line["image"] for line in lines], [f"{i:04}.png" for i in range(SCENES)])
        seen = [f"a {line['color']} {line['shape']} on a {line['background']} background" for line in lines]
        self.assertGreaterEqual(sum(map(str.__eq__, seen, self.captions)), SCENES - 1)

    def test_what_is_not_a_scene_is_null(self):
        lines = [json.loads(line) for line in run(PIXART, "demo", "read", "noise", folder=self.folder).splitlines()]
        self.assertTrue(all(line["shape"] is None for line in lines), lines)

    def test_all_damaged_images_are_named(self):
        shutil.copytree(self.folder / "right", self.folder / "damaged")
        for name in "0003.png", "0007.png":
            (self.folder / "damaged" / name).write_bytes(b"<html>")
        output = run(PIXART, "demo", "read", "damaged", folder=self.folder, code=BAD_INPUT)
        for name in "0003.png", "0007.png":
            self.assertIn(name, output)
        self.assertEqual(output.count('"shape"'), SCENES - 2)

    def test_the_overview_of_drawn_images_is_not_one_of_them(self):
        shutil.copytree(self.folder / "right", self.folder / "drawn")
        study_images.png(self.folder / "drawn/grid.png", 48, 32, lambda x, y: bytes(3))
        output = run(PIXART, "demo", "read", "drawn", folder=self.folder, code=BAD_INPUT)
        self.assertIn("grid.png is 48 x 32 pixels, and a scene is square", output)
        self.assertEqual(output.count('"shape"'), SCENES)
        (self.folder / "drawn/sample.json").write_text("{}")
        self.assertEqual(run(PIXART, "demo", "read", "drawn", folder=self.folder).count('"shape"'), SCENES)

    def test_what_does_not_exist_is_said(self):
        output = run(PIXART, "demo", "read", "nowhere", folder=self.folder, code=BAD_INPUT)
        self.assertIn("nowhere does not exist: give a folder, shards or a table of images", output)


class Score(Scratch):
    def test_files_of_a_user_are_no_results_and_stay(self):
        folder = self.folder / "noted"
        folder.mkdir()
        shutil.copy(SOURCE / "configs/demo/scenes.yaml", folder / "run.yaml")
        for text in "mine\n", '{"seconds": 1}\n', "[]\n":
            for name, options in ("score.json", []), ("curve.json", ["--curve"]):
                (folder / name).write_text(text)
                output = run(PIXART, "demo", "score", "noted", *options, folder=self.folder, code=BAD_INPUT)
                self.assertIn(f"{name} is there and was not written by pixart demo score", output)
                self.assertEqual((folder / name).read_text(), text)


class Compare(Scratch):
    def test_all_wrong_arguments_are_named_at_once(self):
        output = run(sys.executable, SOURCE / "scripts/demo_study.py", PIXART, "--prompts", "none.jsonl", "--out", "right", "right", "x=missing",
                     folder=self.folder, code=BAD_INPUT)
        for text in "NAME=IMAGES", "missing is not a folder", "none.jsonl cannot be read", "right exists already":
            self.assertIn(text, output)
        self.assertNotIn("Traceback", output)

    def test_study_and_judge_rank_the_models_and_the_report_shows_both(self):
        run(sys.executable, SOURCE / "tests/support/make_run.py", self.folder / "run", folder=self.folder)
        out = self.folder / "run/scores/comparison"
        run(sys.executable, SOURCE / "scripts/demo_study.py", PIXART, "--prompts", "prompts.jsonl", "--out", out, "--people", 20,
            *(f"{name}={name}" for name in ("noise", "other", "right")), folder=self.folder)
        study = json.loads((out / "study/study.json").read_text())
        for question in study["questions"]:
            strengths = {model["name"]: model["strength"] for model in question["models"]}
            self.assertGreater(strengths["right"], strengths["noise"], question["question"])
            if question["question"] == "alignment":
                self.assertGreater(strengths["right"], strengths["other"] + 0.5)
            else:
                self.assertLess(abs(strengths["right"] - strengths["other"]), 0.7)  # both draw whole scenes
        percents = {name: json.loads((out / f"judge-{name}/summary.json").read_text())["scores"]["score"]["percent"]
                    for name in ("noise", "other", "right")}
        self.assertGreater(percents["right"], 95)
        self.assertGreater(percents["right"], percents["other"] + 20)
        self.assertGreater(percents["other"], percents["noise"])
        # Names in a summary stay text, and what is not a summary is said.
        summary = json.loads((out / "judge-other/summary.json").read_text())
        summary["name"] = EVIL
        (out / "judge-other/summary.json").write_text(json.dumps(summary))
        (out / "judge-noise/summary.json").write_text("[" * 100_000)
        run(PIXART, "report", "run", folder=self.folder)
        page = (self.folder / "run/report.html").read_text()
        self.assertIn("Study: ", page)
        self.assertIn("judge-questions (model scene-judge)", page)
        self.assertIn(f"{percents['right']:.1f} %", page)
        self.assertIn("judge-noise/summary.json is not a summary of pixart judge", page)
        self.assertNotIn(EVIL, page)


unittest.main(argv=sys.argv[:1] + sys.argv[3:])
