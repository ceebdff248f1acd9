#!/usr/bin/env python3
"""Compares decoded images with Pillow: every file of tests/golden/generate/image_kinds.py, in several sizes.

Usage: check_images.py BINARIES [SEED]     (pip install pillow numpy torch safetensors; run by hand)

    scripts/build.sh release pixart_pixels
    python3 scripts/check_images.py build/release/bin

Pixels must be those of Pillow, upright and on white; of lossy formats they may differ by a few levels, because Pillow brings
other versions of the codecs. What Pillow refuses must be refused. Where the two differ on purpose, the reason is printed.
"""
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import PIL
from PIL import features

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/golden/generate"))
import image_kinds

SIZES = [(13, 9), (37, 24), (64, 48), (150, 101)]
# Kinds that Pillow reads and we refuse, and why.
REFUSED = {"animated": "we train on still images; of a GIF the first image is taken, as many GIF files are still images",
           "other formats": "not a format of photographs on the web"}
LOSSY_MAX, LOSSY_MEAN = 3, 0.6


def describe(binaries, folder, files):
    result = subprocess.run([binaries / "pixart_pixels", "--raw", folder, *files], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def theirs_of(data):
    try:
        return image_kinds.reference(data), None
    except Exception as error:  # Pillow has no common class of errors
        return None, f"{type(error).__name__}: {error}"


def compare(kind, got, pixels, theirs, error):
    """The name of the result, and what is wrong."""
    if "error" in got:
        if theirs is None:
            return "refused by both", None
        return ("refused on purpose", None) if kind in REFUSED else ("wrong", "Pillow reads it: " + got["error"])
    if theirs is None:
        return "wrong", "only Pillow refuses it: " + error
    if kind in ("animated", "other formats"):
        return "wrong", "it was to be refused"
    if list(theirs.shape[1::-1]) != got["size"]:
        return "wrong", f"size {got['size']}, Pillow's is {list(theirs.shape[1::-1])}"
    difference = np.abs(pixels.reshape(theirs.shape).astype(int) - theirs.astype(int))
    if difference.max() == 0:
        return "equal", None
    if difference.max() <= 1:
        return "differs by 1 level", None
    if difference.max() <= LOSSY_MAX and difference.mean() <= LOSSY_MEAN:
        return f"differs by up to {LOSSY_MAX} levels", None
    return "wrong", f"differs by {difference.max()} levels, {difference.mean():.2f} on average"


def main(binaries, seed):
    print("pillow", PIL.__version__, *[f"{name} {features.version(name)}" for name in ("libjpeg_turbo", "libtiff", "webp", "avif", "zlib")])
    counts, wrong = collections.defaultdict(collections.Counter), []
    for width, height in SIZES:
        with tempfile.TemporaryDirectory() as temporary:
            folder, made = pathlib.Path(temporary), list(image_kinds.all_files(np.random.default_rng([seed, width]), width, height))
            names = [folder / image_kinds.file_name(i, kind, data) for i, (kind, _, data) in enumerate(made)]
            for path, (_, _, data) in zip(names, made):
                path.write_bytes(data)
            for i, (got, (kind, name, data)) in enumerate(zip(describe(binaries, folder, names), made)):
                pixels = None if "error" in got else np.fromfile(folder / f"{i}.rgb", np.uint8)
                result, why = compare(kind, got, pixels, *theirs_of(data))
                counts[kind][result] += 1
                if result == "wrong":
                    wrong.append(f"{kind}, {name}, {width} x {height}: {why}")
    for kind, results in counts.items():
        print(f"{kind}: {sum(results.values())} files: " + ", ".join(f"{count} {result}" for result, count in results.items()))
        if kind in REFUSED:
            print(f"  ({REFUSED[kind]})")
    print(*wrong, sep="\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) == 3 else 0)
