#!/usr/bin/env python3
"""Feeds mutated samples to `pixart data check`, `pixart extract` and one epoch of `pixart train`.

From a seed it makes folders of images with captions, tables (JSONL and CSV), tar shards and the official JSON lists,
in which most images, captions, rows and archives are mutated (tests/support/mutated_samples.py). Checked are:
  - all commands end with exit code 0 (quarantine_budget: 1) and within their time and memory;
  - in every ledger accepted + rejected = listed, one line for each rejected row, with a known reason;
  - where Pillow is installed: no image is rejected that Pillow reads, and no row of a table or list, and no member of
    a tar file, that Python's json, csv and tarfile read. Some of these rejections are meant with damaged_images: reject, see
    the table CHOICES; with `--damaged-images read` nearly none is.

    scripts/fuzz_samples.py --pixart build/release/bin/pixart --number 1000 --seed 1
    scripts/fuzz_samples.py --pixart build/release/bin/pixart --number 1000 --seed 1 --damaged-images read

Without --models the run trains an autoencoder of its own and takes the random text encoder. The samples of a run with
findings are kept; the same seed and number make them again. Exit codes: 0 no finding, 1 findings."""
import argparse
import csv
import io
import json
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "support"))
import mutated_samples  # noqa: E402

try:
    from PIL import Image
except ImportError:
    Image = None

MOST_BYTES = 16 << 30  # address space of a command
SIDE, BATCH = 32, 50
IMAGE_REASONS = ("empty_file", "not_a_picture", "unsupported_picture", "damaged_picture", "picture_too_large")

# With damaged_images: reject, rejections of content that a reference reader takes: reason, what the detail says, why it
# is meant.
CHOICES = [
    ("damaged_picture", "damaged PNG.*(CRC|checksum|IDAT|invalid chunk type|out of range)",
     "Pillow compares no checksums of a PNG's pixels"),
    ("damaged_picture", "damaged GIF", "Pillow passes over bytes between the parts of a GIF and takes half of its pixels"),
    ("damaged_picture", "damaged TIFF", "Pillow ignores tags with values that libtiff finds wrong"),
    ("damaged_picture", "damaged JPEG", "Pillow ignores libjpeg's warnings about the pixels, which are then wrong"),
    ("unsupported_picture", "animated", "the first of several images is not what a caption speaks of"),
    ("picture_too_large", "over the limit", "a limit of its own, below the one at which Pillow refuses"),
]
# With damaged_images: read.
READ_CHOICES = [
    ("damaged_picture", "damaged GIF: Image", "Pillow takes some codes of pixels that giflib refuses"),
]


def choice_of(line, damaged_images):
    choices = CHOICES if damaged_images == "reject" else READ_CHOICES
    return next((why for reason, detail, why in choices
                 if line["reason"] == reason and re.search(detail, line["detail"])), None)


# --- what reference readers take


def pillow_takes(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                image.convert("RGB")
        except Exception:  # Pillow's plugins raise whatever the bytes lead to
            return False
    return True


def is_encodable(text):
    """Python's json takes halves of surrogates, but what reads the text next does not: transformers' tokenizers raise
    UnicodeEncodeError or TypeError, and so does a file system for a path."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_caption(value):
    texts = value if isinstance(value, list) else [value]
    return (all(isinstance(text, str) and is_encodable(text) for text in texts)
            and any(text.strip() for text in texts))


def json_rows(table):
    """Lines are decoded before they are parsed, as readers of text files do: json.loads(bytes) also takes bytes that are
    not UTF-8, the halves of surrogates."""
    for line in table.read_bytes().split(b"\n"):
        if not line.strip(b" \t\r"):
            continue
        try:
            yield json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            yield None


def csv_rows(table):
    """Rows that Python reads, or nothing if it cannot read the table to its end."""
    try:
        return list(csv.DictReader(io.StringIO(table.read_bytes().decode("utf-8"), newline="")))
    except (ValueError, csv.Error):
        return None


def list_rows(folder):
    """As json_rows(); a list is one text, so bytes that are not UTF-8 are marked, and cost their own entry."""
    texts = [path.read_bytes().decode("utf-8", "surrogateescape") for path in sorted((folder / "partition").glob("*.json"))]
    rows = [row for text in texts for row in json.loads(text)]
    return [None if re.search("[\udc80-\udcff]", json.dumps(row, ensure_ascii=False)) else row for row in rows]


def image_of_row(row, folder, path_field, text_field):
    """The bytes of a row that names an image below the folder and has a caption; None for any other row."""
    if not isinstance(row, dict) or not isinstance(row.get(path_field), str) or not is_caption(row.get(text_field)):
        return None
    try:
        path = (folder / row[path_field]).resolve(strict=True)
        return path.read_bytes() if path.is_relative_to(folder.resolve()) else None
    except (OSError, ValueError):
        return None


def tar_images(folder):
    """By key: the images of the samples of archives that tarfile reads to their end."""
    found = {}
    for path in sorted(folder.glob("*.tar")):
        try:
            with tarfile.open(path, ignore_zeros=False) as archive:
                members = [(member.name, archive.extractfile(member).read()) for member in archive if member.isfile()]
        except Exception:  # tarfile raises whatever a header leads to
            continue
        for name, data in members:
            key, _, ending = name.rpartition("/")[2].partition(".")
            found.setdefault((name.rpartition("/")[0] + "/" + key).lstrip("/"), []).append((ending, data))
    return found


class Findings:
    def __init__(self, damaged_images):
        self.num, self.meant, self.damaged_images = 0, {}, damaged_images

    def add(self, text):
        self.num += 1
        print(f"FINDING {text}", flush=True)

    def compare(self, source, line, data):
        """`data`: the image of a rejected row that the reference reader of rows takes."""
        if not pillow_takes(data):
            return
        why = choice_of(line, self.damaged_images)
        if why is None:
            self.add(f"{source}: rejected, but reference readers take it: {json.dumps(line, ensure_ascii=True)}")
        else:
            self.meant[why] = self.meant.get(why, 0) + 1


def compare_rows(name, lines, rows, read, findings):
    for line in lines:
        data = read(rows[line["row"]]) if line["row"] < len(rows) else None
        if data is not None and line["reason"] not in ("duplicate_key", "bad_caption_text", "caption_too_long"):
            findings.compare(name, line, data)


def compare_with_references(name, folder, listed, lines, findings):
    if Image is None:
        return
    if name == "folder":
        for line in lines:
            path = folder / line["key"]
            if line["reason"] in IMAGE_REASONS and path.is_file():
                findings.compare(name, line, path.read_bytes())
    elif name == "shards":
        images = tar_images(folder)
        for line in lines:
            members = images.get(line["key"], [])
            if line["reason"] in IMAGE_REASONS and members:
                findings.compare(name, line, members[0][1])
    else:
        rows = {"lines": lambda: list(json_rows(folder / "table.jsonl")), "csv": lambda: csv_rows(folder / "table.csv"),
                "lists": lambda: list_rows(folder)}[name]()
        fields = ("path", "prompt") if name == "lists" else ("image", "caption")
        if rows is not None and len(rows) == listed:  # rows of one image are one sample
            compare_rows(name, lines, rows, lambda row: image_of_row(row, folder, *fields), findings)


# --- the commands


class Session:
    def __init__(self, options, folder, findings):
        self.options, self.folder, self.findings = options, folder, findings
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1"}

    def limit(self):
        if not self.options.sanitized:  # AddressSanitizer reserves terabytes
            resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))

    def pixart(self, *arguments):
        """The command's output, or None, which is a finding, if it failed."""
        began = time.monotonic()
        try:
            done = subprocess.run([self.options.pixart, *map(str, arguments)], capture_output=True, cwd=self.folder,
                                  timeout=self.options.timeout, preexec_fn=self.limit, env=self.environment, check=False)
        except subprocess.TimeoutExpired:
            self.findings.add(f"pixart {' '.join(map(str, arguments))}: no end within {self.options.timeout} s")
            return None
        print(f"pixart {arguments[0]} {arguments[1]}: {time.monotonic() - began:.0f} s, exit code {done.returncode}", flush=True)
        if done.returncode == 0:
            return done.stdout
        tail = done.stderr.decode(errors="replace")[-3000:]
        self.findings.add(f"pixart {' '.join(map(str, arguments))}: exit code {done.returncode}\n{tail}")
        return None


def read_ledger(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check_ledger(where, listed, accepted, lines, findings):
    rows = [line["row"] for line in lines]
    if accepted is not None and accepted + len(lines) != listed:
        findings.add(f"{where}: {accepted} accepted + {len(lines)} rejected are not the {listed} listed")
    if sorted(set(rows)) != rows or (rows and not 0 <= rows[0] <= rows[-1] < listed):
        findings.add(f"{where}: the rejected rows are not rising rows of the {listed} listed")
    for line in lines:
        if not re.fullmatch("[a-z_]+", line["reason"]) or not line["detail"]:
            findings.add(f"{where}: no reason in {json.dumps(line)}")


def check_source(session, name, keys):
    ledger = session.folder / f"{name}.rejected.jsonl"
    output = session.pixart("data", "check", keys["path"], "--type", keys["type"], "--quarantine", ledger, "--json", "--set",
                            "quarantine_budget=1", "--set", "missing_caption=skip", "--set", "missing_caption_share=1",
                            "--set", f"damaged_images={session.options.damaged_images}")
    if output is None:
        return None
    report = json.loads(output)
    report = report[0] if isinstance(report, list) else report
    lines = read_ledger(ledger)
    check_ledger(name, report["listed"], report["accepted"], lines, session.findings)
    folder = session.folder / name
    compare_with_references(name, folder, report["listed"], lines, session.findings)
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(report["rejected"].items()))
    print(f"  {name}: {report['listed']} listed, {report['accepted']} accepted; {reasons}", flush=True)
    return report["listed"]


def run_file(options, sources, num_samples):
    def source(name, keys):
        return {"name": name, **{key: str(value) for key, value in keys.items()}, "quarantine_budget": 1,
                "missing_caption": "skip", "missing_caption_share": 1, "damaged_images": options.damaged_images}

    text = {"name": "text", "objective": "text_conditional", "mix": [{"source": name} for name in sources],
            "resolution": SIDE, "steps": max(1, -(-num_samples // BATCH)), "batch_size": BATCH,
            "samples": {"num_steps": 1, "prompts": ["a"]}}
    run = {"run": "run", "device": "cpu", "threads": 1, "loader": {"threads": 1},
           "transformer": {"patch_size": 2, "hidden_size": 24, "depth": 1, "num_heads": 2},
           "sources": [source(name, keys) for name, keys in sources.items()], "stages": [text]}
    if options.models:
        run |= {"autoencoder": {"path": str(options.models / "vae")},
                "text_encoder": {"path": str(options.models / "t5"), "max_tokens": 16}}
        return run
    run["autoencoder"] = {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4}
    run["text_encoder"] = {"max_tokens": 16, "d_model": 32, "num_heads": 2, "d_ff": 32, "vocabulary": 8000}
    run["stages"].insert(0, text | {"name": "autoencoder", "objective": "autoencoder"})
    return run


def check_run(session, sources, listed):
    # A sample whose caption is bad has no latent either, so an epoch reads at most all listed rows.
    run = run_file(session.options, sources, sum(listed.values()))
    (session.folder / "run.yaml").write_text(json.dumps(run), encoding="utf-8")
    if session.options.models:
        session.pixart("extract", "run.yaml")
    session.pixart("train", "run.yaml")
    for name, count in listed.items():
        ledger = session.folder / "run" / "quarantine" / f"{name}.jsonl"
        if ledger.exists():
            check_ledger(f"run, {name}", count, None, read_ledger(ledger), session.findings)
        else:
            session.findings.add(f"run: {ledger} is missing")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixart", required=True, type=pathlib.Path, help="the program")
    parser.add_argument("--seed", type=int, default=0, help="other samples (default 0)")
    parser.add_argument("--number", type=int, default=1000, help="samples in all, a fifth of each source (default 1000)")
    parser.add_argument("--sources", nargs="+", choices=mutated_samples.SOURCES, default=list(mutated_samples.SOURCES))
    parser.add_argument("--models", type=pathlib.Path, help="folder of a small autoencoder (vae) and text encoder (t5)")
    parser.add_argument("--damaged-images", choices=("reject", "read"), default="reject", help="key of the sources (default reject)")
    parser.add_argument("--only-check", action="store_true", help="neither extract nor train")
    parser.add_argument("--sanitized", action="store_true", help="the program has AddressSanitizer: no memory limit")
    parser.add_argument("--timeout", type=int, default=600, help="seconds for each command (default 600)")
    parser.add_argument("--keep", type=pathlib.Path, help="put samples and run there, and keep them in any case")
    options = parser.parse_args()
    options.pixart = options.pixart.resolve()
    options.models = options.models and options.models.resolve()
    folder = options.keep.resolve() if options.keep else pathlib.Path(tempfile.mkdtemp(prefix="fuzz_samples_"))
    folder.mkdir(parents=True, exist_ok=True)
    findings = Findings(options.damaged_images)
    session = Session(options, folder, findings)
    print(f"seed {options.seed}, {options.number} samples in {folder}" + ("" if Image else "; no Pillow: nothing is compared"))
    sources, listed = {}, {}
    for name in options.sources:
        rng = random.Random(f"{options.seed} {name}")
        sources[name] = mutated_samples.SOURCES[name](rng, folder / name, max(30, options.number // len(options.sources)))
        count = check_source(session, name, sources[name])
        if count is not None:
            listed[name] = count
    if listed and not options.only_check:
        check_run(session, {name: sources[name] for name in listed}, listed)
    for why, count in findings.meant.items():
        print(f"meant: {count} times: {why}")
    print(f"seed {options.seed}: {findings.num} findings" + (f", see {folder}" if findings.num else ""))
    if not findings.num and not options.keep:
        shutil.rmtree(folder)
    sys.exit(1 if findings.num else 0)


if __name__ == "__main__":
    main()
