#!/usr/bin/env python3
"""The rival of `pixart_bench features`, which runs it: reads features in the official layout as the official loader does.

Usage: bench_features.py FOLDER SAMPLES MICRO_BATCH

Writes SAMPLES captions (compressed .npz: caption_feature [1, 120, 4096] float32 from bfloat16, with those of padding, and
attention_mask) and latents (.npy, [8, 32, 32] float32) into FOLDER, then answers each line of its standard
input with {"samples_per_second": ..., "versions": ...}: all samples once, in a random order, stacked into
micro-batches. One thread; needs numpy only.
"""
import json
import pathlib
import random
import sys
import time

import numpy

TOKENS, LEAST_TOKENS, CHANNELS = 120, 60, 4096


def write(folder, samples):
    folder.mkdir(parents=True, exist_ok=True)
    generator = numpy.random.default_rng(0)
    pool = generator.standard_normal((2 * TOKENS, CHANNELS), numpy.float32)
    pool = (pool.view(numpy.uint32) & 0xFFFF0000).view(numpy.float32)  # what bfloat16 can hold
    for i in range(samples):
        length = int(generator.integers(LEAST_TOKENS, TOKENS + 1))
        feature = pool[i % TOKENS:i % TOKENS + TOKENS]
        mask = (numpy.arange(TOKENS) < length).astype(numpy.int64)
        numpy.savez_compressed(folder / f"{i}.npz", caption_feature=feature[None], attention_mask=mask[None])
        numpy.save(folder / f"{i}.npy", generator.standard_normal((8, 32, 32), numpy.float32))


def read(folder, i):
    latent = numpy.load(folder / f"{i}.npy")
    with numpy.load(folder / f"{i}.npz") as caption:
        return latent, caption["caption_feature"], caption["attention_mask"]


def main(folder, samples, micro_batch):
    write(folder, samples)
    for line in sys.stdin:
        order = random.Random(line).sample(range(samples), samples)
        start = time.perf_counter()
        for first in range(0, samples, micro_batch):
            several = [read(folder, i) for i in order[first:first + micro_batch]]
            batch = [numpy.stack(kind) for kind in zip(*several)]
        rate = samples / (time.perf_counter() - start)
        assert batch[1].shape[1:] == (1, TOKENS, CHANNELS)
        versions = {"python": sys.version.split()[0], "numpy": numpy.__version__}
        print(json.dumps({"samples_per_second": rate, "versions": versions}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
