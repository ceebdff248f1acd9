#!/usr/bin/env bash
# pixart's training step against PyTorch eager's, in turn on the same machine; --help says more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ " $* " == *" --help "* ]]; then
  cat <<END
Usage: scripts/bench_step.sh [options of pixart_bench step]

Runs pixart_bench step and scripts/bench_step.py (PyTorch eager, the fastest of its forms) in turn, three times, and prints
the ratio of their step times: of the medians of medians, of the fastest steps, and of the CPU time of a step, which with
--threads 1 means something on a busy machine too. Above 1 pixart is faster.
ROUNDS=5 makes five rounds; PYTHON names the Python with torch (else the one that scripts/setup.sh installed).
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
results=$(mktemp -d)
trap 'rm -r "$results"' EXIT
form=()
for round in $(seq "${ROUNDS:-3}"); do
  "$bench" step --json "$@" >"$results/ours-$round.json"
  "$python" scripts/bench_step.py "$@" "${form[@]}" >"$results/rival-$round.json"
  form=(--form "$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["form"])' "$results/rival-$round.json")")
done
"$python" - "$results" <<'END'
import glob, json, statistics, sys
runs = {name: [json.load(open(path)) for path in sorted(glob.glob(f"{sys.argv[1]}/{name}-*.json"))] for name in ("ours", "rival")}
assert runs["ours"][0]["parameters"] == runs["rival"][0]["parameters"], "not the same model"
median = {name: statistics.median(run["step_ms"]["median"] for run in all) for name, all in runs.items()}
least = {name: min(run["step_ms"]["min"] for run in all) for name, all in runs.items()}
cpu = {name: statistics.median(run["cpu_ms"] for run in all) for name, all in runs.items()}
print(json.dumps({"benchmark": "step against PyTorch eager", "ours": runs["ours"], "rival": runs["rival"],
                  "ratio": {"of_medians": median["rival"] / median["ours"], "of_fastest": least["rival"] / least["ours"],
                            "of_cpu_time": cpu["rival"] / cpu["ours"]}}, indent=1))
END
