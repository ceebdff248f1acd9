#!/usr/bin/env python3
"""What a run reads is opened before step 1, and may move while the run goes on; its content may not change.

Usage: inputs_test.py SOURCE_DIR PIXART
"""
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

SOURCE, PIXART = pathlib.Path(sys.argv[1]), sys.argv[2]
STOPPED, BAD_INPUT = 75, 78


def png(side, seed):
    rows = b"".join(b"\0" + bytes((x * (seed + 3) + 7 * y * (c + 1)) % 251 for x in range(side) for c in range(3))
                    for y in range(side))
    chunk = lambda kind, data: (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


def pixart(*arguments, folder, code=0):
    result = subprocess.run([PIXART, *map(str, arguments)], cwd=folder, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=300)
    assert result.returncode == code, f"{arguments}: {result.returncode} in place of {code}\n{result.stdout}"
    return result.stdout


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


HEAD = """run: run
device: cpu
threads: 1
seed: 5
transformer: {patch_size: 2, hidden_size: 36, depth: 1, num_heads: 2}
"""
MODELS = """autoencoder: {path: vae}
text_encoder: {path: t5, max_tokens: 10}
"""


def make_models(folder):
    """An autoencoder and a text encoder with few weights, made by a run of their own."""
    write(folder / "made.yaml", HEAD.replace("run: run", "run: made") + """
autoencoder: {block_out_channels: [4, 4, 8], layers_per_block: 1, norm_num_groups: 2}
text_encoder: {max_tokens: 10, d_model: 32, num_layers: 1, num_heads: 2, d_ff: 32}
sources: [{name: scenes, type: scenes, count: 8}]
stages:
  - {name: first, objective: autoencoder, source: scenes, resolution: 32, steps: 1, batch_size: 4}
  - {name: text, objective: text_conditional, source: scenes, resolution: 32, steps: 1, batch_size: 4,
     samples: {num_steps: 1, prompts: [a disc]}}
""")
    pixart("train", "made.yaml", folder=folder)
    shutil.copytree(folder / "made/autoencoder", folder / "vae")
    shutil.copytree(folder / "made/text_encoder", folder / "t5")


def make_data(folder):
    for i in range(4):
        write(folder / f"classes/{'ab'[i % 2]}/{i}.png", png(40, i))
        write(folder / f"captioned/{i}.png", png(40, 10 + i))
        write(folder / f"captioned/{i}.txt", f"a disc of kind {i}")
        write(folder / f"pictured/images/{i}.png", png(40, 20 + i))
    rows = [{"path": f"{i}.png", "caption": f"a square of kind {i}"} for i in range(4)]
    write(folder / "listed/rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


THREE = HEAD + MODELS + """sources:
  - {name: classes, type: class_folder, path: classes}
  - {name: captioned, type: image_folder, path: captioned}
  - {name: listed, type: table, path: listed, images: pictured/images}
stages:
  - {name: class, objective: class_conditional, source: classes, resolution: 32, steps: 3, batch_size: 2, log_every: 1,
     samples: {num_steps: 1}}
  - {name: text, objective: text_conditional, source: captioned, resolution: 32, steps: 3, batch_size: 2, log_every: 1,
     init: {how: reparameterize, from: class}, samples: {num_steps: 1}}
  - {name: beauty, objective: text_conditional, mix: [{source: listed}, {source: captioned}], resolution: 32, steps: 3,
     batch_size: 2, log_every: 1, init: {how: copy, from: text}, samples: {num_steps: 1}}
"""
STAGES = ["class", "text", "beauty"]
PLACES = {"sources.classes.path": "classes", "sources.captioned.path": "captioned", "sources.listed.path": "listed",
          "sources.listed.images": "pictured/images", "autoencoder.path": "vae", "text_encoder.path": "t5"}


def results(run):
    found = {"events": (run / "events.jsonl").read_bytes()}
    for stage in STAGES:
        for name in ["model", "ema", "optimizer"]:
            found[f"{stage}/{name}"] = (run / f"checkpoints/{stage}/step-00000003/{name}.safetensors").read_bytes()
    return found


class Inputs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.made = pathlib.Path(cls.scratch.name) / "made"
        cls.made.mkdir()
        make_models(cls.made)
        make_data(cls.made)
        write(cls.made / "run.yaml", THREE)
        cls.finished = pathlib.Path(cls.scratch.name) / "finished"
        shutil.copytree(cls.made, cls.finished)
        pixart("train", "run.yaml", folder=cls.finished)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def copy(self, of):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.scratch.name))
        shutil.copytree(of, folder, dirs_exist_ok=True)
        return folder

    def expect(self, output, *texts):
        for text in texts:
            self.assertIn(text, output)

    def test_everything_moves_between_any_two_steps(self):
        folder = self.copy(self.made)
        settings, step = [], 0
        for move in range(9):
            step = move % 3 + 1
            pixart("train", "run.yaml", "--stop-at-step", step, *settings, folder=folder, code=STOPPED)
            new = folder / f"moved-{move}"
            new.mkdir()
            settings = []
            for key, place in PLACES.items():
                target = new / place.replace("/", "-")
                source = folder / (place if move == 0 else f"moved-{move - 1}/{place.replace('/', '-')}")
                shutil.move(source, target)
                settings += ["--set", f"{key}={target if move % 2 else target.relative_to(folder)}"]
        pixart("train", "run.yaml", *settings, folder=folder)
        expected, found = results(self.finished / "run"), results(folder / "run")
        for name, content in expected.items():
            self.assertTrue(found[name] == content, name)

    def test_other_content_is_refused_until_a_new_stage_uses_it(self):
        folder = self.copy(self.made)
        pixart("train", "run.yaml", "--stop-at-step", 2, folder=folder, code=STOPPED)
        weights = folder / "vae/diffusion_pytorch_model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        for more in [], ["--allow-change", "autoencoder.path"]:
            refused = pixart("train", "run.yaml", *more, folder=folder, code=BAD_INPUT)
            self.expect(refused, "the autoencoder is not what stage class began with", "restore it")
        shutil.copy(self.made / "vae/diffusion_pytorch_model.safetensors", weights)
        pixart("train", "run.yaml", "--stage", "class", folder=folder)
        weights.write_bytes(content)
        refused = pixart("train", "run.yaml", "--check", folder=folder, code=BAD_INPUT)
        self.expect(refused, "--allow-change autoencoder.path")
        allowed = pixart("train", "run.yaml", "--allow-change", "autoencoder.path", folder=folder)
        self.expect(allowed, "the stages that follow use it")

    def test_all_that_cannot_change_is_told_at_once(self):
        folder = self.copy(self.made)
        pixart("train", "run.yaml", "--stop-at-step", 2, folder=folder, code=STOPPED)
        shutil.copytree(folder / "vae", folder / "other")
        weights = folder / "other/diffusion_pytorch_model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        shutil.copytree(folder / "classes/a", folder / "fewer/a")
        shutil.copytree(folder / "classes/a", folder / "fewer/b")
        changes = ["seed=9", "stages.class.steps=1", "autoencoder.path=other", "sources.classes.path=fewer"]
        for more in [], ["--check"]:
            refused = pixart("train", "run.yaml", *more, *sum((["--set", change] for change in changes), []),
                             folder=folder, code=BAD_INPUT)
            self.expect(refused, "4 problems", "seed was 5, is 9", "stages.class.steps is 1, but stage class is already at step 2",
                        "the autoencoder is not what stage class began with", "source classes is not what stage class began with")
        # A source whose key changes has other content for that reason alone.
        refused = pixart("train", "run.yaml", "--set", "sources.classes.max_samples=2", folder=folder, code=BAD_INPUT)
        self.expect(refused, "sources.classes.max_samples was 0, is 2")
        self.assertNotIn("problems", refused)

    def test_a_drawn_image_that_is_missing_is_drawn_again(self):
        folder = self.copy(self.finished)
        shutil.copy(folder / "run/checkpoints/text/step-00000003/ema.safetensors", folder / "start.safetensors")
        write(folder / "drawn.yaml", HEAD.replace("run: run", "run: drawn") + MODELS + """
sources:
  - {name: captioned, type: image_folder, path: captioned}
  - {name: discs, type: image_folder, path: discs, prompt: a disc, draw: 3}
stages:
  - {name: text, objective: text_conditional, mix: [{source: captioned}, {source: discs, prior_weight: 1}], resolution: 32, steps: 3,
     batch_size: 2, init: {how: copy, from: start.safetensors}, samples: {num_steps: 1}}
""")
        pixart("train", "drawn.yaml", "--stop-at-step", 1, folder=folder, code=STOPPED)
        image = folder / "discs/drawn-00001.png"
        content = image.read_bytes()
        refused = pixart("train", "drawn.yaml", "--set", "sources.discs.draw=5", folder=folder, code=BAD_INPUT)
        self.expect(refused, "sources.discs.draw was 3, is 5", "set sources.discs.draw back")
        image.unlink()
        pixart("train", "drawn.yaml", "--check", folder=folder)
        pixart("train", "drawn.yaml", folder=folder)
        self.assertEqual(image.read_bytes(), content)

    def test_a_stage_that_cannot_copy_the_one_before_is_found(self):
        refused = pixart("train", "run.yaml", "--check", "--set", "stages.text.multi_scale=true", folder=self.copy(self.made),
                         code=BAD_INPUT)
        self.expect(refused, "stage beauty: init.from text", "nothing was begun")

    def test_stages_and_sources_are_added(self):
        folder = self.copy(self.finished)
        more = THREE.replace("stages:\n", "  - {name: more, type: image_folder, path: more}\nstages:\n") + (
            "  - {name: last, objective: text_conditional, source: more, resolution: 32, steps: 2, batch_size: 2,\n"
            "     init: {how: copy, from: beauty}, samples: {num_steps: 1}}\n")
        write(folder / "run.yaml", more)
        missing = pixart("train", "run.yaml", folder=folder, code=BAD_INPUT)
        self.expect(missing, "source more", "more does not exist")
        shutil.copytree(folder / "captioned", folder / "more")
        pixart("train", "run.yaml", folder=folder)
        self.assertTrue((folder / "run/checkpoints/last/step-00000002").is_dir())
        # What no stage has used yet may change, and what one has used may not.
        changed = more.replace("steps: 2, batch_size: 2", "steps: 2, batch_size: 4")
        write(folder / "run.yaml", changed)
        refused = pixart("train", "run.yaml", folder=folder, code=BAD_INPUT)
        self.expect(refused, "stages.last.batch_size was 2, is 4", "--allow-change stages.last.batch_size")
        write(folder / "run.yaml", THREE.replace("seed: 5", "seed: 6"))
        self.expect(pixart("train", "run.yaml", folder=folder, code=BAD_INPUT), "seed was 5, is 6", "stages.last was")

    def test_a_start_that_failed_leaves_the_run_file_free(self):
        folder = self.copy(self.made)
        wrong = ["--set", "text_encoder.path=nowhere", "--set", "seed=9"]
        refused = pixart("train", "run.yaml", *wrong, folder=folder, code=BAD_INPUT)
        self.expect(refused, "nowhere", "nothing was begun")
        self.assertFalse((folder / "run/checkpoints/class").exists())
        pixart("train", "run.yaml", "--stage", "class", "--set", "stages.class.steps=1", folder=folder)
        # The stage that follows has not begun.
        pixart("train", "run.yaml", "--check", "--set", "stages.class.steps=1", "--set", "stages.text.batch_size=4",
               "--set", "stages.beauty.optimizer.lr=0.001", folder=folder)

    def test_an_image_of_the_same_size_is_noticed(self):
        folder = self.copy(self.made)
        write(folder / "run.yaml", HEAD + """
autoencoder: {block_out_channels: [4, 4, 8], layers_per_block: 1, norm_num_groups: 2}
sources: [{name: classes, type: class_folder, path: classes}]
stages:
  - {name: first, objective: autoencoder, source: classes, resolution: 32, steps: 3, batch_size: 4}
  - {name: class, objective: class_conditional, source: classes, resolution: 32, steps: 1, batch_size: 2,
     samples: {num_steps: 1}}
""")
        pixart("train", "run.yaml", "--stop-at-step", 1, folder=folder, code=STOPPED)
        image = folder / "classes/a/0.png"
        original, other = image.read_bytes(), png(40, 77)
        self.assertEqual(len(original), len(other))
        image.write_bytes(other)
        refused = pixart("train", "run.yaml", folder=folder, code=BAD_INPUT)
        self.expect(refused, "1 images are not those that this stage has read before", "classes: a/0.png")
        image.write_bytes(original)
        pixart("train", "run.yaml", folder=folder)
        pixart("extract", "run.yaml", "--verify", folder=folder)
        image.write_bytes(other)
        refused = pixart("extract", "run.yaml", "--verify", folder=folder, code=BAD_INPUT)
        self.expect(refused, "source classes", "a/0.png")

    def test_init_from_may_move(self):
        folder = self.copy(self.finished)
        shutil.copy(folder / "run/checkpoints/text/step-00000003/ema.safetensors", folder / "start.safetensors")
        start = HEAD.replace("run: run", "run: second") + MODELS + """
sources: [{name: captioned, type: image_folder, path: captioned}]
stages:
  - {name: text, objective: text_conditional, source: captioned, resolution: 32, steps: 3, batch_size: 2,
     init: {how: copy, from: start.safetensors}, samples: {num_steps: 1}}
"""
        write(folder / "second.yaml", start)
        pixart("train", "second.yaml", "--stop-at-step", 1, folder=folder, code=STOPPED)
        shutil.move(folder / "start.safetensors", folder / "there.safetensors")
        pixart("train", "second.yaml", "--stop-at-step", 2, folder=folder, code=STOPPED)  # it is not needed any more
        moved = ["--set", "stages.text.init.from=there.safetensors"]
        shutil.copy(folder / "run/checkpoints/class/step-00000003/ema.safetensors", folder / "other.safetensors")
        other = ["--set", "stages.text.init.from=other.safetensors"]
        self.expect(pixart("train", "second.yaml", *other, folder=folder, code=BAD_INPUT),
                    "stages.text.init.from names other weights")
        pixart("train", "second.yaml", *moved, folder=folder)


class PresetOfThePaper(unittest.TestCase):
    """configs/paper/alpha.yaml on stand-ins for its data and models."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        make_models(cls.folder)
        (cls.folder / "pretrained").mkdir()
        (cls.folder / "vae").rename(cls.folder / "pretrained/sd-vae-ft-ema")
        (cls.folder / "t5").rename(cls.folder / "pretrained/t5-v1_1-xxl")
        for i in range(2):
            write(cls.folder / f"data/imagenet/train/heron/{i}.png", png(40, i))
            write(cls.folder / f"data/sam/images/sa_{i}.jpg", png(40, i))
            write(cls.folder / f"data/sam/captions/sa_{i}.txt", f"image {i}")
            for name in "journeydb", "internal":
                write(cls.folder / f"data/{name}/{i}.png", png(40, i))
        write(cls.folder / "data/sam/partition/part0.txt", "sa_0\nsa_1\n")
        for name in "journeydb", "internal":
            rows = [{"path": f"{i}.png", "prompt": f"image {i}"} for i in range(2)]
            write(cls.folder / f"data/{name}/partition/list.json", json.dumps(rows))
        shutil.copy(SOURCE / "configs/paper/alpha.yaml", cls.folder / "alpha.yaml")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def check(self, *settings, code=0, file="alpha.yaml"):
        narrow = "transformer={patch_size: 2, hidden_size: 36, depth: 1, num_heads: 2}"
        more = [part for setting in (narrow, *settings) for part in ("--set", setting)]
        return pixart("train", file, "--check", *more, folder=self.folder, code=code)

    def test_is_ready(self):
        self.assertIn("5 stages are ready to train", self.check())
        self.assertFalse((self.folder / "runs").exists())
        self.assertFalse((self.folder / "features").exists())

    def test_each_path_that_is_wrong_is_named(self):
        keys = {re.sub(r"^## `(.*)`$", r"\1", section.split("\n")[0]): section
                for section in pixart("config-reference", folder=self.folder).split("\n## ")}
        paths = set()
        for name, section in keys.items():
            prefix = "" if name.startswith("#") else name.strip("`") + "."
            paths |= {prefix + key for key in re.findall(r"^\| `(\w+)` \| path", section, re.M)}
        written = {"run", "features.path", "sources[].cache_folder"}  # made by the run
        table = "sources.internal.type=table", "sources.internal.path=data/internal/rows.jsonl"
        write(self.folder / "data/internal/rows.jsonl",
              "".join(json.dumps({"path": f"{i}.png", "caption": f"image {i}"}) + "\n" for i in range(2)))
        kind = "sources.internal.captions=[{name: long, from: made.jsonl}]"
        write(self.folder / "made.jsonl", "".join(json.dumps({"key": f"{i}.png", "caption": "x"}) + "\n" for i in range(2)))
        wrong = {"autoencoder.path": [["autoencoder.path=nowhere"]],
                 "text_encoder.path": [["text_encoder.path=nowhere"]],
                 "text_encoder.tokenizer": [["text_encoder={tokenizer: nowhere}"]],
                 "sources[].path": [[f"sources.{name}.path=nowhere"] for name in
                                    ["imagenet", "sam", "journeydb", "internal"]],
                 "sources[].images": [[*table, "sources.internal.images=nowhere"]],
                 "sources[].captions[].from": [[*table, kind.replace("made.jsonl", "nowhere")]],
                 "stages[].samples.preview_decoder": [["stages.aesthetics_1024ms.samples.preview_decoder=nowhere"]],
                 "stages[].alignment.teacher": [["stages.pixel_dependency_256.alignment={teacher: nowhere, block: 0}"]],
                 "stages[].exclude": [[f"stages.{name}.exclude=nowhere"] for name in ["pixel_dependency_256", "aesthetics_1024ms"]],
                 "sources[].scores.file": [["sources.internal.scores.file=nowhere"]]}
        # Of metrics no path is there: each is named.
        scores = "stages.pixel_dependency_256.metrics={every: 5, images: 4, scores: [fid, aesthetic], reference: missing, weights: missing, " \
                 "clip: missing, clip_tokenizer: missing, aesthetic_head: missing}"
        for key in "reference", "weights", "clip", "clip_tokenizer", "aesthetic_head":
            wrong[f"stages[].metrics.{key}"] = [[scores.replace(f"{key}: missing", f"{key}: nowhere")]]
        self.assertEqual(paths - written, set(wrong))
        self.check(*table, kind)
        for settings in sum(wrong.values(), []):
            self.assertIn("nowhere", self.check(*settings, code=BAD_INPUT), settings)
        first = "stages.pixel_dependency_256.init={how: copy, from: nowhere}"
        self.assertIn("nowhere", self.check(first, code=BAD_INPUT))

    def test_all_problems_at_once(self):
        output = self.check("autoencoder.path=pretrained/t5-v1_1-xxl", "text_encoder.path=pretrained/sd-vae-ft-ema",
                            "sources.sam.path=no-sam", "sources.internal.path=no-internal", code=BAD_INPUT)
        for text in "no-sam", "no-internal", "t5-v1_1-xxl", "sd-vae-ft-ema":
            self.assertIn(text, output)

    def test_weights_of_another_shape_are_found_without_reading_them(self):
        vae = self.folder / "narrow"
        shutil.copytree(self.folder / "pretrained/sd-vae-ft-ema", vae)
        config = json.loads((vae / "config.json").read_text())
        config["block_out_channels"][0] = 8
        write(vae / "config.json", json.dumps(config))
        self.assertIn("narrow does not fit the model", self.check("autoencoder.path=narrow", code=BAD_INPUT))
        t5 = self.folder / "no-tokens"
        shutil.copytree(self.folder / "pretrained/t5-v1_1-xxl", t5)
        (t5 / "spiece.model").unlink()
        self.assertIn("no-tokens", self.check("text_encoder.path=no-tokens", code=BAD_INPUT))

    def test_room_on_the_disk(self):
        large = ["transformer.hidden_size=9000", "transformer.depth=100", "stages.alignment_256.checkpoints.keep_last=1000000"]
        output = self.check(*large, code=BAD_INPUT)
        for text in "runs/alpha has room for", "for checkpoints", "checkpoints.keep_last":
            self.assertIn(text, output)

    def test_the_file_alone(self):
        empty = self.folder / "empty"
        empty.mkdir()
        pixart("train", self.folder / "alpha.yaml", "--check", "--file-only", folder=empty)
        pixart("train", self.folder / "alpha.yaml", "--check", folder=empty, code=BAD_INPUT)


TINY = SOURCE / "tests/golden/tiny_vae/taesd"


class TinyAutoencoder(unittest.TestCase):
    """Runs with a TAESD as trained autoencoder, and as decoder of previews."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        shutil.copytree(TINY / "files", cls.folder / "taesd")
        shutil.copytree(TINY / "vae", cls.folder / "diffusers")
        shutil.copytree(SOURCE / "tests/golden/tiny_vae/normed/files", cls.folder / "other")
        write(cls.folder / "run.yaml", HEAD + """autoencoder: {path: taesd}
sources: [{name: scenes, type: scenes, count: 8}]
stages:
  - {name: class, objective: class_conditional, source: scenes, resolution: 32, steps: 1, batch_size: 4,
     samples: {num_steps: 1, preview_decoder: taesd/tiny_decoder.safetensors}}
""")
        pixart("train", "run.yaml", folder=cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def sample(self, out, *more, code=0):
        return pixart("sample", "run", "red circle", "--steps", 1, "--out", out, *more, folder=self.folder, code=code)

    def test_previews_are_what_the_decoder_makes(self):
        self.sample("whole")
        for i, decoder in enumerate(["taesd", "diffusers", "taesd/tiny_decoder.safetensors"]):
            self.sample(f"preview{i}", "--preview-decoder", decoder)
            self.assertIn(decoder.encode(), (self.folder / f"preview{i}/0000.png").read_bytes())
        again = pixart("sample", "--from-image", "preview0/0000.png", "--out", "again", folder=self.folder)
        self.assertIn("images", again)
        pixels = pixart("inspect", "taesd", "diffusers", folder=self.folder)
        for text in "TAESD (encoder or decoder)", "AutoencoderTiny (diffusers)", "encoder blocks 1-2-2, decoder blocks 2-1-1, 4 latent":
            self.assertIn(text, pixels)

    def test_other_latents_are_refused(self):
        self.assertIn("takes latents of 6 channels at 1/4", self.sample("none", "--preview-decoder", "other", code=BAD_INPUT))
        setting = "stages.class.samples.preview_decoder=other"
        self.assertIn("latents of 6 channels", pixart("train", "run.yaml", "--check", "--set", "run=next", "--set", setting,
                                                      folder=self.folder, code=BAD_INPUT))
        pixart("train", "run.yaml", "--check", "--set", "run=next", "--set", "autoencoder.path=other", "--set",
               "stages.class.samples.preview_decoder=other", folder=self.folder)

    def test_it_is_neither_trained_nor_converted(self):
        stage = "stages=[{name: first, objective: autoencoder, source: scenes, resolution: 32, steps: 1, batch_size: 4, init: {how: copy, from: %s}}]"
        sizes = "autoencoder={block_out_channels: [8, 8, 8], norm_num_groups: 4}"
        for path in "diffusers", "taesd/tiny_encoder.pth":
            output = pixart("train", "run.yaml", "--check", "--set", "run=next", "--set", stage % path, "--set", sizes, folder=self.folder, code=BAD_INPUT)
            self.assertIn("which no stage trains", output)
        for path in "diffusers", "taesd/tiny_encoder.pth":
            self.assertIn("is a tiny autoencoder", pixart("convert", path, "out", folder=self.folder, code=BAD_INPUT))

    @unittest.skipUnless((SOURCE / "../shared/real").exists() and os.path.exists("/usr/share/tuxpaint/stamps"), "the real files are not here")
    def test_the_real_preset_is_ready(self):
        real = (SOURCE / "../shared/real").resolve()
        for tokenizer in "spiece.model", "tokenizer.json", "":
            output = pixart("train", SOURCE / "configs/real/stamps.yaml", "--check", "--set", f"autoencoder.path={real / 'taef2'}",
                            "--set", f"text_encoder.tokenizer={real / 't5_v1_1_tokenizer' / tokenizer}", folder=self.folder)
            self.assertIn("1 stages are ready to train", output)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        unittest.main(argv=[sys.argv[0], "-v"])
