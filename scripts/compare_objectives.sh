#!/usr/bin/env bash
# Trains the demo's text stage by flow matching and by the published objective, and compares the scores; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly kExitBadInput=78

usage() {
  cat <<'END'
Usage: scripts/compare_objectives.sh [--seeds 0,1,2] [--set KEY=VALUE ...]

Trains configs/demo/objectives.yaml for each seed with prediction: epsilon (the published objective) and prediction: flow,
for equal steps and from the same weights, scores the images of every kept checkpoint, prints a table with means and
standard errors, and draws the curves into runs/objectives/curves.svg. The demo's autoencoder is trained first if
runs/demo does not have it. It takes some minutes for each seed and objective on two processors; the same command
continues after a stop, and trains nothing again. The exit code is 1 if flow is below epsilon by more than the standard
error of the difference.

  --seeds 0,1,2     the seeds, at least two
  --set KEY=VALUE   a key of all runs, for example --set stages.text.steps=500

Environment:
  PIXART_BIN   the pixart binary to use (default: build/release/bin/pixart)
END
}

# train_and_score SEED OBJECTIVE ARGUMENT ...: the run folder is runs/objectives/seed-SEED/OBJECTIVE.
train_and_score() {
  local seed=$1 run=runs/objectives/seed-$1/$2
  shift 2
  echo "compare_objectives: $run"
  "$pixart" train configs/demo/objectives.yaml --set "seed=$seed" --set "run=$run" "$@"
  # The scores of an earlier run must not pass for this one's.
  rm -f "$run/curve.json"
  "$pixart" demo score "$run" --curve
}

main() {
  local seeds=0,1,2 seed folders=() list common=()
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) usage && return ;;
      --seeds) seeds=${2:-} ;;
      --set) common+=(--set "${2:-}") ;;
      *) echo "compare_objectives: unknown argument '$1'; see scripts/compare_objectives.sh --help." >&2 && return "$kExitBadInput" ;;
    esac
    shift $(($# < 2 ? 1 : 2))
  done
  if ! [[ $seeds =~ ^[0-9]+(,[0-9]+)+$ ]]; then
    echo "compare_objectives: --seeds takes two or more numbers separated by commas; got '$seeds'." >&2
    return "$kExitBadInput"
  fi
  pixart=${PIXART_BIN:-build/release/bin/pixart}
  [ -e runs/demo/autoencoder/config.json ] || "$pixart" train configs/demo/scenes.yaml --stage autoencoder
  IFS=, read -ra list <<<"$seeds"
  for seed in "${list[@]}"; do
    train_and_score "$seed" epsilon "${common[@]}"
    train_and_score "$seed" flow "${common[@]}" --set stages.text.prediction=flow --set stages.text.timesteps=logit_normal
    folders+=("runs/objectives/seed-$seed")
  done
  python3 scripts/plot_compare.py --not-below --leader flow --baseline epsilon --leader-label "flow matching" \
    --baseline-label "noise and variance, as published" --title "Text stage from random weights: two objectives" \
    --out runs/objectives/curves.svg "${folders[@]}"
}

main "$@"
