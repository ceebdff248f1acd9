#!/usr/bin/env bash
# Measures the claims about cheaper training; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'END'
Usage: scripts/evidence.sh [--parts LIST] [--seeds 0,1,2] [--out FOLDER] [--jobs N] [--quick]
                           [--real FOLDER] [--teacher FOLDER] [--old FILE] [--page FILE]

Trains and scores what the claims about cheaper training rest on, for three seeds, and says of each claim whether it holds:
  routing     the demo's text stage with tokens that skip blocks: as good with at least 25 % fewer FLOPs
  muon        the same with Muon: fewer steps to the same score than with AdamW
  alignment   the same with a teacher (REPA): fewer steps to the same score
  stamps      real images: a held-out loss at least 20 % below that of the best linear predictor of the noise, and the
              re-parameterised start ahead of scratch
  mup         the best learning rate of width 96 fits width 384, and the coordinate check is flat
  time        the demo's score in at most 0.6 of the time
All of it takes less than two hours of two cores. The same command continues after a stop, and trains nothing again. FOLDER
gets results/RUN.json, table.md and curves-PART.svg.

  --parts LIST       the parts to run, with commas between them (default: all)
  --seeds 0,1,2      the seeds
  --out FOLDER       where all files go (default: runs/evidence; with --quick runs/evidence-quick)
  --jobs N           runs at a time, of one thread each (default: 2)
  --quick            tiny sizes, to try the script; its results mean nothing
  --real FOLDER      stamps: takes T5's vocabulary and TAEF2 from FOLDER (t5_v1_1_tokenizer/spiece.model, taef2/), in place
                     of parts that the script trains
  --teacher FOLDER   alignment: a CLIP model (default: one with fixed filters, which the script writes)
  --old FILE         time: an older pixart, which trains the recipe of then (default: the present one)
  --page FILE        puts the table into FILE, between its two comments "evidence"

The part stamps needs Debian's tuxpaint-stamps-default, and Python's numpy, which is installed into .deps/evidence if it is
missing.

Environment:
  PIXART_BIN   the pixart binary to use (default: build/release/bin/pixart)

Exit codes: 0 all claims hold, 1 a claim does not hold or was not measured on each seed, 75 stopped (the same command continues),
78 an argument is wrong or something is missing; otherwise that of the command that failed.
END
}

for argument in "$@"; do
  case "$argument" in -h | --help) usage && exit ;; esac
done

has_numpy() { "$1" -c 'import numpy' 2>/dev/null; }

# Prints a Python that has numpy, if there can be one, or else python3.
choose_python() {
  local python
  for python in python3 .deps/evidence/bin/python; do
    has_numpy "$python" && echo "$python" && return
  done
  case " $* " in *stamps*) ;; *--parts*) echo python3 && return ;; esac
  if python3 -m venv .deps/evidence >&2 && .deps/evidence/bin/python -m pip install --quiet --disable-pip-version-check \
    --only-binary :all: numpy >&2; then
    echo .deps/evidence/bin/python
  else
    echo "evidence: numpy could not be installed, so the part stamps is left out" >&2
    echo python3
  fi
}

exec "$(choose_python "$@")" scripts/evidence/main.py --pixart "${PIXART_BIN:-build/release/bin/pixart}" "$@"
