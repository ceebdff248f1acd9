#!/usr/bin/env bash
# pixart's training step against PyTorch eager's, in turn on the same machine; --help says more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ " $* " == *" --help "* ]]; then
  cat <<END
Usage: scripts/bench_step.sh [options of pixart_bench step]

Runs pixart_bench step and scripts/bench_step.py (PyTorch eager, the fastest of its forms), which make their steps in turn,
so that a busy machine hits both alike. Prints JSON with the ratio of their step times: of the medians, the median of the
pairs of steps, of the fastest steps, and of the CPU time. Above 1 pixart is faster.
PYTHON names the Python with torch (else the one that scripts/setup.sh installed).
END
  exit 0
fi
bench=build/release/bin/pixart_bench
python=${PYTHON:-.deps/venv/bin/python}
if [ ! -x "$bench" ]; then
  echo "bench_step: no $bench; build it with scripts/build.sh release pixart_bench" >&2
  exit 78
fi
if ! command -v "$python" >/dev/null; then
  echo "bench_step: no $python; scripts/setup.sh installs PyTorch, or name a Python that has it: PYTHON=..." >&2
  exit 78
fi
exec "$bench" step --rival "$python" --json "$@"
