#!/usr/bin/env python3
"""Reads shards of `pixart data pack` with the webdataset package, and shards of that package with pixart.

Usage: check_webdataset.py PIXART [SAMPLES]     (pip install webdataset; run by hand)

A folder of images with captions, some with names that webdataset would split in another way, and a folder of
classes are packed and read back by webdataset: keys, bytes, captions and classes must be equal.
Then webdataset's own ShardWriter writes shards, pixart packs them again, and webdataset reads the result."""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

import webdataset


def png(shade):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes([shade % 256, shade // 256 % 256, 7]) * 8
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(row * 8)) + chunk(b"IEND", b""))


def pack(pixart, *arguments):
    done = subprocess.run([pixart, "data", "pack", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0]


def read(folder):
    """Samples by the key that they had before they were packed."""
    found = {}
    shards = sorted(map(str, pathlib.Path(folder).glob("*.tar")))
    for sample in webdataset.WebDataset(shards, shardshuffle=False, empty_check=False):
        fields = json.loads(sample["json"]) if "json" in sample else {}
        key = fields.get("source_key", sample["__key__"])
        assert key not in found, key
        found[key] = {name: value for name, value in sample.items() if not name.startswith("__")}
    return len(shards), found


def check_folder(pixart, folder, samples):
    names = [f"{i:05}.png" for i in range(samples)]
    names += ["a.b.png", "a.png", "deep/v1.2/x%.png", "deep/gr\u00fc\u00df \u732b.png", "n" * 120 + ".png"]
    for shade, name in enumerate(names):
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(shade))
        path.with_suffix(".txt").write_text(f"caption {shade}, \u732b", encoding="utf-8")
    print(pack(pixart, folder / "in", folder / "out", "--shard-samples", 100))
    shards, found = read(folder / "out")
    assert set(found) == set(names), set(found) ^ set(names)
    for shade, name in enumerate(names):
        assert found[name]["png"] == png(shade), name
        assert found[name]["txt"].decode() == f"caption {shade}, \u732b", name
    print(f"  webdataset {webdataset.__version__} reads {len(found)} samples of {shards} shards, all equal")


def check_classes(pixart, folder, samples):
    for i in range(samples):
        path = folder / "in" / ("cat", "dog", "red_fox")[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))
    print(pack(pixart, folder / "in", folder / "out", "--type", "class_folder"))
    names = (folder / "out" / "classes.txt").read_text().splitlines()
    _, found = read(folder / "out")
    assert len(found) == samples
    for key, sample in found.items():
        assert names[int(sample["cls"])] == key.split("/")[0], key
    print(f"  {samples} classes, all equal")


def check_theirs(pixart, folder, samples):
    folder.mkdir()
    with webdataset.ShardWriter(str(folder / "theirs-%06d.tar"), maxcount=64, verbose=0) as writer:
        for i in range(samples):
            writer.write({"__key__": f"part{i % 2}/{i:06}", "png": png(i), "txt": f"caption {i}", "cls": i % 10})
    pattern = folder / f"theirs-{{000000..{(samples - 1) // 64:06}}}.tar"
    print(pack(pixart, pattern, folder / "out", "--type", "webdataset"))
    _, ours = read(folder / "out")
    _, theirs = read(folder)
    assert len(ours) == samples and ours == theirs
    print(f"  {samples} samples of webdataset's own shards, all equal")


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    pixart, samples = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) == 3 else 1000
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        check_folder(pixart, folder / "folder", samples)
        check_classes(pixart, folder / "classes", samples)
        check_theirs(pixart, folder / "theirs", samples)


if __name__ == "__main__":
    main()
