#!/usr/bin/env python3
"""Reads folders of images in the layouts of Hugging Face's imagefolder with the datasets package and with pixart.

Usage: check_folders.py PIXART [SEED]     (pip install datasets pillow; run by hand)

For each layout (metadata.jsonl or metadata.csv, flat or in folders, with splits, with folders of classes) the images and their
captions or classes must be those of `datasets`, over all splits (of classes in splits, pixart reads one). `pixart data pack` tells what pixart reads; the datasets package
must read its shards too.
"""
import csv
import io
import json
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile

import datasets
from PIL import Image

ODD = ["a, b", 'a "quoted" word', "two\nlines", "gr\u00fc\u00df \u732b", " blanks around ", "100%", "it's; all", "\\back\\slash", "12", "true"]
NUM_IMAGES = 12


def draw(rng):
    out = io.BytesIO()
    Image.frombytes("RGB", (8, 8), rng.randbytes(192)).save(out, "PNG")
    return out.getvalue()


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


PLACES = {  # where the tables are, and the images below them
    "flat": [("", "{}.png")],
    "images in a sub-folder": [("", "images/{}.png")],
    "images in many sub-folders": [("", "part{0}/x/{0}.png")],
    "split train alone": [("train", "{}.png")],
    "splits": [("train", "{}.png"), ("validation", "{}.png"), ("test", "{}.png")],
    "splits of data": [("data/train", "{}.png"), ("data/test", "{}.png")],
    "splits, images in a sub-folder": [("train", "images/{}.png"), ("test", "images/{}.png")],
    "names that are not ASCII": [("", "gr\u00fc\u00df {}.PNG")],
}
CLASSES = {  # the folders that hold the folders of classes
    "classes": [""],
    "classes, one split": ["train"],
    "classes, splits": ["train", "test"],
    "classes, splits of data": ["data/train", "data/validation"],
}
# pixart reads the classes of one split only, which datasets joins: it must name a split to give.
REFUSED, REASON = {"classes, one split", "classes, splits", "classes, splits of data"}, "look like splits, not like classes. Give one of them"
NAMES = {"words": ["cat", "dog", "red fox"], "numbers": ["0", "1", "10"]}


def tables(rng, folder, ending, column, places, more):
    for place, name in places:
        rows = []
        for i in range(NUM_IMAGES):
            file = name.format(i)
            put(folder / place / file, draw(rng))
            rows.append({"file_name": file, column: f"{place} {i} {rng.choice(ODD)}"})
            if more:
                rows[-1] |= {"id": i, "score": i / 7}
        write_table(folder / place / f"metadata{ending}", rows)


def classes(rng, folder, places, names):
    for place in places:
        for i in range(NUM_IMAGES):
            put(folder / place / names[i % len(names)] / f"{i}.png", draw(rng))


def layouts(rng):
    """(what, function that writes it to a folder)"""
    for name, places in PLACES.items():
        for ending in (".jsonl", ".csv"):
            for column in ("text", "caption", "prompt"):
                more = rng.random() < 0.5
                yield (f"{name}, {ending}, column {column}{', more columns' if more else ''}",
                       lambda folder, a=(ending, column, places, more): tables(rng, folder, *a))
    for name, places in CLASSES.items():
        for kind, names in NAMES.items():
            yield f"{name}, {kind}", lambda folder, a=(places, names): classes(rng, folder, *a)


def theirs(folder):
    found = {}
    for split in datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(folder) + "-cache").values():
        names = split.features["label"].names if "label" in split.features else None
        for row in split.cast_column("image", datasets.Image(decode=False)):
            text = next((row[column] for column in ("caption", "text", "prompt") if column in row), None)
            data = row["image"]["bytes"] or pathlib.Path(row["image"]["path"]).read_bytes()
            found[data] = names[row["label"]] if names else text
    return found




def ours(pixart, folder, out):
    done = subprocess.run([pixart, "data", "pack", folder, out], capture_output=True, text=True)
    if done.returncode != 0:
        return done.stderr.strip().splitlines()[-1]
    names, samples = (out / "classes.txt").read_text().splitlines() if (out / "classes.txt").exists() else None, {}
    for shard in sorted(out.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                key, ending = member.name.split(".", 1)
                samples.setdefault(key, {})[ending] = tar.extractfile(member).read()
    return {parts["png"]: names[int(parts["cls"])] if names else parts["txt"].decode() for parts in samples.values()}


def read_shards(out):
    """How many samples the datasets package finds in our shards."""
    shards = sorted(map(str, out.glob("*.tar")))
    return datasets.load_dataset("webdataset", data_files=shards, split="train", cache_dir=str(out) + "-cache").num_rows


def difference(want, got, shards):
    if isinstance(got, str):
        return got
    if set(want) != set(got):
        return f"{len(want)} images, pixart has {len(got)}, {len(set(want) & set(got))} of both"
    wrong = [(want[data], got[data]) for data in want if (want[data] or "").strip() != got[data].strip()]
    if wrong:
        return f"{len(wrong)} of {len(want)} differ: {wrong[0][0]!r} is {wrong[0][1]!r} in pixart"
    return None if shards == len(want) else f"datasets finds {shards} of {len(want)} samples in pixart's shards"


def main(pixart, seed):
    print("datasets", datasets.__version__)
    datasets.disable_progress_bars()
    rng, tried, refused, wrong = random.Random(seed), 0, 0, []
    with tempfile.TemporaryDirectory() as temporary:
        for what, write in layouts(rng):
            folder, out = (pathlib.Path(temporary) / f"{tried}{name}" for name in ("", "-out"))
            write(folder)
            tried += 1
            got = ours(pixart, folder, out)
            if what.rsplit(", ", 1)[0] in REFUSED:
                refused += 1
                if REASON not in str(got):
                    wrong.append(f"{what}: not refused")
                continue
            why = difference(theirs(folder), got, None if isinstance(got, str) else read_shards(out))
            if why:
                wrong.append(f"{what}: {why}")
    print(f"{tried} folders, {tried - refused - len(wrong)} equal, {refused} with classes in splits refused", *wrong, sep="\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) == 3 else 0)
