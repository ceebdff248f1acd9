#!/usr/bin/env bash
# Trains the demo and scores it; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly kExitBadInput=78
readonly kExitBelowBar=72 # exit code of `pixart demo score`, which did score the run
readonly kMargin=15       # points by which the re-parameterised start must lead

usage() {
  cat <<END
Usage: scripts/demo.sh [--compare-scratch [--seeds 0,1,2]]

Installs what is missing, builds pixart, trains the paper's three stages on drawn scenes (configs/demo/scenes.yaml) and
scores the images. Takes minutes on two processors; an interrupted demo is continued, a finished one is only
scored again. The run folder is runs/demo. The exit code is that of \`pixart demo score\`: $kExitBelowBar if a bar is missed.

  --compare-scratch   instead trains the text stage from the re-parameterised class-conditional model and from scratch
                      (configs/demo/compare.yaml) for each seed, and draws both curves into runs/compare/curves.svg.
                      The demo is trained first if needed, because its autoencoder is used.
                      The exit code is 1 if a seed's re-parameterised start is less than $kMargin points ahead at the end.
  --seeds 0,1,2       the seeds of the comparison

Environment:
  PIXART_BIN   the pixart binary to use; then the script installs and builds nothing
END
}

say() { printf 'demo: %s\n' "$*"; }

prepare() {
  if [ -n "${PIXART_BIN:-}" ]; then
    say "using $PIXART_BIN, which PIXART_BIN names; nothing is installed or built."
    return
  fi
  scripts/setup.sh
  scripts/build.sh release pixart
  PIXART_BIN=build/release/bin/pixart
}

# Prints run folder $1's score.json as a table.
print_scores() {
  python3 - "$1/score.json" <<'END'
import json, sys

scores = json.load(open(sys.argv[1]))
stages = {name: value for name, value in scores.items() if isinstance(value, dict)}
columns = list(dict.fromkeys(metric for stage in stages.values() for metric in stage))
order = [name for name in ("background", "color", "shape", "all", "all_heldout") if name in columns]
columns = order + [name for name in columns if name not in order]
print("percent of images that show what the caption says ('all_heldout': pairs that were never trained on)")
print(f"  {'':8}" + "".join(f"{name:>13}" for name in columns))
for name, stage in stages.items():
    print(f"  {name:8}" + "".join(f"{stage[metric]:13.1f}" if metric in stage else f"{'-':>13}" for metric in columns))
for name, text in (("judge_truth", "the judge on the drawn scenes themselves"), ("vae_read", "the judge on them after the autoencoder")):
    if name in scores:
        print(f"  {name}: {scores[name]:.1f}, {text}")
if "seconds" in scores:
    print(f"  {scores['seconds'] / 60:.1f} minutes of training and scoring")
END
}

list_images() {
  local folder last
  say "images, by step; the last one of each stage:"
  for folder in "$1"/samples/*/; do
    last=$(find "$folder" -name '*.png' | sort | tail -n 1)
    [ -z "$last" ] || echo "  $last"
  done
}

run_demo() {
  local run=runs/demo status=0
  "$PIXART_BIN" train configs/demo/scenes.yaml
  # The result of an earlier evaluation must not pass for this one's.
  rm -f "$run/score.json"
  "$PIXART_BIN" demo score "$run" || status=$?
  if [ "$status" -ne 0 ] && [ "$status" -ne "$kExitBelowBar" ]; then
    say "pixart demo score failed with exit code $status." >&2
    return "$status"
  fi
  list_images "$run"
  print_scores "$run"
  if [ "$status" -ne 0 ]; then
    say "the demo is below a bar of configs/demo/scenes.yaml (see above)." >&2
  fi
  return "$status"
}

run_comparison() {
  local seed run runs=()
  "$PIXART_BIN" train configs/demo/scenes.yaml
  for seed in "$@"; do
    run=runs/compare/seed-$seed
    say "seed $seed: training from the re-parameterised model and from scratch -> $run"
    "$PIXART_BIN" train configs/demo/compare.yaml --set "seed=$seed" --set "run=$run"
    rm -f "$run/curve.json"
    "$PIXART_BIN" demo score "$run" --curve
    runs+=("$run")
  done
  python3 scripts/plot_compare.py --margin "$kMargin" --out runs/compare/curves.svg "${runs[@]}"
}

main() {
  local compare=no seeds=
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) usage && return ;;
      --compare-scratch) compare=yes ;;
      --seeds)
        seeds=${2:-none}
        [ $# -eq 1 ] || shift
        ;;
      --seeds=*) seeds=${1#*=} ;;
      *) echo "demo: unknown argument '$1'; see scripts/demo.sh --help." >&2 && return "$kExitBadInput" ;;
    esac
    shift
  done
  if [ -n "$seeds" ] && { [ "$compare" = no ] || ! [[ $seeds =~ ^[0-9]+(,[0-9]+)*$ ]]; }; then
    echo "demo: --seeds takes numbers separated by commas, together with --compare-scratch; got '$seeds'." >&2
    return "$kExitBadInput"
  fi
  prepare
  if [ "$compare" = yes ]; then
    local list
    IFS=, read -ra list <<<"${seeds:-0,1,2}"
    run_comparison "${list[@]}"
  else
    run_demo
  fi
}

main "$@"
