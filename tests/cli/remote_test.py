#!/usr/bin/env python3
"""Shards on a server: an epoch gives what the same files on the disk give, whatever the server does, or stops with a reason.

Usage: remote_test.py SOURCE_DIR PIXART [TEST...]
"""
import hashlib
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zlib

SOURCE, PIXART = pathlib.Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(SOURCE / "tests/support"))
from file_server import FileServer  # noqa: E402

STORAGE, REQUEUE, BAD_INPUT = 74, 75, 78
SHARDS, SAMPLES = 4, 12
RUN = """run: {name}
device: cpu
threads: 1
seed: 5
autoencoder: {{block_out_channels: [4, 4, 8], layers_per_block: 1, norm_num_groups: 2}}
loader: {{threads: 2}}
sources: [{{name: shards, type: webdataset, path: "{path}"{more}}}]
stages:
  - {{name: first, objective: autoencoder, source: shards, resolution: 32, steps: {steps}, batch_size: 8}}
"""


def png(side, seed):
    rows = b"".join(b"\0" + bytes((x * (seed + 3) + 7 * y * (c + 1)) % 251 for x in range(side) for c in range(3)) for y in range(side))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


def write_shard(path, first):
    with tarfile.open(path, "w") as shard:
        for i in range(first, first + SAMPLES):
            for ending, content in ("png", png(40, i)), ("txt", f"a pattern of kind {i}".encode()):
                member = tarfile.TarInfo(f"{i:05}.{ending}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))


class Remote(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.scratch.name)
        (self.folder / "served").mkdir()
        for i in range(SHARDS):
            write_shard(self.folder / f"served/a-{i:03}.tar", i * SAMPLES)
        self.server = FileServer(self.folder / "served")
        self.pattern = "a-{000..%03d}.tar" % (SHARDS - 1)

    def tearDown(self):
        self.server.close()
        self.scratch.cleanup()

    def pixart(self, *arguments, code=0, patience=4, **variables):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environment = {**kept, "XDG_CACHE_HOME": str(self.folder / "cache"), "PIXART_HTTP_PATIENCE": str(patience), **variables}
        result = subprocess.run([PIXART, *map(str, arguments)], cwd=self.folder, env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=300)
        self.assertEqual(result.returncode, code, f"{arguments}\n{result.stdout}")
        return result.stdout

    def train(self, name, path, more="", steps=12, **options):
        text = RUN.format(name=name, path=path, more=more, steps=steps)
        (self.folder / f"{name}.yaml").write_text(text)
        return self.pixart("train", f"{name}.yaml", **options)

    def result_of(self, name, steps=12):
        """The weights, and what the events say apart from times."""
        weights = self.folder / name / f"checkpoints/first/step-{steps:08}/model.safetensors"
        lines = [json.loads(line) for line in (self.folder / name / "events.jsonl").read_text().splitlines()]
        events = [{key: line[key] for key in line if key in ("kind", "stage", "step", "loss", "grad_norm", "samples")} for line in lines]
        return hashlib.sha256(weights.read_bytes()).hexdigest(), events

    def no_sample_is_blamed(self, name):
        for file in (self.folder / name).glob("quarantine/*.jsonl"):
            self.assertEqual(file.read_text(), "")

    def faulty(self, number, path, span):
        """Two good answers, then a bad one of each kind in turn."""
        kinds = [("status", 503, {"Retry-After": "0"}), ("cut",), ("reset",), ("status", 429, {}), ("other range",), ("stall",)]
        return kinds[number // 3 % len(kinds)] if number % 3 == 0 else None

    def test_an_epoch_over_a_bad_line_is_exact(self):
        self.train("local", "served/" + self.pattern)
        self.server.faults = self.faulty
        self.train("remote", self.server.address(self.pattern))
        self.train("uncached", self.server.address(self.pattern), more=", cache_gb: 0")
        self.assertEqual(self.result_of("remote"), self.result_of("local"))
        self.assertEqual(self.result_of("uncached"), self.result_of("local"))
        self.no_sample_is_blamed("uncached")
        # All pieces are in the cache: the server says only that the files are the same.
        self.server.faults, before = None, self.server.number
        self.train("again", self.server.address(self.pattern))
        self.assertEqual(self.result_of("again"), self.result_of("local"))
        self.assertLessEqual(self.server.number - before, 2 * SHARDS + 2)

    def test_a_shard_that_changes_stops_the_run(self):
        def change(number, path, span):
            if number > SHARDS * 3 + 4:
                self.server.tags["a-001.tar"] = '"other"'
        self.server.faults = change
        output = self.train("changed", self.server.address(self.pattern), more=", cache_gb: 0", steps=100, code=STORAGE)
        self.assertIn("a-001.tar: the file was changed while it was in use", output)
        self.no_sample_is_blamed("changed")

    def test_a_server_that_fails_stops_the_run(self):
        answers = {STORAGE: ("status", 500, {}), REQUEUE: ("status", 503, {"Retry-After": "3600"})}
        for code, answer in answers.items():
            self.server.number = 0
            self.server.faults = lambda number, path, span: answer if number > SHARDS * 3 + 4 else None
            output = self.train(f"failed{code}", self.server.address(self.pattern), more=", cache_gb: 0", steps=100, code=code,
                                patience=1)
            self.assertIn(f"HTTP {answer[1]}", output)
            self.no_sample_is_blamed(f"failed{code}")

    def test_a_request_to_stop_is_not_forgotten(self):
        self.server.faults = lambda number, path, span: ("status", 503, {}) if number > SHARDS * 3 + 4 else None
        text = RUN.format(name="stopped", path=self.server.address(self.pattern), more=", cache_gb: 0", steps=100)
        (self.folder / "stopped.yaml").write_text(text)
        run = subprocess.Popen([PIXART, "train", "stopped.yaml"], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, env={**os.environ, "PIXART_HTTP_PATIENCE": "250"})
        output = ""
        while "tried again" not in output:
            line = run.stdout.readline()
            self.assertTrue(line, output)
            output += line
        run.terminate()
        output += run.communicate(timeout=120)[0]
        self.assertEqual(run.returncode, REQUEUE, output)
        self.assertIn("stopped on request", output)

    def test_a_server_without_ranges_is_refused(self):
        self.server.faults = lambda number, path, span: ("whole",)
        output = self.pixart("data", "check", self.server.address(self.pattern), code=BAD_INPUT)
        self.assertIn("range requests", output)

    def test_commands_of_data_take_addresses(self):
        checked = self.pixart("data", "check", self.server.address(self.pattern))
        self.assertIn(f"{SHARDS * SAMPLES} of {SHARDS * SAMPLES} samples accepted", checked)
        self.pixart("data", "pack", self.server.address(self.pattern), "from-server", "--set", "cache_gb=0")
        self.pixart("data", "pack", "served", "from-disk")
        packed = [sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in (self.folder / folder).glob("*.tar"))
                  for folder in ("from-server", "from-disk")]
        self.assertEqual(packed[0], packed[1])
        self.assertIn("only webdataset", self.pixart("data", "check", self.server.address("a"), "--type", "table", code=BAD_INPUT)
                      .replace("shards on servers are read by type: webdataset", "only webdataset"))
        self.assertIn("a glob finds none", self.pixart("data", "check", self.server.address("a-*.tar"), code=BAD_INPUT))
        for number in "-1", "1e300":
            self.pixart("data", "check", self.server.address(self.pattern), "--set", f"cache_gb={number}", code=BAD_INPUT)

    def test_signatures_are_not_shown(self):
        signature = "X-Amz-Credential=whoever&X-Amz-Signature=verysecret"
        self.server.faults = lambda number, path, span: ("status", 503, {}) if number % 2 else None
        (self.folder / "urls.txt").write_text("".join(self.server.address(f"a-{i:03}.tar?{signature}\n") for i in range(SHARDS)))
        outputs = [self.pixart("data", "check", self.server.address(f"a-000.tar?{signature}")),
                   self.train("listed", "urls.txt", steps=2),
                   self.pixart("data", "index", self.server.address(f"a-001.tar?{signature}")),
                   self.pixart("data", "index", "urls.txt")]
        self.assertIn("made ", outputs[-1])
        # The same files with other signatures have the same index.
        (self.folder / "urls.txt").write_text((self.folder / "urls.txt").read_text().replace("verysecret", "verysecret2"))
        outputs.append(self.pixart("data", "index", "urls.txt"))
        self.assertNotIn("anew", outputs[-1])
        self.server.faults = lambda number, path, span: ("status", 403, {})
        outputs.append(self.pixart("data", "check", self.server.address(f"a-000.tar?{signature}"), code=BAD_INPUT))
        self.assertIn("has a presigned address expired", outputs[-1])
        for output in outputs:
            self.assertNotIn("verysecret", output)
        for file in self.folder.glob("listed/**/*"):
            self.assertTrue(file.is_dir() or b"verysecret" not in file.read_bytes(), file)
        for file in self.folder.glob("cache/**/*"):
            self.assertTrue(file.is_dir() or b"verysecret" not in file.read_bytes(), file)

    def test_buckets_of_s3(self):
        (self.folder / "served/bucket/a folder").mkdir(parents=True)
        for i in range(SHARDS):
            os.rename(self.folder / f"served/a-{i:03}.tar", self.folder / f"served/bucket/a folder/a-{i:03}.tar")
        self.server.keys = {"me": "my/secret+key"}
        where = "s3://bucket/a folder/" + self.pattern
        variables = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server.port}", "AWS_REGION": "eu-central-1",
                     "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "my/secret+key"}
        self.assertIn("samples accepted", self.pixart("data", "check", where, **variables))
        self.pixart("data", "check", where, "--set", "cache_gb=0", **variables, AWS_SESSION_TOKEN="a+token/of=mine")
        wrong = self.pixart("data", "check", where, code=BAD_INPUT, **{**variables, "AWS_SECRET_ACCESS_KEY": "another"})
        self.assertIn("SignatureDoesNotMatch", wrong)
        self.assertNotIn("another", wrong)
        unset = self.pixart("data", "check", where, code=BAD_INPUT, AWS_ENDPOINT_URL=variables["AWS_ENDPOINT_URL"])
        self.assertIn("Set AWS_ACCESS_KEY_ID", unset)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
