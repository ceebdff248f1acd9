#!/usr/bin/env python3
"""Compares what pixart reads from the output of img2dataset with that output, read by Python.

Usage: check_img2dataset.py PIXART [SAMPLES] [SEED]     (pip install img2dataset; run by hand)

Random images are served by an HTTP server of this script, some of them missing or damaged, and img2dataset downloads them into
tar shards with a .parquet file next to each. `pixart data pack` makes shards of (1) these shards with the captions in their .txt
members, (2) the same shards with captions that are joined from two columns of the .parquet files by key, one of them lists, (3)
img2dataset's form with images in the rows of .parquet files. Keys, bytes of images and captions must be those of the files."""
import http.server
import io
import json
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile
import threading

import numpy
import pyarrow
import pyarrow.parquet
from PIL import Image

WORDS = ["a", "red", "gr\u00fcn", "\u732b", "dog", "\U0001f600", "'s", "x" * 50]


def random_image(rng):
    shades = numpy.frombuffer(rng.randbytes(12 * rng.randint(3, 9)), numpy.uint8).reshape(-1, 4, 3)
    out = io.BytesIO()
    Image.fromarray(shades).save(out, "PNG")
    return out.getvalue()


def caption(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 30)))


def served(images):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = images.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def download(folder, rows, port, output_format):
    table = pyarrow.table({"url": [f"http://127.0.0.1:{port}{row['path']}" for row in rows], "text": [row["text"] for row in rows],
                           "alt": [row["alt"] for row in rows], "many": pyarrow.array([row["many"] for row in rows], pyarrow.list_(pyarrow.string()))})
    urls = folder / f"{output_format}.urls.parquet"
    pyarrow.parquet.write_table(table, urls)
    out = folder / output_format
    code = (f"from img2dataset import download; download(url_list={str(urls)!r}, input_format='parquet', url_col='url', caption_col='text', "
            f"save_additional_columns=['alt', 'many'], output_folder={str(out)!r}, output_format={output_format!r}, processes_count=1, "
            f"thread_count=8, resize_mode='no', encode_format='png', encode_quality=4, number_sample_per_shard=40, oom_shard_count=4, "
            f"disallowed_header_directives=[], enable_wandb=False, retries=0)")
    done = subprocess.run([sys.executable, "-c", f"if __name__ == '__main__':\n {code}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


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
    return {json.loads(sample.get("json", b"{}")).get("source_key", name): sample for (_, name), sample in samples.items()}


def rows_of(folder):
    return [row for file in sorted(folder.glob("*.parquet")) for row in pyarrow.parquet.read_table(file).to_pylist() if row["status"] == "success"]


def members_of(folder):
    members = {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as archive:
            for member in archive:
                key, ending = member.name.split(".", 1)
                members.setdefault(key, {})[ending] = archive.extractfile(member).read()
    return members


def listed(value):
    """img2dataset writes lists as JSON."""
    return json.loads(value) if isinstance(value, str) else value


def compare(what, found, wanted):
    """`wanted`: key -> (bytes of the image, caption or {kind: caption or captions})"""
    assert set(found) == set(wanted), sorted(set(found) ^ set(wanted))[:5]
    for key, (image, text) in wanted.items():
        sample = found[key]
        assert next(sample[ending] for ending in ("png", "jpg") if ending in sample) == image, key
        if isinstance(text, str):
            assert sample["txt"].decode() == text.strip(), (key, sample["txt"], text)
        else:
            fields = json.loads(sample["json"])
            for kind, captions in text.items():
                assert fields[kind] == captions or fields[kind] == [captions] or [fields[kind]] == captions, (key, kind, fields.get(kind), captions)
    print(f"  {what}: {len(wanted)} samples, all equal")


def main():
    if len(sys.argv) not in (2, 3, 4) or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    pixart = pathlib.Path(sys.argv[1]).resolve()
    samples, seed = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((2, 200), (3, 0)))
    rng = random.Random(seed)
    rows = [{"path": f"/{i}.png", "text": caption(rng), "alt": caption(rng), "many": [caption(rng) for _ in range(rng.randint(1, 3))]} for i in range(samples)]
    images = {row["path"]: random_image(rng) for row in rows if rng.random() > 0.1}
    for path in rng.sample(sorted(images), samples // 20):
        images[path] = images[path][:20]
    server = served(images)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        shards = download(folder, rows, server.server_port, "webdataset")
        members = members_of(shards)
        wanted = {key: (sample["png"], sample["txt"].decode()) for key, sample in members.items()}
        compare("webdataset, its .txt", pack(pixart, shards, folder / "txt", "type=webdataset"), wanted)
        joined = {row["key"]: (members[row["key"]]["png"], {"alt": row["alt"].strip(), "several": [text.strip() for text in listed(row["many"])]})
                  for row in rows_of(shards)}
        kinds = f"captions=[{{name: alt, column: alt, from: {shards}}}, {{name: several, column: many, from: \"{shards}/*.parquet\"}}]"
        compare("webdataset, columns of its .parquet", pack(pixart, shards, folder / "joined", "type=webdataset", kinds), joined)
        inside = download(folder, rows, server.server_port, "parquet")
        wanted = {row["key"]: (row["png"], row["caption"]) for row in rows_of(inside)}
        compare("parquet", pack(pixart, inside, folder / "inside", "type=parquet", "missing_caption=skip", "missing_caption_share=1", "quarantine_budget=1"), wanted)


if __name__ == "__main__":
    main()
