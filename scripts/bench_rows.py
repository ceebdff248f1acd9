#!/usr/bin/env python3
"""Compares two builds of pixart on a source with many rows: memory for each row, and seconds until the first step.

    bench_rows.py OLD NEW --kind table|webdataset|image_folder [--rows 2000000] [--ranks 1] [--folder bench-rows]

OLD and NEW are binaries of pixart. Makes two sources with tests/support/many_rows.py, one of 1,000 rows, and runs
`train` of each build until its first step is in events.jsonl, then asks it to stop: a first start, which lists the
source, and a second one in another run folder, which finds the features folder of the first. Then `data index --verify`
of NEW. Memory is the largest RssAnon of a process, which leaves out pages of files; what 1,000 rows need is subtracted.
The many rows must be 200,000 or more. Prints JSON.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

FEW = 1_000
SIDE = 64  # pixels
# A stage that learns from images decodes all of them beforehand if they fit into 2 GiB: the few do, the many do not.
DECODED_BEFOREHAND = FEW * 3 * SIDE * SIDE
RUN = """
run: {run}
device: cpu
threads: 1
autoencoder: {{block_out_channels: [8, 16], layers_per_block: 1, norm_num_groups: 4}}
features: {{path: {features}}}
sources:
  - {{name: rows, type: {kind}, path: "{path}"}}
stages:
  - {{name: autoencoder, objective: autoencoder, source: rows, resolution: 64, steps: 1000, log_every: 1, batch_size: 8}}
"""


def status_of(process):
    """RssAnon and VmHWM in bytes of a process and those that it started; {} when they have ended."""
    values = {}
    pending = [process]
    while pending:
        number = pending.pop()
        try:
            text = pathlib.Path(f'/proc/{number}/status').read_text()
            values[number] = {name: 1024 * int(size) for name, size in re.findall(r'(RssAnon|VmHWM):\s+(\d+)', text)}
            for task in pathlib.Path(f'/proc/{number}/task').iterdir():
                pending += (task / 'children').read_text().split()
        except (OSError, ValueError):
            continue
    return values


def has_a_step(events):
    return events.is_file() and events.stat().st_size > 0


def measured(arguments, events):
    """Runs a command up to its first step: its seconds, and the largest memory of one process and of all together."""
    begin, seconds = time.monotonic(), None
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        one = together = peak = 0
        while process.poll() is None:
            values = status_of(process.pid).values()
            sizes = [value.get('RssAnon', 0) for value in values]
            peak = max([peak] + [value.get('VmHWM', 0) for value in values])
            one, together = max([one] + sizes), max(together, sum(sizes))
            if seconds is None and has_a_step(events):
                seconds = time.monotonic() - begin
                process.terminate()
            time.sleep(0.02)
        output = process.stdout.read()
    if process.returncode != 75:
        sys.exit(f'{" ".join(map(str, arguments))} ended with {process.returncode}:\n{output}')
    return {'seconds': seconds, 'anonymous': one, 'all_anonymous': together, 'peak': peak}


def train(binary, options, source, work, start):
    config = work / f'run-{start}.yaml'
    config.write_text(RUN.format(run=work / f'run-{start}', features=work / 'features', kind=options.kind, path=source))
    command = [binary, 'train', config]
    if options.ranks > 1:
        command = [binary, 'launch', '-n', str(options.ranks), '--', *command[1:]]
    return measured(command, work / f'run-{start}' / 'events.jsonl')


def starts(binary, options, source, work):
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return {name: train(binary, options, source, work, name) for name in ('first', 'second')}


def added(many, few, rows, ranks):
    """What the rows add to what few rows need."""
    def bytes_per_row(start, which, processes):
        return (many[start][which] - few[start][which] + processes * DECODED_BEFOREHAND) / (rows - FEW)

    return {start: {'seconds': many[start]['seconds'] - few[start]['seconds'],
                    'bytes_per_row': bytes_per_row(start, 'anonymous', 1),
                    'bytes_per_row_of_all_ranks': bytes_per_row(start, 'all_anonymous', ranks)}
            for start in many}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('old')
    parser.add_argument('new')
    parser.add_argument('--kind', required=True, choices=('table', 'webdataset', 'image_folder'))
    parser.add_argument('--rows', type=int, default=2_000_000)
    parser.add_argument('--ranks', type=int, default=1)
    parser.add_argument('--caption-bytes', type=int, default=500)
    parser.add_argument('--folder', type=pathlib.Path, default=pathlib.Path('bench-rows'))
    options = parser.parse_args()
    folder = options.folder.resolve()
    generator = pathlib.Path(__file__).resolve().parent.parent / 'tests/support/many_rows.py'
    sources = {}
    for rows in (FEW, options.rows):
        place = folder / f'{options.kind}-{rows}'
        if not place.exists():
            subprocess.run([sys.executable, generator, '--kind', options.kind, '--rows', str(rows), '--folder', place,
                            '--caption-bytes', str(options.caption_bytes)], check=True)
        sources[rows] = place / 'rows.jsonl' if options.kind == 'table' else place
    binaries = {'old': os.path.abspath(options.old), 'new': os.path.abspath(options.new)}
    rows_add = {}
    for name, binary in binaries.items():
        runs = {rows: starts(binary, options, source, folder / f'work-{name}-{rows}') for rows, source in sources.items()}
        rows_add[name] = added(runs[options.rows], runs[FEW], options.rows, options.ranks)
    config = folder / f'work-new-{options.rows}/run-second.yaml'
    index = json.loads(subprocess.run([binaries['new'], 'data', 'index', config, '--json', '--verify'], check=True,
                                      stdout=subprocess.PIPE, text=True).stdout)[0]
    ratios = {start: {what: rows_add['old'][start][what] / max(value, 1e-9) for what, value in values.items()}
              for start, values in rows_add['new'].items()}
    print(json.dumps({'kind': options.kind, 'rows': options.rows, 'ranks': options.ranks, 'rows_add': rows_add,
                      'old_to_new': ratios, 'index': index}, indent=1))


if __name__ == '__main__':
    main()
