"""Host waits and kernel launches in a step: printed by place, and not more than today.

Usage: counts_test.py SOURCE_DIR PIXART_FAKE_GPU [TEST...]
"""

from tiny_run import TestCase, main

# (in a micro-step, once in a step), two blocks, CAME in the text stage. Upper bounds as measured with LibTorch 2.11: each
# wait keeps the host from running ahead of the GPU. Lower them when the program needs fewer.
WAITS = {"class": (0, 2), "text": (0, 2)}
LAUNCHES = {("class", "float32"): (379, 6), ("text", "float32"): (420, 1150),
            ("class", "bfloat16"): (494, 6), ("text", "bfloat16"): (535, 1150)}


def difference(longer, shorter, steps):
    return {key: (count - shorter.get(key, 0)) / steps for key, count in longer.items() if count > shorter.get(key, 0)}


class Counts(TestCase):
    def per_step(self, stage, precision, micro_steps):
        """Waits by place, launches and operations on the host in a step, from runs of 2 and 6 steps."""
        settings = [f"stages.{stage}.micro_batch_size={8 // micro_steps}", f"stages.{stage}.precision={precision}"]
        shorter, longer = [self.program.train(f"{stage}-{precision}-{micro_steps}-{steps}", settings, steps={stage: steps})
                           for steps in (2, 6)]
        self.assertEqual((shorter.code, longer.code), (0, 0), longer.output[-3000:])
        launches = (longer.reports[0]["launches"] - shorter.reports[0]["launches"]) / 4
        on_host = difference(longer.operations_on_host(), shorter.operations_on_host(), 4)
        return difference(longer.waits(), shorter.waits(), 4), launches, on_host

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
        for found, bound in zip((sum(waits.values()), sum(waits_once.values())), WAITS[stage]):
            self.assertLessEqual(found, bound, "waits of the host")
        for found, bound in zip((launches, launches_once), LAUNCHES[stage, precision]):
            self.assertLessEqual(found, bound, "launches")

    def test_class_conditional(self):
        self.check("class", "float32")
        self.check("class", "bfloat16")

    def test_text_conditional(self):
        self.check("text", "float32")
        self.check("text", "bfloat16")


if __name__ == "__main__":
    main()
