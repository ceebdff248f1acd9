"""scripts/count_step.py on a narrow model: what a micro-step launches and moves does not grow, and the host waits nowhere.

Usage: count_step_test.py SOURCE_DIR PIXART_BENCH_FAKE_GPU [TEST...]
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(sys.argv[1]).resolve() / "scripts"))
sys.dont_write_bytecode = True
import count_step  # noqa: E402

# Of 28 blocks and 32 images at 256 pixels, width 144, as counted with LibTorch 2.11. Lower them when the program needs less.
MOST_LAUNCHES = 1392
MOST_GIGABYTES = 10.69
MOST_SHAPES = 8
LARGEST_ERROR = 0.01  # of the fit; padded totals of captions are not linear in the number of images


class CountStep(unittest.TestCase):
    def test_the_fit_finds_what_is_linear(self):
        points = {(depth, batch): 3 + 5 * depth + 7 * batch + 11 * depth * batch for depth in (1, 2, 3) for batch in (2, 4, 8)}
        for found, expected in zip(count_step.fitted(points), (3, 5, 7, 11)):
            self.assertAlmostEqual(found, expected, places=6)

    def test_counts_do_not_grow(self):
        arguments = count_step.parse([sys.argv[2], "--depths", "1", "2", "--micro-batches", "2", "4", "--check", "3", "--pixels", "256",
                                      "--no-checkpointing", "--width", "144", "--heads", "2"])
        counts = count_step.counts_of(count_step.Build(arguments.program), arguments)
        step = counts["256 px"]["micro_step"]
        print(f"\n{step}\nattention: {len(counts['attention_shapes'])} shapes", flush=True)
        self.assertLess(counts["256 px"]["check"]["largest_error"], LARGEST_ERROR, counts["256 px"]["check"])
        self.assertEqual(counts["256 px"]["waits"], [], "waits of the host in a micro-step")
        self.assertLessEqual(len(counts["attention_shapes"]), MOST_SHAPES, counts["attention_shapes"])
        self.assertLessEqual(step["launches"], MOST_LAUNCHES)
        self.assertLessEqual(step["gigabytes"], MOST_GIGABYTES)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
