"""The program on the fake GPU: every stage, one to four ranks, both precisions.

Usage: product_test.py SOURCE_DIR PIXART_FAKE_GPU [TEST...]
"""

import functools

from tiny_run import STAGES, TestCase, main

# A GPU's operations in the CPU's kernels, against the CPU's own fused ones: the last bits differ. Found: 1.2e-7.
FLOAT32 = 1e-6
# The transformer's output is nearly zero in its first steps, so that rounding it shows little. Found: 2e-6.
BFLOAT16 = 1e-4

WATCHING = [f"stages.{stage}.{setting}" for stage in STAGES
            for setting in ("validation.every=2", "validation.source=held_out", "validation.samples=5", "samples.every=3")]


def transformers(*settings):
    return [f"stages.{stage}.{setting}" for stage in STAGES[1:] for setting in settings]


class Product(TestCase):
    @functools.cached_property
    def on_cpu(self):
        return self.trained("cpu", WATCHING, device="cpu")

    def trained(self, run, settings=(), **more):
        result = self.program.train(run, settings, **more)
        self.assertEqual(result.code, 0, result.output[-3000:])
        return result

    def check_reports(self, result, ranks=1):
        self.assertEqual([report["rank"] for report in result.reports], list(range(ranks)))
        for rank, report in enumerate(result.reports):
            self.assertEqual((report["races"], report["faults"]), ({}, {}))
            self.assertEqual(report["collectives"], result.reports[0]["collectives"], "all ranks make the same calls")
            self.assertEqual(list(report["contexts"]), [str(rank)], report["contexts"])

    def compare(self, result, expected, tolerance):
        self.assertGreater(len(result.losses), 0)
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

    def test_two_ranks(self):
        result = self.trained("two", WATCHING, ranks=2)
        self.check_reports(result, ranks=2)
        self.assertGreater(len(result.reports[0]["collectives"]), 0)
        self.compare(result, self.on_cpu, FLOAT32)

    def test_two_ranks_with_shares_of_the_optimizer(self):
        result = self.trained("shares", transformers("optimizer.shard=true"), ranks=2)
        self.check_reports(result, ranks=2)
        self.compare(result, self.on_cpu, FLOAT32)

    def test_four_ranks(self):
        result = self.trained("four", transformers("precision=bfloat16"), ranks=4)
        self.check_reports(result, ranks=4)
        self.compare(result, self.on_cpu, BFLOAT16)

    def test_a_gpu_that_cannot_run_our_kernels(self):
        result = self.trained("no_kernels", environment={"PIXART_FAKE_GPU_NO_KERNELS": "1"})
        self.check_reports(result)
        self.compare(result, self.on_cpu, FLOAT32)
        self.assertIn("the kernel of AdamW cannot run: invalid device function", result.output)
        self.assertIn("_fused_adamw_", result.reports[0]["kernels"])

    def test_lora(self):
        settings = [f"stages.larger.{setting}" for setting in ("resolution=32", "multi_scale=false", "lora.rank=2", "lora.alpha=4")]
        result = self.trained("lora", settings)
        self.check_reports(result)
        self.compare(result, self.trained("lora_cpu", settings, device="cpu"), FLOAT32)

    def test_sample(self):
        self.trained("drawn", steps={"text": 2, "larger": 1})
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

    def test_extract_takes_the_gpu_of_its_local_rank(self):
        launched = {"RANK": "3", "LOCAL_RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4",
                    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
        result = self.extract("extracted-3", launched)
        self.assertEqual(list(result.reports[0]["contexts"]), ["3"])


if __name__ == "__main__":
    main()
