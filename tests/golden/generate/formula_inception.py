"""Weights of FID's Inception, images and features by formulas: what tests/support/formula_inception.h computes, bit for bit.

No file of 95 MB is needed. Each filter sums to 0, so that the features of images do not become parallel with depth, and the gain keeps
the outputs of all layers near one size.
"""
import math

import numpy as np
import torch

GAIN = 2.7


def hash64(text):
    """FNV-1a."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & (2**64 - 1)
    return value


def mixed(name, count):
    """SplitMix64 from the hash of a name."""
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(hash64(name))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def nearly_normal(name, count):
    """Sums of four 16-bit numbers: mean 0, variance 1."""
    z = mixed(name, count)
    total = sum(((z >> np.uint64(16 * i)) & np.uint64(0xFFFF)).astype(np.int64) for i in range(4))
    return (total - 131070).astype(np.float64) / 65536.0 * math.sqrt(3.0)


def weight(name, shape):
    """A tensor of the published layout, float32."""
    x = nearly_normal(name, math.prod(shape))
    if name.endswith("conv.weight"):
        rows = x.reshape(shape[0], -1)
        x = (rows - rows.mean(1, keepdims=True)) * math.sqrt(GAIN / rows.shape[1])
    elif name == "fc.weight":
        x = x * math.sqrt(2 / shape[1])
    elif name.endswith(("bn.weight", "running_var")):
        x = 1 + 0.05 * x
    else:
        x = 0.1 * x
    return torch.from_numpy(x.reshape(shape).astype(np.float32))


def state_dict(network):
    """Formula weights for a module with the published names; the counters of its batch norms as they are."""
    return {name: value if name.endswith("num_batches_tracked") else weight(name, tuple(value.shape)) for name, value in network.state_dict().items()}


def image(name, height, width):
    """uint8 [height, width, 3]: waves of another direction in each channel, and grain."""
    grain = (mixed(name, height * width * 3) & np.uint64(63)).astype(np.int64).reshape(height, width, 3)
    kind = hash64(name) % 7
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.abs((x * (3 + kind + 2 * c) + y * (9 - kind + c) + 97 * c) % 512 - 256) for c in range(3)]
    return ((np.stack(waves, -1) * 3) // 4 + grain).clip(0, 255).astype(np.uint8)


def features(name, count, size, *, gain=1.0, shift=0.0):
    """float32 [count, size], not negative, with another mean in each column."""
    mean = 0.3 + 0.2 * nearly_normal("means", size)
    return torch.from_numpy(np.maximum(0.0, gain * (mean + 0.3 * nearly_normal(name, count * size).reshape(count, size)) + shift).astype(np.float32))
