#!/usr/bin/env python3
"""`pixart compbench`: T2I-CompBench with recorded answers, boxes and a CLIP model of a few kilobytes.

Usage: compbench_test.py SOURCE_DIR PIXART [TEST...]
"""
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

SOURCE, PIXART = pathlib.Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(SOURCE / "tests/support"))
import tiny_clip

DONE, BAD_INPUT = 0, 78
PROMPTS = {
    "color": ["a red cat and a blue dog", "a green cup"],
    "spatial": ["a dog on the left of a cup", "a cat near a bird"],
    "non_spatial": ["A red cat is watching a disc.", "two cats"],
    "complex": ["The red cat is next to the small disc.", "The red disc rolled past the old cat."],
}
HOSTILE = ["a cat $(touch ran) `touch ran`; touch ran", "a cat\" & 'a dog' | <b>&lt;", "-rf a cat", "a cat \\ %s %n {} {{0}}"]
OFFICIAL_IMAGES = 10
KNOWN_QUESTIONS = {}


def png(file, seed):
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes((x * (seed + 3) + 7 * y * (c + 1)) % 251 for x in range(32) for c in range(3)) for y in range(32))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def lines(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


class CompBench(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        (self.folder / "dataset").mkdir()
        for category, prompts in PROMPTS.items():
            self.write_prompts(category, prompts)
        (self.folder / "dataset/complex_val_spatial.txt").write_text("The red cat is next to the small disc.\n")
        (self.folder / "dataset/complex_val_action.txt").write_text("The red disc rolled past the old cat.\n")

    def write_prompts(self, category, prompts, images=2):
        (self.folder / f"dataset/{category}_val.txt").write_text("\n".join(prompts) + "\n")
        for i, prompt in enumerate(prompts):
            for k in range(images):
                png(self.folder / f"images/{category}/samples/{prompt}_{i * images + k:06}.png", 10 * i + k)

    def pixart(self, *arguments, code=DONE):
        result = subprocess.run([PIXART, *map(str, arguments)], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        self.assertEqual(result.returncode, code, f"{arguments}\n{result.stdout}{result.stderr}")
        return result.stdout if code == DONE else result.stdout + result.stderr

    def score(self, *more, code=DONE):
        output = self.pixart("compbench", "score", "images", "--prompts", "dataset", "--per-prompt", 2, *more, code=code)
        return json.loads(output) if "--json" in more and code == DONE else output

    def questions(self):
        """Each set of prompts is asked once for all tests: the command reads WordNet."""
        prompts = tuple(file.read_text() for file in sorted((self.folder / "dataset").glob("*.txt")))
        if prompts not in KNOWN_QUESTIONS:
            KNOWN_QUESTIONS[prompts] = [json.loads(line) for line in self.pixart("compbench", "questions", "--prompts", "dataset").splitlines()]
        return KNOWN_QUESTIONS[prompts]

    def write_answers(self, value=lambda number, place: 0.9 - 0.1 * place - 0.01 * number):
        rows = []
        for row in self.questions():
            for image in sorted((self.folder / f"images/{row['category']}/samples").glob("*.png")):
                if image.name.startswith(row["prompt"] + "_"):
                    number = int(image.stem.rsplit("_", 1)[1])
                    rows += [{"image": f"{row['category']}/samples/{image.name}", "question": chunk + "?", "answer": value(number, place)} for place, chunk in enumerate(row["chunks"])]
        lines(self.folder / "answers.jsonl", rows)

    def write_boxes(self):
        box = lambda label, x: {"label": label, "score": 0.8, "box": [x, 0, x + 20, 20]}
        rows = []
        for category in "spatial", "complex":
            for image in sorted((self.folder / f"images/{category}/samples").glob("*.png")):
                x = 0 if image.stem.endswith("0") else 300
                rows.append({"image": f"{category}/samples/{image.name}", "objects": [box("dog", x), box("cat", x), box("cup", 100), box("bird", 100), box("disc", 100)]})
        lines(self.folder / "boxes.jsonl", rows)

    def everything(self):
        tiny_clip.make_clip(self.folder / "clip")
        self.write_answers()
        self.write_boxes()
        return ["--answers", "answers.jsonl", "--boxes", "boxes.jsonl", "--clip", "clip"]

    def stored(self, path):
        return json.loads((self.folder / path).read_text())


class Scores(CompBench):
    def test_all_parts_and_their_files(self):
        card = self.score(*self.everything(), "--json", "--out", "out")
        scores = card["scores"]
        self.assertAlmostEqual(scores["compbench_color"], sum([0.9 * 0.8, round(0.89 * 0.79, 4), 0.88, 0.87]) / 4, places=9)
        spatial = [float(row["answer"]) for row in self.stored("out/spatial/labels/annotation_obj_detection_2d/vqa_result.json")]
        self.assertEqual(spatial[:2], [0.9, 0], "left of, and right of; below a half counts nothing")
        clip = [row["answer"] for row in self.stored("out/complex/annotation_clip/vqa_result.json")]
        vqa = [float(row["answer"]) for row in self.stored("out/complex/annotation_blip/vqa_result.json")]
        together = [row["answer"] for row in self.stored("out/complex/annotation_3_in_1/vqa_result.json")]
        boxes = [row["answer"] for row in self.stored("out/complex/labels/annotation_obj_detection_2d/vqa_result.json")]
        self.assertAlmostEqual(together[0], (boxes[0] + vqa[0]) / 2, places=12)
        self.assertAlmostEqual(together[3], (clip[3] + vqa[3]) / 2, places=12)
        self.assertAlmostEqual(scores["compbench_complex"], sum(together) / 4, places=12)
        asked = self.stored("out/color/annotation2_blip/vqa_test.json")
        self.assertEqual([row["question"] for row in asked], ["a blue dog?", "a blue dog?", "", ""])
        self.assertTrue((self.folder / "out/color/annotation8_blip/VQA/result/vqa_result.json").is_file())
        self.assertFalse((self.folder / "images/color/annotation_blip").exists())

    def test_the_table_names_published_rows_and_their_limits(self):
        output = self.score(*self.everything())
        for text in "PixArt-alpha (paper)", "0.6690", "issues 21 and 40", "never released", "The questions are of this program":
            self.assertIn(text, output)
        lines(self.folder / "spacy.jsonl", self.questions())
        self.assertNotIn("The questions are of this program", self.score(*self.everything(), "--questions", "spacy.jsonl"))

    def test_questions_replace_only_questions(self):
        asked = "compbench", "questions", "--prompts", "dataset", "--out"
        mine = self.folder / "dataset/color_val.txt"
        before = mine.read_text()
        self.assertIn("is not replaced", self.pixart(*asked, "dataset/color_val.txt", code=BAD_INPUT))
        self.assertEqual(mine.read_text(), before)
        for _ in range(2):
            self.pixart(*asked, "questions.jsonl")
        self.assertEqual([json.loads(line) for line in (self.folder / "questions.jsonl").read_text().splitlines()], self.questions())

    def test_equal_questions_are_one_protocol(self):
        asked = self.everything()
        self.score(*asked, "--out", "a")
        lines(self.folder / "own.jsonl", self.questions())
        self.score(*asked, "--out", "b", "--questions", "own.jsonl")
        self.assertIn("compbench_complex", self.pixart("score", "--compare", "a/score.json", "b/score.json"))

    def test_clip_answers_are_kept_for_one_model_and_one_image(self):
        asked = ["--category", "non_spatial", "--clip", "clip", "--out", "out", "--json"]
        tiny_clip.make_clip(self.folder / "clip")
        first = self.score(*asked)["scores"]
        ledger = self.folder / "out/answers-clip.jsonl"
        rows = ledger.read_text().splitlines()
        self.assertEqual(len(rows), 5)
        ledger.write_text("\n".join(rows[:3]) + "\n" + rows[3][:20])  # as a kill leaves it
        self.assertEqual(self.score(*asked)["scores"], first)
        self.assertEqual(sorted(ledger.read_text().splitlines()), sorted(rows))
        changed = rows[1].replace('"answer":', '"answer":1')
        ledger.write_text("\n".join([rows[0], changed, *rows[2:]]) + "\n")
        self.assertNotEqual(self.score(*asked)["scores"], first, "answers are taken from the file")
        png(self.folder / "images" / json.loads(rows[1])["image"], 99)
        self.score(*asked)
        self.assertEqual(len(ledger.read_text().splitlines()), 6, "an image with another content is asked again")
        tiny_clip.make_clip(self.folder / "clip", seed=2)
        self.assertIn("of another model", self.score(*asked, code=BAD_INPUT))


class Tagger(CompBench):
    """The pipeline of the golden cases; what spaCy finds with it is known."""
    PIPELINE = SOURCE / "tests/golden/spacy_tagger/tiny/pipeline"

    def setUp(self):
        super().setUp()
        lines_of_spacy = [json.loads(line) for line in (self.PIPELINE.parent / "cases.jsonl").read_text().splitlines()]
        is_prompt = lambda text: text.isprintable() and text == text.strip() and not set("_./") & set(text)
        known = [line for line in lines_of_spacy if is_prompt(line["text"]) and 3 < len(line["words"]) < 12]
        self.known = {line["text"]: line["without_adjectives"] for line in known}
        self.nouns = {line["text"]: [word for word, _, part, _ in line["words"] if part == "NOUN"] for line in known}
        for file in (self.folder / "images/complex/samples").glob("*"):
            file.unlink()
        self.write_prompts("complex", list(self.known))
        (self.folder / "dataset/spatial_val.txt").write_text("\n".join(self.known) + "\n")

    def test_texts_are_those_of_spacy(self):
        self.assertGreater(len(self.known), 5)
        rows = [json.loads(line) for line in self.pixart("compbench", "questions", "--prompts", "dataset", "--tagger", self.PIPELINE).splitlines()]
        self.assertEqual({row["prompt"]: row["text"] for row in rows if row["category"] == "complex"}, self.known)
        ends = {prompt: [nouns[0], nouns[-1]] if nouns else None for prompt, nouns in self.nouns.items()}
        self.assertEqual({row["prompt"]: row.get("objects") for row in rows if row["category"] == "spatial"}, ends)
        self.assertGreater(len(set(map(str, ends.values()))), 3)
        without = lambda rows: [{key: value for key, value in row.items() if key not in ("text", "objects")} for row in rows]
        self.assertEqual(without(rows), without(self.questions()))

    def test_scores_of_other_texts_do_not_compare(self):
        asked = [*self.everything(), "--category", "complex"]
        self.assertNotIn("tagger", self.score(*asked, "--out", "rules", "--json"))
        card = self.score(*asked, "--tagger", self.PIPELINE, "--out", "spacy", "--json")
        self.assertEqual((card["tagger"]["name"], card["tagger"]["version"], len(card["tagger"]["sha256"])), ("en_golden_tiny", "1.2.3", 64))
        self.assertIn("Objects of spatial and complex prompts, and the texts of complex ones, are those of en_golden_tiny 1.2.3.", card["notes"])
        self.assertIn("questions_sha256", self.pixart("score", "--compare", "rules/score.json", "spacy/score.json", code=BAD_INPUT))
        self.pixart("compbench", "questions", "--prompts", "dataset", "--tagger", self.PIPELINE, "--out", "texts.jsonl")
        self.score(*asked, "--questions", "texts.jsonl", "--out", "file")
        self.assertIn("compbench_complex", self.pixart("score", "--compare", "file/score.json", "spacy/score.json"))
        output = self.score(*asked, "--questions", "texts.jsonl", "--tagger", self.PIPELINE, code=BAD_INPUT)
        self.assertIn("texts.jsonl has objects or texts, which --tagger makes: leave one of both out", output)

    def test_wrong_pipelines(self):
        asked = ["compbench", "questions", "--prompts", "dataset", "--tagger", "pipeline"]
        self.assertIn("pipeline is not a folder", self.pixart(*asked, code=BAD_INPUT))
        shutil.copytree(self.PIPELINE, self.folder / "pipeline")
        model = self.folder / "pipeline/tok2vec/model"
        whole = model.read_bytes()
        for damaged, reason in ((whole[:5000], "cut short"), (b"", "cut short"), (whole.replace(b"extract_features>>list2ragged", b"character_embed>>list2ragged."), "its layers are character_embed")):
            model.write_bytes(damaged)
            output = self.score("--tagger", "pipeline", "--boxes", "nowhere.jsonl", code=BAD_INPUT)
            for text in "tok2vec/model", reason, "as en_core_web_sm is", "nowhere.jsonl", "--vqa":
                self.assertIn(text, output)
        model.unlink()
        self.assertIn("tok2vec/model", self.pixart(*asked, code=BAD_INPUT))


class WrongInput(CompBench):
    def test_everything_wrong_is_named_at_once(self):
        next((self.folder / "images/color/samples").glob("*_000003.png")).unlink()
        png(self.folder / "images/color/samples/a stranger.png", 1)
        (self.folder / "dataset/spatial_val.txt").unlink()
        (self.folder / "boxes.jsonl").write_text('{"image": "x.png", "objects": [{"label": 3, "score": 2, "box": [0, 0]}]}\n')
        output = self.score("--category", "color,spatial,complex", "--boxes", "boxes.jsonl", "--clip", "nowhere", code=BAD_INPUT)
        for text in ("need a BLIP-VQA model (--vqa)", "lacks 1 of 4 images: a green cup_000003.png", "a stranger.png", "spatial_val.txt", "'label' is not a text",
                     "'score' is not a number from 0 to 1", "'box' is not a list of four numbers", "nowhere is not a folder"):
            self.assertIn(text, output)

    def test_ten_images_are_expected(self):
        self.write_answers()
        output = self.pixart("compbench", "score", "images", "--prompts", "dataset", "--category", "color", "--answers", "answers.jsonl", code=BAD_INPUT)
        self.assertIn(f"2 images with another prompt ({OFFICIAL_IMAGES} of each are expected)", output)

    def test_no_prompts_and_no_images(self):
        self.assertIn("give the benchmark's folder", self.pixart("compbench", "questions", "--prompts", "images", code=BAD_INPUT))
        output = self.pixart("compbench", "score", "dataset", "--prompts", "dataset", code=BAD_INPUT)
        self.assertIn("has none of the folders color, shape", output)

    def test_damaged_files_of_rows(self):
        self.write_answers()
        deep = "[" * 2000 + "]" * 2000
        for text in ("\xff\xfe", deep, '{"image": "a", "question": "b", "answer": NaN}', '{"image": "a"}', "{" * 100):
            (self.folder / "answers.jsonl").write_text(text + "\n")
            self.score("--category", "color", "--answers", "answers.jsonl", code=BAD_INPUT)


class HostileNames(CompBench):
    def test_prompts_and_names_run_nothing(self):
        self.write_prompts("color", HOSTILE)
        for file in (self.folder / "images/color/samples").glob("a red cat*"):
            file.unlink()
        for file in (self.folder / "images/color/samples").glob("a green cup*"):
            file.unlink()
        self.write_answers(value=lambda number, place: 0.5)
        before = sorted(path.relative_to(self.folder) for path in self.folder.rglob("*"))
        self.score("--category", "color", "--answers", "answers.jsonl", "--out", "out")
        after = sorted(path.relative_to(self.folder) for path in self.folder.rglob("*") if path.relative_to(self.folder).parts[0] != "out")
        self.assertEqual(before, after)
        self.assertEqual(len(self.stored("out/color/annotation_blip/vqa_result.json")), 2 * len(HOSTILE))

    def test_prompts_that_no_file_can_be_named_after(self):
        (self.folder / "dataset/color_val.txt").write_text("../../escape/a cat\n" + "a cat " * 5000 + "\n\x1b[31m a \x07 cat\n")
        self.write_answers()
        output = self.score("--category", "color", "--answers", "answers.jsonl", code=BAD_INPUT)
        self.assertIn("lacks", output + "lacks" * ("another prompt" in output))
        self.assertNotIn("\x1b", output)
        self.assertFalse((self.folder.parent / "escape").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
