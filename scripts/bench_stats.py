#!/usr/bin/env python3
"""Measures `pixart data stats` or `data check` of two builds on the same generated rows, and prints JSON.

    scripts/bench_stats.py OLD NEW [--command stats] [--kind table] [--rows 20000,200000] [--rounds 3] [--folder F]

OLD and NEW are programs (build/release/bin/pixart). In each round both run on the same rows, one after the other; their
output must be the same (with --numbers-only the numbers in it, for builds with other words). For each size: seconds of
the first round and of the later ones (median), which may find an index, seconds of the processor, and the peak of memory
without pages of files. `bytes_a_row` is what a row adds to that peak from the smallest size to the largest. Without --folder the rows are in a temporary folder, which is removed.
Run it on an idle machine; 200,000 rows are 130 MB.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

MAKE_ROWS = pathlib.Path(__file__).parent.parent / "tests/support/many_rows.py"


def anonymous_bytes(process):
    try:
        with open(f"/proc/{process}/status", encoding="ascii") as status:
            return next((int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon:")), 0)
    except OSError:
        return 0


def measured(program, command, source):
    """The output, and what the process needed."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages:
        begin = time.monotonic()
        process = subprocess.Popen([program, "data", command, source], stdin=subprocess.DEVNULL, stdout=output, stderr=messages)
        peak, done = 0, 0
        while not done:
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(0.01)
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
        seconds = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            messages.seek(0)
            sys.exit(f"bench: {program} ended with {process.returncode}: {messages.read().decode(errors='replace')[-500:]}")
        output.seek(0)
        return output.read(), {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_bytes": peak}


def summary(rounds):
    later = [one["seconds"] for one in rounds[1:]] or [rounds[0]["seconds"]]
    return {"first_seconds": round(rounds[0]["seconds"], 2), "later_seconds": round(statistics.median(later), 2),
            "cpu_seconds": round(statistics.median(one["cpu_seconds"] for one in rounds), 2),
            "peak_mib": round(max(one["peak_bytes"] for one in rounds) / 2**20, 1)}


def compare(arguments, rows, folder):
    """Of one number of rows."""
    source = folder / f"{arguments.kind}-{rows}"
    if not source.exists():
        subprocess.run([sys.executable, MAKE_ROWS, "--kind", arguments.kind, "--rows", str(rows), "--folder", source],
                       check=True)
    path = source / "rows.jsonl" if arguments.kind == "table" else source
    rounds = {"old": [], "new": []}
    for _ in range(arguments.rounds):
        outputs = set()
        for name, program in (("old", arguments.old), ("new", arguments.new)):
            output, figures = measured(program, arguments.command, path)
            outputs.add(b" ".join(re.findall(rb"[0-9.]+", output)) if arguments.numbers_only else output)
            rounds[name].append(figures)
        if len(outputs) > 1:
            sys.exit(f"bench: the output of the two programs differs for {path}")
    old, new = summary(rounds["old"]), summary(rounds["new"])
    times = {key: round(old[key] / new[key], 2) for key in ("first_seconds", "later_seconds", "cpu_seconds")}
    return {"rows": rows, "old": old, "new": new, "old_by_new": times}


def bytes_a_row(sizes, name):
    first, last = sizes[0], sizes[-1]
    return round((last[name]["peak_mib"] - first[name]["peak_mib"]) * 2**20 / max(1, last["rows"] - first["rows"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD")
    parser.add_argument("new", metavar="NEW")
    parser.add_argument("--command", choices=["stats", "check"], default="stats")
    parser.add_argument("--kind", choices=["table", "webdataset", "image_folder"], default="table")
    parser.add_argument("--rows", default="20000,200000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--numbers-only", action="store_true", help="compare only the numbers of the outputs")
    parser.add_argument("--folder", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pixart-bench-") as temporary:
        folder = arguments.folder or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        sizes = [compare(arguments, int(rows), folder) for rows in arguments.rows.split(",")]
    print(json.dumps({"command": "data " + arguments.command, "kind": arguments.kind, "rounds": arguments.rounds,
                      "cores": os.cpu_count(), "sizes": sizes,
                      "bytes_a_row": {name: bytes_a_row(sizes, name) for name in ("old", "new")}}, indent=1))


if __name__ == "__main__":
    main()
