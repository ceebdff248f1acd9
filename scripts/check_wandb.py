#!/usr/bin/env python3
"""Reads an export of `pixart report --export wandb-offline` with W&B's own reader, and compares every value with events.jsonl.

Usage: check_wandb.py BINARIES            exports a made run (tests/support/make_run.py) twice, and reads it
       check_wandb.py --read RUN FOLDER   reads what was exported from RUN to FOLDER
       (pip install wandb==0.19.11; run by hand; later versions have no reader in Python)

No account and no network are needed. What is checked: framing and checksums, the order of the records, the run with its config and
times, every value of every step, the summary, the files, the exit, and that the same run makes the same bytes.
"""
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile

import wandb
from google.protobuf import unknown_fields

wandb._assert_is_internal_process = True
from wandb.proto import wandb_internal_pb2
from wandb.sdk.internal import datastore

SOURCE = pathlib.Path(__file__).resolve().parent.parent


def expect(what, found, wanted):
    assert found == wanted, f"{what}: {found!r}, not {wanted!r}"


def records_in(file):
    store = datastore.DataStore()
    store.open_for_scan(str(file))
    records = []
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        expect("unknown fields", len(unknown_fields.UnknownFieldSet(record)), 0)
        records.append(record)
    return records


def events_of(run):
    """{stage: {step: {key: value}}} as the run left them, in the order of the file."""
    stages = {}
    for line in (run / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        stage, step = event.pop("stage"), event.pop("step")
        stages.setdefault(stage, {}).setdefault(step, {}).update(event)
    return stages


def values_of(items):
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def same(a, b):
    return a == b or a is None and math.isnan(b) or isinstance(a, float) and math.isnan(a) and math.isnan(b)


def check_history(records, run):
    history = [record.history for record in records if record.WhichOneof("record_type") == "history"]
    first, number, last_time, count = 0, 0, 0, 0
    for stage, steps in events_of(run).items():
        for step in sorted(steps):
            got = values_of(history[number].item)
            number += 1
            expect("_step", (got.pop("_step"), history[number - 1].step.num), (first + step, first + step))
            time = got.pop("_timestamp")
            assert time >= last_time and got.pop("_runtime") >= 0, (stage, step, time, last_time)
            last_time = time
            expect("step", got.pop(f"{stage}/step"), step)
            expect("names", sorted(got), sorted(f"{stage}/{key}" for key in steps[step]))
            for key, value in steps[step].items():
                assert same(value, got[f"{stage}/{key}"]), (stage, step, key, value, got)
                count += 1
        first += max(steps) + 1
    expect("records of history", len(history), number)
    return count, first - 1


def check_export(run, folder):
    export, = folder.glob("offline-run-*")
    name = export.name.rsplit("-", 1)[1]
    records = records_in(export / f"run-{name}.wandb")
    kinds = [record.WhichOneof("record_type") for record in records]
    expect("first records", kinds[:2], ["header", "run"])
    expect("last records", kinds[-2:], ["summary", "exit"])
    expect("numbers", [record.num for record in records], list(range(1, len(records) + 1)))
    started = records[1].run
    expect("id", started.run_id, name)
    expect("name", started.display_name, run.resolve().name)
    first = json.loads((run / "telemetry.jsonl").read_text().splitlines()[0])
    expect("start", started.start_time.ToJsonString(), first["time"])
    expect("date", export.name.split("-")[2], first["time"][:19].replace("-", "").replace(":", "").replace("T", "_"))
    seed = int(re.search(r"(?m)^seed: (\d+)", (run / "run.yaml").read_text())[1])
    expect("seed", {item.key: json.loads(item.value_json) for item in started.config.update}.get("seed"), seed)
    count, last_step = check_history(records, run)
    summary = values_of(records[-2].summary.update)
    expect("last step", summary["_step"], last_step)
    for stage, steps in events_of(run).items():
        for key in {key for step in steps.values() for key in step}:
            last = [steps[step][key] for step in sorted(steps) if key in steps[step]][-1]
            assert same(last, summary[f"{stage}/{key}"]), (stage, key, last)
    axes = [(r.metric.glob_name, r.metric.step_metric) for r in records if r.WhichOneof("record_type") == "metric"]
    expect("axes", axes, [(f"{stage}/*", f"{stage}/step") for stage in events_of(run)])
    expect("files", [item.path for r in records for item in r.files.files], ["run.yaml"])
    expect("run.yaml", (export / "files/run.yaml").read_bytes(), (run / "run.yaml").read_bytes())
    expect("exit code", records[-1].exit.exit_code, 0)
    print(f"{len(records)} records, {count} values: all as in events.jsonl")


def main():
    if sys.argv[1] == "--read":
        check_export(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
        return
    pixart = pathlib.Path(sys.argv[1]).resolve() / "pixart"
    with tempfile.TemporaryDirectory() as temporary:
        run, bytes_of = pathlib.Path(temporary) / "run", []
        subprocess.run([sys.executable, SOURCE / "tests/support/make_run.py", run], check=True)
        for name in ("first", "second"):
            out = pathlib.Path(temporary) / name
            subprocess.run([pixart, "report", run, "--export", "wandb-offline", "--out", out], check=True)
            check_export(run, out)
            bytes_of.append({file.relative_to(out): file.read_bytes() for file in out.rglob("*") if file.is_file()})
        expect("the second export", bytes_of[1] == bytes_of[0], True)


main()
