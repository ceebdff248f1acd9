"""The program on the fake GPU: every stage (text has frozen parts and CAME), one to four ranks, both precisions.

Usage: product_test.py SOURCE_DIR PIXART_FAKE_GPU [TEST...]
"""

import functools
import json
import re

from tiny_run import STAGES, TestCase, main, output_of, read_safetensors

# A GPU's operations in the CPU's kernels, against the CPU's own fused ones: the last bits differ. Found: 1.2e-7.
FLOAT32 = 1e-6
# The transformer's output is nearly zero in its first steps, so that rounding it shows little. Found: 2e-6.
BFLOAT16 = 1e-4

# Values of features that are rounded to another float16 or bfloat16, because an encoder adds in another order.
ON_THE_FLY = 1e-5

# A step of the autoencoder takes as long as three of a transformer. Tests of transformers alone train the rest with one step.
STEPS = {"autoencoder": 2, "class": 4, "text": 4, "larger": 2}
TRANSFORMERS = STEPS | {"autoencoder": 1}
LAST = {"autoencoder": 1, "class": 1, "text": 1, "larger": 3}

WATCHING = [f"stages.{stage}.{setting}" for stage in STAGES
            for setting in ("validation.every=2", "validation.source=held_out", "validation.samples=5", "samples.every=3")]


def transformers(*settings):
    return [f"stages.{stage}.{setting}" for stage in STAGES[1:] for setting in settings]


FLOAT32_TYPE = 7  # ncclFloat32


def sent(result, dtype, name):
    """Bytes that a rank sends in calls of NCCL, by its rings: a sum for all ranks is one for owners, and a copy to all."""
    calls = [re.match(r"(\w+) count (\d+) type (\d+)", str(call)) for call in result.reports[0]["collectives"]]
    elements = sum(int(call[2]) for call in calls if call[1] == name and int(call[3]) == dtype)
    return 4 * elements * (len(result.reports) - 1) / len(result.reports) * (2 if name == "all_reduce" else 1)


class Product(TestCase):
    @functools.cached_property
    def on_cpu(self):
        return self.trained("cpu", WATCHING, device="cpu")

    def trained(self, run, settings=(), steps=STEPS, **more):
        result = self.program.train(run, settings, steps=steps, **more)
        self.assertEqual(result.code, 0, result.output[-3000:])
        return result

    def check_reports(self, result, ranks=1):
        self.assertEqual([report["rank"] for report in result.reports], list(range(ranks)))
        for rank, report in enumerate(result.reports):
            self.assertEqual((report["races"], report["faults"]), ({}, {}))
            self.assertEqual(report["collectives"], result.reports[0]["collectives"], "all ranks make the same calls")
            self.assertEqual(list(report["contexts"]), [str(rank)], report["contexts"])
            self.assertEqual(list(report["memory"]), [str(rank)], "kernels and their memory are on the GPU of the rank")

    def compare(self, result, expected, tolerance):
        self.assertGreater(len(result.losses), 0)
        if result.reports:
            self.assertGreater(len(result.reports[0]["operations_in_step"]), 0, "the fake GPU knows which operations a step makes")
        differences = {key: abs(loss - expected.losses[key]) / abs(expected.losses[key])
                       for key, loss in result.losses.items()}
        worst = max(differences, key=differences.get)
        print(f"{len(differences)} losses, the largest difference is {differences[worst]:.2g} in {worst}", flush=True)
        self.assertLess(differences[worst], tolerance, worst)

    def test_one_gpu_and_recomputation(self):
        result = self.trained("one", WATCHING)
        self.check_reports(result)
        self.compare(result, self.on_cpu, FLOAT32)
        self.assertEqual(set(result.losses), set(self.on_cpu.losses), "validation and every step are compared")
        self.assertEqual(result.reports[0]["collectives"], [])
        recomputed = self.trained("recomputed", WATCHING + transformers("activation_checkpointing=1"))
        self.check_reports(recomputed)
        self.compare(recomputed, self.on_cpu, FLOAT32)
        self.assertGreater(recomputed.reports[0]["launches"], result.reports[0]["launches"])

    def test_bfloat16_and_recomputation(self):
        result = self.trained("bf16", transformers("precision=bfloat16"))
        self.check_reports(result)
        self.compare(result, self.on_cpu, BFLOAT16)
        shapes = result.reports[0]["attention"]
        self.assertTrue(any("BFloat16" in shape and "likely flash" in shape for shape in shapes), shapes)
        self.assertFalse(any("cudnn" in shape for shape in shapes), shapes)
        # One image with its null condition: two rows, as in no batch of the training.
        drawn = [shape for shape in shapes if shape.startswith("query [2, ")]
        self.assertTrue(drawn and all("BFloat16" in shape for shape in drawn), shapes)
        recomputed = self.trained("bf16_recomputed", transformers("precision=bfloat16", "activation_checkpointing=1"))
        self.check_reports(recomputed)
        self.compare(recomputed, result, FLOAT32)

    def test_bfloat16_with_learning_rates_of_parts(self):
        """muP: the copy of the weights in which layers compute follows the weights, part by part."""
        settings = ["transformer.base_width=12", "transformer.base_heads=1", "stages.text.optimizer.name=adamw"]
        settings += transformers("optimizer.lr=0.01")
        expected = self.trained("parts_cpu", settings, device="cpu")
        for precision, tolerance in (("float32", FLOAT32), ("bfloat16", BFLOAT16)):
            result = self.trained(f"parts_{precision}", settings + transformers(f"precision={precision}"))
            self.check_reports(result)
            self.compare(result, expected, tolerance)

    def test_packed_captions(self):
        """Heads of a multiple of 8 channels: cross-attention reads the captions where they are packed."""
        settings = ["transformer.hidden_size=48"] + transformers("precision=bfloat16")
        expected = self.trained("packed_cpu", settings, TRANSFORMERS, device="cpu")
        result = self.trained("packed", settings, TRANSFORMERS)
        self.check_reports(result)
        self.compare(result, expected, BFLOAT16)
        shapes = result.reports[0]["attention"]
        packed = [shape for shape in shapes if " texts of " in shape]
        self.assertTrue(packed and all("BFloat16" in shape for shape in packed), shapes)
        self.assertFalse(any("masked" in shape for shape in shapes), "no block of captions is padded")
        self.assertIn("flash of 24 is used", result.output, "the forms of self-attention were timed")
        again = self.trained("packed_again", settings, TRANSFORMERS)
        self.assertIn("flash of 24 is used, which was the fastest", again.output, "the timing is kept")
        self.compare(again, result, FLOAT32)
        recomputed = self.trained("packed_recomputed", settings + transformers("activation_checkpointing=1"), TRANSFORMERS)
        self.check_reports(recomputed)
        self.compare(recomputed, result, FLOAT32)

    def test_two_ranks(self):
        result = self.trained("two", WATCHING, ranks=2)
        self.check_reports(result, ranks=2)
        self.assertGreater(len(result.reports[0]["collectives"]), 0)
        self.compare(result, self.on_cpu, FLOAT32)

    def test_two_ranks_with_shares_of_the_optimizer(self):
        result = self.trained("shares", transformers("optimizer.shard=true"), ranks=2)
        self.check_reports(result, ranks=2)
        self.compare(result, self.on_cpu, FLOAT32)
        # Each gradient is summed for its owner only.
        without = self.trained("no_shares", ranks=2)
        sums, sums_without = (sent(run, FLOAT32_TYPE, "all_reduce") for run in (result, without))
        reduced = sent(result, FLOAT32_TYPE, "reduce")
        print(f"a rank sends {sums_without:g} bytes of gradients, with shares {sums:g} for all and {reduced:g} for owners", flush=True)
        self.assertGreater(reduced, 0)
        self.assertEqual(2 * reduced, sums_without - sums, "half of what sums for all ranks take")

    def test_four_ranks(self):
        result = self.trained("four", transformers("precision=bfloat16"), ranks=4)
        self.check_reports(result, ranks=4)
        self.compare(result, self.on_cpu, BFLOAT16)

    def test_four_ranks_recompute_with_shares_of_the_optimizer(self):
        result = self.trained("four_shares", WATCHING + transformers("optimizer.shard=true", "activation_checkpointing=1"), ranks=4)
        self.check_reports(result, ranks=4)
        self.compare(result, self.on_cpu, FLOAT32)

    def test_a_gpu_that_cannot_run_our_kernels(self):
        result = self.trained("no_kernels", environment={"PIXART_FAKE_GPU_NO_KERNELS": "1"})
        self.check_reports(result)
        self.compare(result, self.on_cpu, FLOAT32)
        self.assertIn("the kernel of AdamW cannot run: invalid device function", result.output)
        self.assertIn("_fused_adamw_", result.reports[0]["kernels"])

    def run_in_parts(self, run, settings):
        """Stopped after the third step of each stage; the same command goes on."""
        arguments = [*self.program.train_arguments(run, settings, steps=STEPS), "--stop-at-step", "3"]
        codes = []
        while not codes or codes[-1] == 75:
            result = self.program.call(arguments, run)
            codes.append(result.code)
            self.assertIn(result.code, (0, 75), result.output[-3000:])
        self.assertGreater(len(codes), 2, "it was stopped in several stages")
        return result

    def weights(self, run, stage):
        newest = max((self.program.folder / run / "checkpoints" / stage).glob("step-*"))
        return {path.name: path.read_bytes() for path in newest.glob("*.safetensors")}

    def test_a_stopped_run_goes_on_with_the_same_bits(self):
        # Noise of the device, bfloat16 copies of the weights, gradients added over micro-batches, AdamW and CAME.
        settings = transformers("precision=bfloat16", "micro_batch_size=4")
        whole, parts = self.trained("whole", settings), self.run_in_parts("parts", settings)
        self.assertEqual(whole.losses, parts.losses)
        for stage in STAGES:
            expected, found = self.weights("whole", stage), self.weights("parts", stage)
            self.assertGreater(len(expected), 1)
            self.assertEqual([name for name in expected if expected[name] != found.get(name)], [], stage)

    def test_exact_numerics_draw_noise_on_the_host(self):
        settings = transformers("micro_batch_size=1")
        one = self.trained("exact", ["numerics=exact", *settings])
        two = self.trained("exact_two", ["numerics=exact", *settings], ranks=2)
        self.assertEqual(one.losses, two.losses, "the same bits on one and two ranks")
        drawn = self.trained("default_by_one", settings)
        self.compare(drawn, self.on_cpu, FLOAT32)
        for name in ("noising_kernel", "loss_kernel<Output>", "loss_gradient_kernel<Output>", "gather_gradients_kernel"):
            self.assertIn(name, drawn.reports[0]["kernels"])

    def test_fused_kernels(self):
        """Rows of a multiple of eight numbers, which our kernels take; other tests have others."""
        fused = ["transformer.hidden_size=48"]
        expected = self.trained("fused_cpu", fused, TRANSFORMERS, device="cpu")
        kernels = ("residual_norm_kernel", "residual_norm_backward_kernel", "gated_residual_kernel", "gated_residual_backward_kernel",
                   "bias_gelu_kernel", "bias_gelu_backward_kernel", "join_rows_kernel", "sum_parts_kernel")

        def check(name, tolerance, settings=(), seen=kernels, **more):
            result = self.trained(f"fused_{name}", fused + list(settings), TRANSFORMERS, **more)
            self.check_reports(result, more.get("ranks", 1))
            self.compare(result, expected, tolerance)
            found = {kernel for kernel in kernels if any(call.startswith(kernel) for call in result.reports[0]["kernels"])}
            self.assertEqual(found, set(seen))
            return result

        launches = check("float32", FLOAT32).reports[0]["launches"]
        check("bfloat16", BFLOAT16, transformers("precision=bfloat16"))
        check("recomputed", BFLOAT16, transformers("precision=bfloat16", "activation_checkpointing=1"))
        check("two", FLOAT32, ranks=2)
        plain = check("plain", FLOAT32, ["kernels=plain"], seen=())
        self.assertLess(launches, 0.9 * plain.reports[0]["launches"])
        none = check("none", FLOAT32, seen=(), environment={"PIXART_FAKE_GPU_NO_KERNELS": "1"})
        self.assertIn("the fused kernels of layers cannot run: invalid device function", none.output)

    def gradient_norms(self, run):
        events = map(json.loads, (self.program.folder / run / "events.jsonl").read_text().splitlines())
        return {(event["stage"], event["step"]): event["gradient_norm"] for event in events if "gradient_norm" in event}

    def test_gradients_of_micro_batches_are_added_by_products(self):
        settings = ["transformer.hidden_size=48"] + transformers("precision=bfloat16")
        whole = self.trained("of_whole", settings, TRANSFORMERS)
        for name, more, ranks in (("of_parts", (), 1), ("of_parts_recomputed", ("activation_checkpointing=1",), 1), ("of_parts_on_two", (), 2)):
            result = self.trained(name, settings + transformers("micro_batch_size=2", *more), TRANSFORMERS, ranks=ranks)
            self.check_reports(result, ranks)
            self.compare(result, whole, BFLOAT16)
            expected, norms = self.gradient_norms("of_whole"), self.gradient_norms(name)
            self.assertEqual(set(norms), set(expected))
            for step, norm in norms.items():
                self.assertAlmostEqual(norm / expected[step], 1, delta=0.01, msg=step)  # roundings of bfloat16
            gathered, of_whole = (run.reports[0]["kernels"]["gather_gradients_kernel"]["bytes_written"] for run in (result, whole))
            self.assertLess(gathered, 2 * of_whole, "in passes before the last of four, weights' gradients are not gathered")

    def test_lora(self):
        settings = [f"stages.larger.{setting}" for setting in ("resolution=32", "multi_scale=false", "lora.rank=2", "lora.alpha=4")]
        expected = self.trained("lora_cpu", settings, LAST, device="cpu")
        for ranks in (1, 2):
            result = self.trained(f"lora_{ranks}", settings, LAST, ranks=ranks)
            self.check_reports(result, ranks)
            self.compare(result, expected, FLOAT32)

    def test_compressed_keys(self):
        settings = [f"stages.larger.{setting}" for setting in ("micro_conditions=false", "kv_compression.sampling=conv",
                                                               "kv_compression.layers=[0, 1]")]
        expected = self.trained("compressed_cpu", settings, LAST, device="cpu")
        for precision, tolerance in (("float32", FLOAT32), ("bfloat16", BFLOAT16)):
            result = self.trained(f"compressed_{precision}", settings + transformers(f"precision={precision}"), LAST)
            self.check_reports(result)
            self.compare(result, expected, tolerance)

    def test_encoding_in_the_steps(self):
        settings = [f"stages.{stage}.encode.latents=on_the_fly" for stage in STAGES[1:]]
        settings += [f"stages.{stage}.encode.captions=on_the_fly" for stage in STAGES[2:]]
        expected = self.trained("fly_cpu", settings, device="cpu")
        for ranks in (1, 2):
            result = self.trained(f"fly_{ranks}", settings, ranks=ranks)
            self.check_reports(result, ranks)
            self.compare(result, expected, ON_THE_FLY)
        self.compare(expected, self.on_cpu, ON_THE_FLY)

    def test_sample(self):
        self.trained("drawn", steps={"autoencoder": 1, "class": 1, "text": 2, "larger": 1})
        for precision in ("float32", "bfloat16"):
            result = self.program.call(["sample", "drawn", "a red circle", "--device", "cuda", "--steps", "2",
                                        "--precision", precision], f"sample-{precision}")
            self.assertEqual(result.code, 0, result.output)
            self.check_reports(result)
            shapes = result.reports[0]["attention"]
            self.assertEqual(any("BFloat16" in shape for shape in shapes), precision == "bfloat16", shapes)

    def extract(self, run, environment):
        self.trained(run, stage="autoencoder")
        settings = ["--set", f"run={run}", "--set", "device=cuda", "--stage", "text"]
        result = self.program.call(["extract", "run.yaml", *settings], f"{run}-extract", environment)
        self.assertEqual(result.code, 0, result.output)
        return result

    def test_extract(self):
        self.check_reports(self.extract("extracted", {}))

    def extract_captions(self, run, device, dtype):
        settings = [f"run={run}", f"device={device}", "threads=1", "sources.scenes.count=400", "text_encoder.max_tokens=64",
                    f"features.caption_dtype={dtype}", "features.shard_megabytes=0.08"]
        result = self.program.call(["extract", "run.yaml", "--stage", "text", "--what", "captions"] +
                                   [part for value in settings for part in ("--set", value)], run)
        self.assertEqual(result.code, 0, result.output)
        shards = sorted((self.program.folder / run / "features" / "scenes-captions").glob("shard-*"))
        return result, [read_safetensors(shard) for shard in shards]

    def test_captions_are_those_of_the_cpu_and_padded_to_the_longest_one(self):
        for dtype, bytes_of_number in (("float32", 4), ("bfloat16", 2)):
            _, expected = self.extract_captions(f"captions-cpu-{dtype}", "cpu", dtype)
            result, found = self.extract_captions(f"captions-{dtype}", "cuda", dtype)
            self.check_reports(result)
            self.assertGreater(len(found), 1, "several shards")
            self.assertEqual([shard["length"] for shard in found], [shard["length"] for shard in expected])
            captions = sum(len(shard["length"]) for shard in found)
            longest = max(max(shard["length"]) for shard in found)
            self.assertLess(longest, 48, "no caption is nearly as long as max_tokens")
            most = captions * -(-longest // 16) * 16 * 32 * bytes_of_number  # of 64 tokens, lengths are multiples of 16
            self.assertLessEqual(result.reports[0]["copies"]["device to host"]["bytes"], most, "rounded and padded on the GPU")
            for here, there in zip(found, expected):
                for a, b in zip(here["features"], there["features"]):
                    self.assertLess(abs(a - b), 1e-5 + 2e-5 * abs(b) if dtype == "float32" else 1e-4 + abs(b) / 100)

    def test_extract_on_two_ranks(self):
        """They share the work of one set, each on its own GPU."""
        self.trained("extracted-2", stage="autoencoder")
        arguments = ["extract", "run.yaml", "--set", "run=extracted-2", "--set", "device=cuda", "--stage", "text",
                     "--set", "features.shard_megabytes=0.01"]
        processes = self.program.start_ranks(arguments, "extracted-2-both", 2)
        outputs = [output_of(process) for process in processes]
        self.assertEqual([process.returncode for process in processes], [0, 0], outputs)
        for report in self.program.reports("extracted-2-both"):
            self.assertEqual((report["races"], report["faults"]), ({}, {}))
            self.assertEqual(list(report["contexts"]), [str(report["rank"])])

    def test_extract_takes_the_gpu_of_its_local_rank(self):
        launched = {"RANK": "3", "LOCAL_RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4",
                    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
        result = self.extract("extracted-3", launched)
        self.assertEqual(list(result.reports[0]["contexts"]), ["3"])


if __name__ == "__main__":
    main()
