"""Counts what a micro-step of PixArt-XL/2 does on the GPU, without one: the fake GPU (tests/fake_gpu) runs `pixart_bench step`.

No machine of today holds 28 blocks and 32 images on the fake GPU. So depths 1, 2 and 3 are counted with micro-batches of 2, 4 and
8 images at the width of XL/2, and counts (launches and bytes of each kernel, waits of the host) are fitted as a + b depth + c images +
d depth images. One more depth is counted, to see how wrong the fit is. A count is that of the second of two micro-steps: a step of two
less a step of one. Bytes are those that kernels read and write; the optimizer's are not of a micro-step.

  count_step.py PIXART_BENCH_FAKE_GPU                  prints JSON, in minutes to an hour
  count_step.py ... --against OTHER_PIXART_BENCH       the same of another build, and the ratios

Another build needs no fake GPU of its own: this one's libraries take the place of CUDA's (--libraries). Options of `step` that it does
not know (--captions, --loader) are left out for both, and the JSON says so. A build from before the fake GPU needs the AdamW kernel of
tests/fake_gpu linked in, and a file /dev/nvidiactl.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

WIDTH, HEADS, CAPTION_TOKENS, CAPTION_WIDTH = 1152, 16, 120, 4096  # of PixArt-XL/2
CAPTIONS = "60-104"  # tokens
DEPTH, MICRO_BATCH = 28, 32  # of the result
LATENTS = {"256": 32, "512": 64}  # side by pixels
MEMORY = 24 << 30  # bytes of the fake GPU
SECONDS = 3600  # of one run, at most
COUNTS = ("launches", "gigabytes", "waits")


def rank_report(folder):
    """The counts of the process that used the GPU."""
    reports = [json.loads(path.read_text()) for path in sorted(folder.glob("report.*.json"))]
    return max(reports, key=lambda report: report["launches"])


def totals(report):
    """{(what, name): number} of one run."""
    result = collections.Counter({("waits", wait["what"] + " " + wait["place"]): wait["count"] for wait in report["waits"]})
    for name, kernel in report["kernels"].items():
        result["launches", name] += kernel["calls"]
        result["gigabytes", name] += (kernel["bytes_read"] + kernel["bytes_written"]) / 1e9
    return result


def sums(counts):
    """What the numbers of all kernels and waits add up to."""
    return {what: sum(number for (kind, _), number in counts.items() if kind == what) for what in COUNTS}


class Build:
    """A pixart_bench on the fake GPU."""

    def __init__(self, program, libraries=None, leave_out=()):
        self.program, self.libraries, self.leave_out = pathlib.Path(program).resolve(), libraries, set(leave_out)
        self.cache = tempfile.TemporaryDirectory()  # what the program times is timed once, in warm_up()
        known = subprocess.run([self.program, "step", "--help"], env=self.environment(), capture_output=True, text=True, check=True).stdout
        self.options = set(re.findall(r"--[a-z-]+", known))

    def environment(self, folder=None):
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PIXART_FAKE_GPU")}
        if self.libraries:
            variables["LD_LIBRARY_PATH"] = str(self.libraries)
        if folder:
            variables |= {"PIXART_FAKE_GPU_REPORT": str(folder / "report"), "PIXART_FAKE_GPU_BYTES": str(MEMORY),
                          "PIXART_FAKE_GPU_RACES": "0", "PIXART_DRIVER_FILE": "/dev/null", "XDG_CACHE_HOME": self.cache.name}
        return variables

    def run(self, options):
        """The report of a run of `step`."""
        with tempfile.TemporaryDirectory() as name:
            command = [self.program, "step", "--device", "cuda", "--precision", "bf16", "--warmup-steps", "0"]
            for option, value in options.items():
                if option not in self.leave_out:
                    command += [option] if value is True else [option, str(value)]
            if "--dir" in self.options and "--loader" not in self.leave_out:
                command += ["--dir", name]
            done = subprocess.run(command, env=self.environment(pathlib.Path(name)), capture_output=True, text=True, timeout=SECONDS,
                                  cwd=name)
            if done.returncode != 0:
                raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}"[-3000:])
            return rank_report(pathlib.Path(name))

    def run_micro_steps(self, model, micro_batch, number):
        return self.run(model | {"--micro-batch-size": micro_batch, "--samples": 2 * micro_batch, "--steps": 1,
                                 "--batch-size": number * micro_batch})

    def warm_up(self, model):
        self.run_micro_steps(model | {"--depth": 1}, 1, 1)

    def micro_step(self, model, micro_batch):
        """Counts of one micro-step by kernel, and its shapes of attention."""
        one, two = (self.run_micro_steps(model, micro_batch, number) for number in (1, 2))
        counts = totals(two)
        counts.subtract(totals(one))
        return {key: number for key, number in counts.items() if number != 0}, two["attention"]


def solved(matrix, values):
    """x of matrix x = values, by elimination."""
    rows = [row[:] + [value] for row, value in zip(matrix, values)]
    size = len(rows)
    for i in range(size):
        pivot = max(range(i, size), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [number / rows[i][i] for number in rows[i]]
        for r in range(size):
            if r != i:
                rows[r] = [a - rows[r][i] * b for a, b in zip(rows[r], rows[i])]
    return [row[-1] for row in rows]


def terms(depth, micro_batch):
    return [1, depth, micro_batch, depth * micro_batch]


def fitted(points):
    """Least squares of {(depth, micro_batch): number}: coefficients of terms()."""
    rows = [terms(*point) for point in points]
    matrix = [[sum(row[i] * row[j] for row in rows) for j in range(4)] for i in range(4)]
    return solved(matrix, [sum(row[i] * number for row, number in zip(rows, points.values())) for i in range(4)])


def value_at(coefficients, depth, micro_batch):
    return sum(a * b for a, b in zip(coefficients, terms(depth, micro_batch)))


def predicted(measured, depth, micro_batch):
    """Counts by kernel at another size."""
    keys = set().union(*measured.values())
    return {key: value_at(fitted({point: counts.get(key, 0) for point, counts in measured.items()}), depth, micro_batch) for key in keys}


def largest(counts, number=12):
    """The kernels that move most bytes."""
    names = sorted((name for what, name in counts if what == "gigabytes"), key=lambda name: -counts["gigabytes", name])
    return {name: {"launches": round(counts.get(("launches", name), 0)), "gigabytes": round(counts["gigabytes", name], 3)}
            for name in names[:number]}


def rounded(numbers):
    return {what: round(number, 3) for what, number in numbers.items()}


def model_options(arguments, pixels, checkpointing):
    return {"--hidden-size": arguments.width, "--num-heads": arguments.heads, "--latent-size": LATENTS[pixels],
            "--caption-tokens": CAPTION_TOKENS, "--caption-width": CAPTION_WIDTH, "--captions": CAPTIONS, "--loader": True,
            "--activation-checkpointing": int(checkpointing)}


def counted(build, arguments, pixels, checkpointing):
    model = model_options(arguments, pixels, checkpointing)
    measured, shapes = {}, {}
    build.warm_up(model)
    for depth in arguments.depths:
        for micro_batch in arguments.micro_batches:
            point = (depth, micro_batch)
            measured[point], shapes[point] = build.micro_step(model | {"--depth": depth}, micro_batch)
            print(f"{build.program.name}, {pixels} pixels, checkpointing {int(checkpointing)}, depth {depth}, "
                  f"{micro_batch} images: {rounded(sums(measured[point]))}", file=sys.stderr, flush=True)
    result = {"measured": [{"depth": depth, "micro_batch": micro_batch} | rounded(sums(counts))
                           | {"attention_shapes": len(shapes[depth, micro_batch])}
                           for (depth, micro_batch), counts in measured.items()]}
    if arguments.check:
        micro_batch = arguments.micro_batches[-1]
        found = sums(build.micro_step(model | {"--depth": arguments.check}, micro_batch)[0])
        fit = sums(predicted(measured, arguments.check, micro_batch))
        result["check"] = {"depth": arguments.check, "micro_batch": micro_batch, "counted": rounded(found), "fitted": rounded(fit),
                           "largest_error": max(abs(fit[what] - found[what]) / max(found[what], 1e-9) for what in ("launches", "gigabytes"))}
    at = predicted(measured, DEPTH, MICRO_BATCH)
    result["micro_step"] = {"depth": DEPTH, "micro_batch": MICRO_BATCH} | rounded(sums(at)) | {"kernels": largest(at)}
    result["waits"] = sorted({name for counts in measured.values() for what, name in counts if what == "waits"})
    return result


def attention_shapes(build):
    """Of a small model, with captions of all lengths: what graphs, plans and caches of kernels are made for."""
    model = {"--hidden-size": 144, "--num-heads": 2, "--depth": 1, "--latent-size": 8, "--caption-tokens": CAPTION_TOKENS,
             "--caption-width": 64, "--captions": f"1-{CAPTION_TOKENS}", "--loader": True}
    build.warm_up(model)
    report = build.run(model | {"--samples": 256, "--batch-size": 2, "--micro-batch-size": 2, "--steps": 100})
    return sorted(report["attention"])


def variants_of(arguments):
    return {f"{pixels} px{', activation checkpointing' if checkpointing else ''}": (pixels, checkpointing)
            for pixels in arguments.pixels for checkpointing in ([False, True] if arguments.checkpointing else [False])}


def counts_of(build, arguments):
    result = {name: counted(build, arguments, *variant) for name, variant in variants_of(arguments).items()}
    if "--captions" not in build.leave_out:
        result["attention_shapes"] = attention_shapes(build)
    return result


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path, help="pixart_bench_fake_gpu")
    parser.add_argument("--against", type=pathlib.Path, help="pixart_bench of another build")
    parser.add_argument("--libraries", type=pathlib.Path, help="folder of the fake libtorch_cuda.so, for --against")
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--micro-batches", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--check", type=int, default=4, help="depth at which the fit is checked; 0: it is not")
    parser.add_argument("--pixels", choices=list(LATENTS), nargs="+", default=["256", "512"])
    parser.add_argument("--no-checkpointing", dest="checkpointing", action="store_false", help="count only without")
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--heads", type=int, default=HEADS)
    return parser.parse_args(argv)


def main():
    arguments = parse()
    build = Build(arguments.program)
    other = Build(arguments.against, arguments.libraries) if arguments.against else None
    wanted = {"--captions", "--loader", "--samples"}
    left_out = wanted - (other.options if other else build.options)
    for one in (build, other):
        if one:
            one.leave_out = left_out
    result = {"width": arguments.width, "num_heads": arguments.heads, "precision": "bf16", "left_out": sorted(left_out),
              "captions": CAPTIONS if "--captions" not in left_out else str(CAPTION_TOKENS), "counts": counts_of(build, arguments)}
    if other:
        result["against"] = counts_of(other, arguments)
        result["ratio"] = {name: {what: round(result["counts"][name]["micro_step"][what] / result["against"][name]["micro_step"][what], 4)
                                  for what in ("launches", "gigabytes")} for name in variants_of(arguments)}
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
