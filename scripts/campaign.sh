#!/usr/bin/env bash
# Breaks the promises of pixart on purpose; see --help.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/campaign.sh [--drill NAME ...] [--count N] [--seconds S] [--out FILE.jsonl]
       scripts/campaign.sh --drill NAME --seed N        (replays one trial)
       scripts/campaign.sh --table --out FILE.jsonl

Disturbs pixart's commands on tiny inputs and compares what they leave, byte for byte, with what they leave undisturbed:
weights, optimizer, events.jsonl and all other outputs; exit codes must be the documented ones, no process and no temporary
file may be left, and no foreign file may be touched. Without --drill all drills run, one after the other:
  kills     kill -9 at a random file operation or after a random part of the work: train, two ranks, extract, data pack,
            convert, sample, caption, report
  signals   SIGTERM, SIGINT, SIGUSR1, SIGHUP to these commands and to single ranks
  hangs     stopped ranks, stalled disks, a reader of the output that waits
  storage   full disk, quota, I/O errors, short writes, read-only files outside of checkpoints
  flips     every bit of a small feature set and of its index
  clocks    a wall clock that jumps, runs backwards or not at all, and wrong times of files, with kills
  chaos     one run, and every ten seconds one fault of more than twenty kinds
  soak      20,000 steps in one process: memory, open files, threads and the folder must not grow
  poison    20 consecutive samples that are not finite: the run rolls back, leaves them out, and ends with the weights of a run
            that was told of them; with kills, requests to stop, and two ranks
Every trial is made by its seed. A trial that breaks a promise prints "LOST", the reason and the line that replays it; the
exit code is then 1.
  --binary FILE    the program (default: build/release/bin/pixart)
  --drill NAME     only this drill; may be repeated
  --seed N         only this trial; with --count or --seconds: begin at this seed
  --count N        go on until N were tried (kills, faults, bits, steps ...), those that --out knows included (default: 1)
  --seconds S      begin no trial after this time
  --out FILE       append one JSON line for each trial; trials of the same commit that it has are not made again
  --interval S     chaos: seconds between faults (default 10)
  --scale X        chaos, soak: factor of the number of steps (default 1)
  --where TEXT     where it runs, for the table (default: CI where CI is set, else "by hand")
  --work FOLDER    where the temporary folder is made
  --table          print the Markdown table of the trials in --out, of one commit
  --commit ID      instead of the tree's commit; with --table: of these trials (default: the last)

Examples:
  scripts/campaign.sh --drill kills --count 2000 --out build/campaign.jsonl
  scripts/campaign.sh --drill chaos --count 300 --out build/campaign.jsonl
  scripts/campaign.sh --drill storage --seed 17
  scripts/campaign.sh --table --out build/campaign.jsonl > table.md
END
}

for word in "$@"; do
  case "$word" in -h | --help) usage && exit 0 ;; esac
done
exec env PYTHONDONTWRITEBYTECODE=1 python3 "$(dirname "${BASH_SOURCE[0]}")/campaign/main.py" "$@"
