#!/usr/bin/env python3
"""Do strangers on the network change, delay or slow down a run of two ranks?

Runs the same training alternately alone and among strangers: connections to all ports of the ranks that say nothing,
speak slowly, speak garbage or other protocols, or hang up. Half of them come while rank 0 waits for rank 1, the others
while the ranks train. Prints one JSON object; ends with 1 if a run fails, if a loss or a weight differs in one bit, or
if the CPU seconds of the ranks grow by more than --most.

Usage: scripts/check_strangers.py PIXART [--strangers 10000] [--runs 3] [--steps 400] [--most 0.05] [--start hand|launch]
  --start launch   the ranks are started by `pixart launch`; strangers come from the first moment on, as many as can
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

RUN_FILE = """
run: run
device: cpu
threads: 1
autoencoder: {{block_out_channels: [8, 8, 16], layers_per_block: 1, norm_num_groups: 4}}
sources: [{{name: scenes, type: scenes, count: 48}}]
stages:
  - {{name: autoencoder, objective: autoencoder, source: scenes, resolution: 32, steps: {steps}, batch_size: 8, ema_decay: 0,
     log_every: 1, checkpoints: {{every: {steps}}}}}
"""
TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 506
KINDS = [b"", b"GET / HTTP/1.1\r\nHost: somebody\r\n\r\n", TLS, bytes(4096), b"\xff" * 4096, b"SSH-2.0-OpenSSH_9.2\r\n", b"5Ix",
         b"5IxP" + bytes(4), b"5IxP" + b"\xff" * 4096, None]  # None: hangs up at once
MOST_HELD = 400  # silent and slow ones that stay, within the usual limit of 1024 descriptors
PATIENCE = 60


def listening_ports(pid):
    """Ports of IPv4 and IPv6 at which the process listens."""
    inodes = set()
    try:
        for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(entry)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        tables = [pathlib.Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    except OSError:  # it has ended
        return set()
    fields = [line.split() for table in tables for line in table.splitlines()[1:]]
    return {int(row[1].rsplit(":", 1)[1], 16) for row in fields if row[3] == "0A" and row[9] in inodes}


class Strangers:
    """Connects, and keeps the connections that say too little."""

    def __init__(self):
        self.held, self.connected, self.refused = [], 0, 0

    def come(self, number, port):
        kind = KINDS[number % len(KINDS)]
        try:
            stranger = socket.create_connection(("127.0.0.1", port), timeout=1)
        except OSError:
            self.refused += 1
            return
        self.connected += 1
        try:
            if kind is None:
                stranger.close()
                return
            stranger.settimeout(0.2)
            stranger.sendall(kind)
        except OSError:  # it was dropped already
            pass
        self.held.append(stranger)
        if len(self.held) > MOST_HELD:
            self.held.pop(0).close()
        if number % 7 == 0:  # slow ones say one byte more now and then
            try:
                self.held[number % len(self.held)].send(b"x")
            except OSError:
                pass


def visit(pids, count, pause, port, over, report):
    """Sends strangers to all ports that are open, or were, until `count` have come or the run is over."""
    strangers, ports = Strangers(), {port} if port else set()
    number = 0
    while number < count and not over.is_set():
        if number % 50 == 0:
            for pid in pids:
                ports |= listening_ports(pid) | {p for child in children_of(pid) for p in listening_ports(child)}
        if ports:
            strangers.come(number, sorted(ports)[number // len(KINDS) % len(ports)])
            number += 1
        time.sleep(pause)
    over.wait(0 if pause == 0 else None)
    report.put((strangers.connected, strangers.refused))
    if pause == 0:
        over.wait()  # those that are held stay until the end


def children_of(pid):
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"check_strangers: waited {PATIENCE} s until {what}")
        time.sleep(0.02)


class Run:
    """A run in a folder of its own."""

    def __init__(self, options, folder, strangers):
        self.options, self.folder, self.strangers = options, folder, strangers
        folder.mkdir()
        (folder / "run.yaml").write_text(RUN_FILE.format(steps=options.steps))
        self.over, self.reports, self.visitors = multiprocessing.Event(), multiprocessing.Queue(), []

    def start(self, arguments, variables=None):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PIXART_DIST_TIMEOUT": str(PATIENCE), **(variables or {})}
        with open(self.folder / f"log-{time.monotonic_ns()}", "w") as log:
            return subprocess.Popen([self.options.pixart, *arguments], cwd=self.folder, env=environment, stdout=log, stderr=log)

    def send_strangers(self, pids, count, pause, port=0):
        arguments = (pids, count, pause, port, self.over, self.reports)
        self.visitors.append(multiprocessing.Process(target=visit, args=arguments, daemon=True))
        self.visitors[-1].start()

    def by_launch(self):
        launcher = self.start(["launch", "-n", "2", "--", "train", "run.yaml"])
        if self.strangers:
            self.send_strangers([launcher.pid], self.strangers, 0.0005)
        return [launcher]

    def by_hand(self):
        port = free_port()
        shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        ranks = [self.start(["train", "run.yaml"], shared | {"RANK": "0", "LOCAL_RANK": "0"})]
        wait_until(lambda: port in listening_ports(ranks[0].pid), "rank 0 listens")
        first = self.strangers // 2
        if first:
            self.send_strangers([ranks[0].pid], first, 0, port)
            self.first_report = self.reports.get()
        self.met_at = time.monotonic()
        ranks.append(self.start(["train", "run.yaml"], shared | {"RANK": "1", "LOCAL_RANK": "1"}))
        if first:
            self.send_strangers([rank.pid for rank in ranks], self.strangers - first, 0.0005, port)
        return ranks

    def result(self):
        begun = self.met_at = time.monotonic()
        processes = self.by_launch() if self.options.start == "launch" else self.by_hand()
        cpu, codes = 0.0, []
        for process in processes:
            _, status, usage = os.wait4(process.pid, 0)  # with the ranks that `pixart launch` has waited for
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu += usage.ru_utime + usage.ru_stime
            codes.append(process.returncode)
        wall = time.monotonic() - self.met_at
        self.over.set()
        reports = [self.first_report] if hasattr(self, "first_report") else []
        reports += [self.reports.get() for _ in range(len(self.visitors) - len(reports))]
        for visitor in self.visitors:
            visitor.join()
        logs = "".join(log.read_text(errors="replace") for log in sorted(self.folder.glob("log-*")))
        return {"codes": codes, "cpu_seconds": round(cpu, 3), "seconds_after_all_ranks_started": round(wall, 3),
                "seconds": round(time.monotonic() - begun, 3), "connected": sum(report[0] for report in reports),
                "refused": sum(report[1] for report in reports),
                "said": [line for line in logs.splitlines() if "strangers" in line],
                "bits": self.bits(), "last_lines": logs.splitlines()[-3:] if any(codes) else []}

    def bits(self):
        """A hash of the losses, and of all weights and states."""
        digest = hashlib.sha256()
        for name in ["events.jsonl", *sorted(str(p.relative_to(self.folder / "run")) for p in (self.folder / "run").rglob("*.safetensors"))]:
            path = self.folder / "run" / name
            digest.update(name.encode() + (path.read_bytes() if path.exists() else b"absent"))
        return digest.hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pixart", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--strangers", type=int, default=10000)
    parser.add_argument("--runs", type=int, default=3, help="of each kind, alternating")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--most", type=float, default=0.05, help="by which the CPU seconds may grow")
    parser.add_argument("--start", choices=("hand", "launch"), default="hand")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * MOST_HELD)), hard))
    results = {"quiet": [], "among_strangers": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.runs):
            for kind, strangers in (("quiet", 0), ("among_strangers", options.strangers)):
                results[kind].append(Run(options, pathlib.Path(folder) / f"{kind}-{number}", strangers).result())
    seconds = {kind: [run["cpu_seconds"] for run in runs] for kind, runs in results.items()}
    runs = results["quiet"] + results["among_strangers"]
    summary = {"strangers": options.strangers, "start": options.start, "cpu_seconds": seconds,
               "cpu_ratio": round(statistics.median(seconds["among_strangers"]) / statistics.median(seconds["quiet"]), 4),
               "bit_identical": len({run["bits"] for run in runs}) == 1, "all_done": not any(code for run in runs for code in run["codes"]),
               "runs": results}
    print(json.dumps(summary, indent=1))
    sys.exit(0 if summary["bit_identical"] and summary["all_done"] and summary["cpu_ratio"] <= 1 + options.most else 1)


if __name__ == "__main__":
    main()
