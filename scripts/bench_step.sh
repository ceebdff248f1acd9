#!/usr/bin/env bash
# Compares pixart's training step with PyTorch eager's, in turn on the same machine; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ " $* " == *" --help "* ]]; then
  cat <<END
Usage: scripts/bench_step.sh [options of pixart_bench step]

Runs pixart_bench step and scripts/bench_step.py (PyTorch eager in its fastest form), which make their steps in turn, so
that a busy machine slows both equally. With --compiled, torch.compile takes turns with them. Prints JSON with the ratio
of their step times: of the medians, the median over pairs of steps, of the fastest steps, and of the CPU time. If the
ratio is above 1, pixart is faster.
PYTHON names the Python with torch (default: the one that scripts/setup.sh installed).
END
  exit 0
fi
bench=build/release/bin/pixart_bench
python=${PYTHON:-.deps/venv/bin/python}
if [ ! -x "$bench" ]; then
  echo "bench_step: $bench is missing; build it with scripts/build.sh release pixart_bench" >&2
  exit 78
fi
if ! command -v "$python" >/dev/null; then
  echo "bench_step: $python is missing; run scripts/setup.sh, which installs PyTorch, or name a Python with torch: PYTHON=..." >&2
  exit 78
fi
exec "$bench" step --rival "$python" --json "$@"
