#!/usr/bin/env python3
"""Compares what pixart reads from Parquet files and MDS shards with what the packages that wrote them read.

Usage: check_layouts.py PIXART [SAMPLES] [SEED]     (pip install pyarrow datasets pillow mosaicml-streaming; run by hand)

Random images, captions, lists of captions and classes are written by pyarrow, by `datasets` (Image and ClassLabel features), as
img2dataset writes its .parquet files, and by MDSWriter. `pixart data pack` makes tar shards of each; keys, images (bytes, or
pixels where the format has no bytes), captions and classes in these must be those that the package reads back."""
import io
import json
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile

import datasets
import numpy
import pyarrow
import pyarrow.parquet
from PIL import Image


def picture(rng, kind="PNG"):
    shades = numpy.frombuffer(rng.randbytes(12 * rng.randint(3, 9)), numpy.uint8).reshape(-1, 4, 3)
    out = io.BytesIO()
    Image.fromarray(shades).save(out, kind)
    return out.getvalue()


def caption(rng):
    return " ".join(rng.choice(["a", "red", "gr\u00fcn", "\u732b", "dog", "\U0001f600", "'s", "x" * 50]) for _ in range(rng.randint(1, 30)))


def pack(pixart, path, out, *settings):
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    done = subprocess.run([pixart, "data", "pack", str(path), str(out), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    samples = {}
    for shard in sorted(out.glob("*.tar")):
        with tarfile.open(shard) as archive:
            for member in archive:
                name, ending = member.name.split(".", 1)
                samples.setdefault((shard.name, name), {})[ending] = archive.extractfile(member).read()
    by_key = {}
    for (_, name), sample in samples.items():
        fields = json.loads(sample.get("json", b"{}"))
        by_key[fields.get("source_key", name)] = sample
    return by_key


def compare(what, found, wanted, names=()):
    """`wanted`: key -> (image bytes or an Image, caption, class or None)"""
    assert set(found) == set(wanted), sorted(set(found) ^ set(wanted))[:5]
    for key, (image, text, label) in wanted.items():
        sample = found[key]
        encoded = next(sample[ending] for ending in ("png", "jpg") if ending in sample)
        if isinstance(image, bytes):
            assert encoded == image, key
        else:
            assert Image.open(io.BytesIO(encoded)).convert("RGB").tobytes() == image.convert("RGB").tobytes(), key
        assert sample["txt"].decode() == text.strip(), (key, sample["txt"], text)
        assert label is None or int(sample["cls"]) == label, key
    print(f"  {what}: {len(wanted)} samples, all equal")


def check_pyarrow(pixart, folder, samples, rng):
    for compression in ("none", "snappy", "zstd", "gzip", "brotli", "lz4"):
        where = folder / compression
        where.mkdir()
        rows = [(picture(rng), caption(rng), f"k{i:06}") for i in range(samples)]
        table = pyarrow.table({"key": [row[2] for row in rows], "jpg": [row[0] for row in rows], "caption": [row[1] for row in rows],
                               "url": ["u"] * samples, "status": ["success"] * samples})
        pyarrow.parquet.write_table(table, where / "00000.parquet", compression=compression, row_group_size=rng.randint(1, samples),
                                    data_page_size=rng.choice([100, 5000, 1 << 20]), data_page_version=rng.choice(["1.0", "2.0"]),
                                    use_dictionary=rng.random() < 0.5, write_page_checksum=rng.random() < 0.5)
        back = pyarrow.parquet.read_table(where / "00000.parquet").to_pylist()
        wanted = {row["key"]: (row["jpg"], row["caption"], None) for row in back}
        compare(f"pyarrow, {compression}", pack(pixart, where, where / "out"), wanted)


def check_datasets(pixart, folder, samples, rng):
    names = ["zebra", "ant", "cow"]
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    wanted = {}
    for part in range(2):
        file = f"data/train-{part:05}-of-00002.parquet"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        rows = [{"image": {"bytes": picture(rng), "path": "same.png"}, "text": caption(rng), "label": rng.randrange(3)} for _ in range(samples)]
        datasets.Dataset.from_list(rows, features=features).to_parquet(folder / file, batch_size=rng.randint(1, samples))
        read = datasets.Dataset.from_parquet(str(folder / file), cache_dir=str(folder / "cache")).cast_column("image", datasets.Image(decode=False))
        for i, row in enumerate(read):
            wanted[f"{file}#{i}"] = (row["image"]["bytes"], row["text"], row["label"])
    compare("datasets", pack(pixart, folder / "data", folder / "out", "label_column=label"),
            {key.removeprefix("data/"): value for key, value in wanted.items()})


def check_mds(pixart, folder, samples, rng):
    from streaming import MDSWriter
    from streaming.base.format.mds.reader import MDSReader
    for encoding in ("png", "pil", "bytes"):
        where = folder / encoding
        with MDSWriter(out=str(where), columns={"image": encoding, "caption": "str", "label": "uint16"}, size_limit=rng.choice([3000, 1 << 26]),
                       hashes=["sha1"]) as writer:
            for _ in range(samples):
                image = picture(rng)
                writer.write({"image": image if encoding == "bytes" else Image.open(io.BytesIO(image)), "caption": caption(rng),
                              "label": numpy.uint16(rng.randrange(3))})
        wanted = {}
        for shard in json.loads((where / "index.json").read_text())["shards"]:
            reader = MDSReader.from_json(str(where), "", shard)
            for i in range(shard["samples"]):
                row = reader[i]
                wanted[f"{shard['raw_data']['basename']}#{i}"] = (row["image"], row["caption"], int(row["label"]))
        compare(f"mosaicml-streaming, {encoding}", pack(pixart, where, where / "out", "label_column=label"), wanted)


def main():
    if len(sys.argv) not in (2, 3, 4) or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    pixart = pathlib.Path(sys.argv[1]).resolve()
    samples, seed = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((2, 200), (3, 0)))
    with tempfile.TemporaryDirectory() as temporary:
        for check in (check_pyarrow, check_datasets, check_mds):
            folder = pathlib.Path(temporary) / check.__name__
            folder.mkdir()
            check(pixart, folder, samples, random.Random(seed))


if __name__ == "__main__":
    main()
