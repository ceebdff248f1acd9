"""Runs of the program on the fake GPU, and what they leave: losses and the reports of their processes."""

import array
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

STAGES = ("autoencoder", "class", "text", "larger")
# Few steps: with CAME (stage text) a difference by rounding grows tenfold in three steps.
STEPS = {"autoencoder": 4, "class": 8, "text": 6, "larger": 3}
# Operations of a step on CPU tensors. Any size: what a copy to the GPU begins with, and views. Small: what the masks of captions
# say about lengths, the sums of loss and flags of the ranks, and the table of positions, made once for a size of images.
HOST_MOVES = set("to _to_copy copy_ pin_memory _pin_memory is_pinned detach view reshape _reshape_alias flatten squeeze unsqueeze select slice narrow "
                 "expand as_strided alias contiguous clone resize_ empty_like transpose permute t set_ stack cat unbind split chunk result_type".split())
HOST_NUMBERS = set("item _local_scalar_dense is_nonzero max min sum cumsum ne eq lt gt le ge nonzero arange repeat unfold index_select masked_fill "
                   "masked_fill_ logical_not logical_not_ add add_ sub sub_ mul rsub fill_ zero_ ones_like zeros_like where any all amax amin "
                   "sin cos pow reciprocal div".split())
MOST_NUMBERS = 4096

HELD_OUT = "  - {name: held_out, type: scenes, count: 8, seed: 77}\n"


def yaml_of(source_dir):
    """tiny_run_yaml() of tests/cli/process.cpp, with held-out samples."""
    text = (pathlib.Path(source_dir) / "tests/cli/process.cpp").read_text()
    yaml = re.search(r'tiny_run_yaml\(\) \{\s*return R"\((.*?)\)";', text, re.S)[1]
    return yaml.replace("stages:\n", HELD_OUT + "stages:\n", 1)


def reports_of(folder, run):
    """Of the processes that used a GPU, by rank."""
    reports = [json.loads(path.read_text()) for path in folder.glob(f"{run}.report.*.json")]
    return sorted((report for report in reports if report["launches"] > 0), key=lambda report: report["rank"])


def wrong_operations(report):
    """What its steps computed on the host although they should not: sentences."""
    found = {name.removeprefix("aten::"): operation for name, operation in report["operations_in_step"].items()}
    unknown = [f"{name} in a step, on the host" for name in found if name not in HOST_MOVES | HOST_NUMBERS]
    return unknown + [f"{name} of {operation['largest']} elements in a step, on the host" for name, operation in found.items()
                      if name in HOST_NUMBERS and operation["largest"] > MOST_NUMBERS]


def read_safetensors(path):
    """Lists of the numbers in a file, by name of the tensor."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    tensors = {}
    for name, about in json.loads(content[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in about["data_offsets"])
        data = content[begin:end]
        if about["dtype"] == "BF16":  # the upper half of a float32
            wide = array.array("I", (low | high << 8 for low, high in zip(data[::2], data[1::2])))
            data, about["dtype"] = array.array("I", (bits << 16 for bits in wide)).tobytes(), "F32"
        code = {"F32": "f", "I64": "q", "I32": "i"}[about["dtype"]]
        tensors[name] = array.array(code, data).tolist()
    return tensors


class Result:
    """What a run has left."""

    def __init__(self, code, output, folder, run, seconds):
        self.code, self.output, self.seconds = code, output, seconds
        self.reports = reports_of(folder, run)
        events = folder / run / "events.jsonl"
        lines = events.read_text().splitlines() if events.exists() else []
        self.losses = {(event["stage"], event["step"], key): value for event in map(json.loads, lines)
                       for key, value in event.items() if "loss" in key}

    def waits(self):
        """Waits of the host on rank 0, by kind and place."""
        return {(wait["what"], wait["place"]): wait["count"] for wait in self.reports[0]["waits"]}

    def operations_on_host(self):
        return {name: numbers["calls"] for name, numbers in self.reports[0]["operations_on_host"].items()}


def output_of(process, seconds=120):
    """Its output; a process that takes longer is killed."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise


class Program:
    """pixart_fake_gpu in a folder with the tiny run's file."""

    def __init__(self, source_dir, binary, folder):
        self.binary, self.folder = pathlib.Path(binary).resolve(), pathlib.Path(folder)
        (self.folder / "run.yaml").write_text(yaml_of(source_dir))

    def start(self, arguments, run="none", environment=None):
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PIXART_FAKE_GPU", "CUDA_VISIBLE", "SLURM_"))}
        variables |= {"PIXART_FAKE_GPU_REPORT": str(self.folder / f"{run}.report"), "OMP_NUM_THREADS": "1", "PIXART_DRIVER_FILE": "/dev/null",
                      "PIXART_DRIVER_VERSION_FILE": str(self.folder / "driver"),
                      "XDG_CACHE_HOME": str(self.folder / ".cache")} | (environment or {})
        return subprocess.Popen([self.binary, *arguments], cwd=self.folder, env=variables, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def call(self, arguments, run="none", environment=None):
        started = time.monotonic()
        with self.start(arguments, run, environment) as process:
            output = output_of(process)
        return Result(process.returncode, output, self.folder, run, time.monotonic() - started)

    def train_arguments(self, run, settings=(), ranks=1, steps=None, timeout=60, device="cuda", stage=None):
        numbers = STEPS | (steps or {})
        values = [f"run={run}", f"device={device}", "threads=1"]
        values += [f"stages.{name}.{key}={value}" for name in STAGES
                   for key, value in (("steps", numbers[name]), ("log_every", 1), ("checkpoints.every", 1000))]
        arguments = [] if ranks == 1 else ["launch", "-n", str(ranks), "--timeout", str(timeout), "--"]
        arguments += ["train", "run.yaml"] + [part for value in [*values, *settings] for part in ("--set", value)]
        return arguments + (["--stage", stage] if stage else [])

    def train(self, run, settings=(), environment=None, **more):
        return self.call(self.train_arguments(run, settings, **more), run, environment)

    def reports(self, run):
        return reports_of(self.folder, run)

    def start_ranks(self, arguments, run, ranks, environment=None):
        """The processes of a run, as torchrun starts them."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        launched = {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return [self.start(arguments, run, launched | {"RANK": str(rank), "LOCAL_RANK": str(rank)} | (environment or {}))
                for rank in range(ranks)]


class TestCase(unittest.TestCase):
    """Tests with one folder, where they run the program. Usage: TEST.py SOURCE_DIR PIXART_FAKE_GPU [TEST...]

    After each test, whatever it ran is asked which operations its steps made on the host.
    """

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.program = Program(sys.argv[1], sys.argv[2], cls.temporary.name)
        cls.seen = set()  # reports of earlier tests

    def tearDown(self):
        reports = [report for report in self.program.folder.glob("*.report.*.json") if report not in self.seen]
        self.seen.update(reports)
        for path in reports:
            report = json.loads(path.read_text())
            self.assertEqual(wrong_operations(report) if report["launches"] > 0 else [], [], path.name)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()


def main(more_arguments=0):
    """The names of tests follow the folder, the program and `more_arguments`."""
    unittest.main(argv=sys.argv[:1] + sys.argv[3 + more_arguments:], verbosity=2)
