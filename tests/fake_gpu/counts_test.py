"""Host waits, kernel launches and attention shapes of steps and saves: printed by place, and not more than today.

Usage: counts_test.py SOURCE_DIR PIXART_FAKE_GPU [TEST...]
"""

import random
import re
import struct
import zlib

from tiny_run import STEPS, TestCase, main

# (in a micro-step, once in a step), two blocks, CAME in the text stage. Upper bounds as measured with LibTorch 2.11: each
# wait keeps the host from running ahead of the GPU. Lower them when the program needs fewer.
WAITS = {"class": (0, 1), "text": (0, 1)}
WAITS_OF_A_SAVE = 2  # one look whether all is finite, one for the copies
LAUNCHES = {("class", "float32"): (185, 1), ("text", "float32"): (228, 7),
            ("class", "bfloat16"): (222, 1), ("text", "bfloat16"): (269, 7)}
# From the host in a step of stage class: the means and log variances of 8 latents of 256 numbers, and a few integers for each
# sample. Noise would add as much again.
BYTES_OF_A_STEP = 8 * (2 * 256 * 4 + 6 * 8)
CAME_LAUNCHES = 7  # in a step, whatever the number of parameters
ATTENTION_SHAPES = 8  # of training, for one shape of images
SAMPLERS = ("dpm_solver_pp", "iddpm", "ddim", "sa_solver", "lcm", "unipc")
MAX_TOKENS = 120  # of PixArt-alpha
SIGMA_TOKENS = 300

LENGTHS_YAML = """run: lengths
seed: 3
threads: 1
device: cuda
autoencoder: {block_out_channels: [8, 8, 16], layers_per_block: 1, norm_num_groups: 4}
text_encoder: {max_tokens: %d, d_model: 16, num_layers: 1, num_heads: 2, d_ff: 16}
transformer: {patch_size: 2, hidden_size: 36, depth: 1, num_heads: 2}
sources:
  - {name: captioned, type: image_folder, path: captioned}
stages:
  - {name: autoencoder, objective: autoencoder, source: captioned, resolution: 32, steps: 1, batch_size: 8}
  - {name: text, objective: text_conditional, source: captioned, resolution: 32, steps: 200, batch_size: 2,
     samples: {num_steps: 2, prompts: [a]}}
""" % MAX_TOKENS


# The same with two shapes of images, in the official shapes of 256 pixels.
BUCKETS_YAML = (LENGTHS_YAML.replace("run: lengths", "run: buckets").replace("path: captioned", "path: shaped")
                .replace("[8, 8, 16]", "[8, 8, 8, 16]").replace("resolution: 32", "resolution: 256")
                .replace("batch_size: 2,", "batch_size: 2, aspect_buckets: true, multi_scale: true,"))


def png(height=32, width=32):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(3 * [row * 7 % 256] * width) for row in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# PixArt-Sigma: longer captions, and keys and values compressed in the second of two blocks.
SIGMA_YAML = (LENGTHS_YAML.replace("run: lengths", "run: sigma").replace("path: captioned", "path: long")
              .replace(f"max_tokens: {MAX_TOKENS}", f"max_tokens: {SIGMA_TOKENS}").replace("depth: 1", "depth: 2")
              .replace("batch_size: 2,", "batch_size: 2, multi_scale: true, micro_conditions: false,\n"
                       "     kv_compression: {sampling: conv, factor: 2, layers: [1]},"))


def make_captioned(folder, sizes=((32, 32),), longest=MAX_TOKENS):
    """Images with captions of 1, 2, 3 ... words, each of which is a token or more; their sizes take turns."""
    rng = random.Random(5)
    folder.mkdir()
    for count in range(1, longest + 1):
        (folder / f"{count:03d}.png").write_bytes(png(*sizes[count % len(sizes)]))
        words = [rng.choice("abcdefghijklmnop") for _ in range(count)]
        (folder / f"{count:03d}.txt").write_text(" ".join(words))


def difference(longer, shorter, steps):
    return {key: (count - shorter.get(key, 0)) / steps for key, count in longer.items() if count > shorter.get(key, 0)}


class Counts(TestCase):
    def per_step(self, stage, precision, micro_steps):
        """Waits by place, launches and operations on the host in a step, from runs of 2 and 4 steps. Other stages make one each."""
        others = {name: 1 for name in STEPS}
        settings = [f"stages.{stage}.micro_batch_size={8 // micro_steps}", f"stages.{stage}.precision={precision}"]
        shorter, longer = [self.program.train(f"{stage}-{precision}-{micro_steps}-{steps}", settings, steps=others | {stage: steps})
                           for steps in (2, 4)]
        self.assertEqual((shorter.code, longer.code), (0, 0), longer.output[-3000:])
        launches = (longer.reports[0]["launches"] - shorter.reports[0]["launches"]) / 2
        self.bytes_from_host = sum(sign * run.reports[0]["copies"]["host to device"]["bytes"] / 2
                                   for sign, run in ((1, longer), (-1, shorter)))
        print(f"{self.bytes_from_host:g} bytes from the host in a step")
        on_host = difference(longer.operations_on_host(), shorter.operations_on_host(), 2)
        return difference(longer.waits(), shorter.waits(), 2), launches, on_host

    def check(self, stage, precision):
        waits_of_one, launches_of_one, on_host = self.per_step(stage, precision, 1)
        waits_of_two, launches_of_two, _ = self.per_step(stage, precision, 2)
        waits = difference(waits_of_two, waits_of_one, 1)
        waits_once = difference(waits_of_one, waits, 1)
        launches = launches_of_two - launches_of_one
        launches_once = launches_of_one - launches
        print(f"\n{stage}, {precision}: {launches:g} launches in a micro-step, {launches_once:g} once in a step")
        for title, places in (("in a micro-step", waits), ("once in a step", waits_once)):
            print(f"  {sum(places.values()):g} waits of the host {title}")
            for (what, place), count in sorted(places.items()):
                print(f"    {count:g} x {what}: {place}")
        operations = ", ".join(f"{name.removeprefix('aten::')} {count:g}" for name, count in sorted(on_host.items()))
        print("  operations on the host in a step:", operations, flush=True)
        if stage == "class":
            self.assertLessEqual(self.bytes_from_host, BYTES_OF_A_STEP, "no noise goes from the host to the GPU")
        self.assertNotIn("pinned memory", on_host, "the loader's threads make what a step needs")
        for found, bound in zip((sum(waits.values()), sum(waits_once.values())), WAITS[stage]):
            self.assertLessEqual(found, bound, "waits of the host")
        for found, bound in zip((launches, launches_once), LAUNCHES[stage, precision]):
            self.assertLessEqual(found, bound, "launches")

    def test_captions_of_all_lengths_have_few_attention_shapes(self):
        make_captioned(self.program.folder / "captioned")
        (self.program.folder / "lengths.yaml").write_text(LENGTHS_YAML)
        result = self.program.call(["train", "lengths.yaml"], "lengths")
        self.assertEqual(result.code, 0, result.output[-3000:])
        # Two samples, two heads, 16 image tokens of 18 channels; sample images are of one prompt, with guidance.
        shapes = {shape: count for shape, count in result.reports[0]["attention"].items()
                  if shape.startswith("query [2, 2, 16, 18]")}
        print(f"\n{len(shapes)} shapes of attention in training:", *(f"{count} x {shape}" for shape, count in shapes.items()),
              sep="\n  ", flush=True)
        self.assertGreaterEqual(sum(shapes.values()), 400, "self-attention and cross-attention of each step")
        self.assertGreater(len(shapes), 2, "captions differ in length")
        self.assertLessEqual(len(shapes), ATTENTION_SHAPES)

    def test_packed_captions_have_few_attention_shapes(self):
        make_captioned(self.program.folder / "packed_images")
        text = LENGTHS_YAML.replace("run: lengths", "run: packed").replace("path: captioned", "path: packed_images")
        (self.program.folder / "packed.yaml").write_text(text.replace("hidden_size: 36", "hidden_size: 32")
                                                         .replace("steps: 200, batch_size: 2,", "steps: 100, batch_size: 8, precision: bfloat16,"))
        result = self.program.call(["train", "packed.yaml"], "packed")
        self.assertEqual(result.code, 0, result.output[-3000:])
        # Eight samples of 16 image tokens, two heads of 16 channels.
        shapes = {shape: count for shape, count in result.reports[0]["attention"].items()
                  if shape.startswith(("query [8, 2, 16, 16]", "query [128, 2, 16]"))}
        print(f"\n{len(shapes)} shapes of attention in training:", *(f"{count} x {shape}" for shape, count in shapes.items()),
              sep="\n  ", flush=True)
        self.assertGreater(sum(" texts of " in shape for shape in shapes), 2, "captions differ in length")
        self.assertLessEqual(len(shapes), ATTENTION_SHAPES)

    def drawn(self, run, sampler, steps):
        """Waits of the host and launches of drawing an image with guidance."""
        name = f"{run}-{sampler}-{steps}"
        result = self.program.call(["sample", run, "a red circle", "--device", "cuda", "--steps", str(steps), "--sampler", sampler,
                                    "--out", name], name)
        self.assertEqual(result.code, 0, result.output[-3000:])
        return result.waits(), result.reports[0]["launches"]

    def test_steps_of_samplers_do_not_wait(self):
        self.assertEqual(self.program.train("drawing", steps={"autoencoder": 1, "class": 1, "text": 2, "larger": 1}).code, 0)
        self.drawn("drawing", SAMPLERS[0], 2)  # keeps the features of the prompt
        for sampler in SAMPLERS:
            (waits_of_four, launches_of_four), (waits, launches) = (self.drawn("drawing", sampler, steps) for steps in (4, 8))
            print(f"\n{sampler}: {(launches - launches_of_four) / 4:g} launches in a step with guidance", flush=True)
            self.assertGreater(launches, launches_of_four)
            self.assertEqual(difference(waits, waits_of_four, 1), {}, f"{sampler}: waits of the host in its steps")

    def test_captions_of_sigma_have_few_attention_shapes(self):
        make_captioned(self.program.folder / "long", longest=SIGMA_TOKENS)
        (self.program.folder / "sigma.yaml").write_text(SIGMA_YAML)
        result = self.program.call(["train", "sigma.yaml"], "sigma")
        self.assertEqual(result.code, 0, result.output[-3000:])
        shapes = [shape for shape in result.reports[0]["attention"] if shape.startswith("query [2, 2, 16, 18]")]
        print(f"\n{len(shapes)} shapes of attention in training:", *shapes, sep="\n  ", flush=True)
        self.assertEqual(sum(" key [2, 2, 4, 18]" in shape for shape in shapes), 1, "the compressed keys of 16 tokens")
        self.assertTrue(any(f" key [2, 2, {SIGMA_TOKENS}, 18]" in shape for shape in shapes), "the longest captions")
        self.assertGreater(len(shapes), 4, "captions differ in length")
        self.assertLessEqual(len(shapes), ATTENTION_SHAPES)

    def test_each_shape_of_images_has_few_attention_shapes(self):
        make_captioned(self.program.folder / "shaped", sizes=((256, 256), (256, 512)))
        (self.program.folder / "buckets.yaml").write_text(BUCKETS_YAML)
        result = self.program.call(["train", "buckets.yaml"], "buckets")
        self.assertEqual(result.code, 0, result.output[-3000:])
        counts = {}
        for shape in result.reports[0]["attention"]:
            if query := re.match(r"query \[2, 2, \d\d\d, 18\]", shape):
                counts[query[0]] = counts.get(query[0], 0) + 1
        print(f"\nshapes of attention in training: {counts}", flush=True)
        self.assertEqual(len(counts), 2, "two shapes of images")
        for query, count in counts.items():
            self.assertGreater(count, 2, "captions differ in length")
            self.assertLessEqual(count, ATTENTION_SHAPES, query)

    def test_a_save_waits_seldom(self):
        steps = {"autoencoder": 1, "class": 4, "text": 4, "larger": 1}
        for stage in ("class", "text"):
            at_the_end = self.program.train(f"save-{stage}-once", stage=None, steps=steps)
            at_each_step = self.program.train(f"save-{stage}", [f"stages.{stage}.checkpoints.keep_every=1"], steps=steps)
            self.assertEqual((at_the_end.code, at_each_step.code), (0, 0), at_each_step.output[-3000:])
            waits = difference(at_each_step.waits(), at_the_end.waits(), 3)
            print(f"\n{stage}: {sum(waits.values()):g} waits of the host in a save")
            for (what, place), count in sorted(waits.items()):
                print(f"    {count:g} x {what}: {place}", flush=True)
            self.assertGreater(sum(waits.values()), 0, "it saved at each step")
            self.assertLessEqual(sum(waits.values()), WAITS_OF_A_SAVE)

    def test_came_has_few_launches(self):
        steps = 3
        launches = {}
        for depth in (1, 3):
            self.program.train(f"came-{depth}", [f"transformer.depth={depth}"], steps={"autoencoder": 1, "class": 1, "text": steps, "larger": 1})
            kernels = self.program.reports(f"came-{depth}")[0]["kernels"]
            launches[depth] = sum(kernel["calls"] for name, kernel in kernels.items() if name.startswith("came_"))
        self.assertEqual(launches, {1: steps * CAME_LAUNCHES, 3: steps * CAME_LAUNCHES})

    def test_class_conditional(self):
        self.check("class", "float32")
        self.check("class", "bfloat16")

    def test_text_conditional(self):
        self.check("text", "float32")
        self.check("text", "bfloat16")


if __name__ == "__main__":
    main()
