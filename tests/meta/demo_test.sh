#!/usr/bin/env bash
# scripts/demo.sh around a pixart that only pretends. Usage: demo_test.sh SOURCE_DIR
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r "$1/scripts" "$folder/scripts"
cd "$folder"

cat >pixart <<'END'
#!/usr/bin/env bash
echo "$*" >>calls
case "$*" in
  train*)
    mkdir -p runs/demo/samples/text runs/demo/checkpoints/{class/step-00000500,text/step-00000{200,600}} && touch runs/demo/samples/text/step-00000{200,600}.png
    mkdir -p runs/compare/seed-3/checkpoints/{reparameterized,scratch}/step-00000{200,600}
    ;;
  sample*) [ -z "${NO_SAMPLE:-}" ] || exit 70 ;;
  score*)
    card=${!#}
    mkdir -p "${card%/*}"
    echo '{"scores": {"fd_efficientnet_lite0": 123.5, "kd_efficientnet_lite0": 0.25, "kd_efficientnet_lite0_deviation": 0.01}}' >"$card"
    ;;
  *objectives*--curve)
    mkdir -p "$3"
    case "$3" in */flow) all=${FLOW:-60} ;; *) all=5$(basename "${3%/*}" | tr -dc 0-9) ;; esac
    echo '{"stages": {"text": [{"step": 1000, "all": '"$all"'}]}}' >"$3/curve.json"
    ;;
  *--curve)
    mkdir -p "$3"
    echo '{"stages": {"reparameterized": [{"step": 600, "all": 90}], "scratch": [{"step": 600, "all": '"${SCRATCH:-40}"'}]}}' >"$3/curve.json"
    ;;
  "demo score"*)
    [ -n "${NO_SCORE:-}" ] || echo '{"judge_truth": 99, "vae_read": 98, "stage2": {"all": 88.8, "all_heldout": 41}, "seconds": 120}' >"$3/score.json"
    exit "${STATUS:-0}"
    ;;
esac
END
chmod +x pixart
export PIXART_BIN=$folder/pixart

# expect EXIT_CODE TEXT COMMAND...: TEXT is part of what the command writes.
expect() {
  local code=0 want=$1 text=$2 output
  shift 2
  output=$("$@" 2>&1) || code=$?
  if [ "$code" -ne "$want" ] || [[ "$output" != *"$text"* ]]; then
    printf 'wanted exit code %s and "%s" of %s; got %s and:\n%s\n' "$want" "$text" "$*" "$code" "$output"
    exit 1
  fi
}

expect 0 "step-00000600.png" scripts/demo.sh
[ "$(cat calls)" = $'train configs/demo/scenes.yaml\ndemo score runs/demo' ]
expect 0 "88.8" scripts/demo.sh
expect 0 "no distances: .deps/efficientnet-lite0-57934424.pth is not here" scripts/demo.sh
expect 0 "which is not a file" env PIXART_EFFICIENTNET=none scripts/demo.sh

# With the network, the last checkpoint of each stage is scored against the same scenes.
touch net.pth
: >calls
expect 0 "123.5" env PIXART_EFFICIENTNET=net.pth scripts/demo.sh
expect 0 "the distances took" env PIXART_EFFICIENTNET=net.pth scripts/demo.sh
: >calls
expect 0 "shows all of it" env PIXART_EFFICIENTNET=net.pth scripts/demo.sh
[ "$(find runs/demo/scores -type f | sort | paste -sd' ')" = "runs/demo/scores/class/step-00000500.json runs/demo/scores/text/step-00000600.json" ]
grep -q "^data pack scenes runs/demo/reference/scenes-shaded-seed-20231 --type scenes --set count=390 --set seed=20231 --set style=shaded$" calls
grep -q "^sample runs/demo --stage class --step 500 --suite classes:234 " calls
grep -q "^sample runs/demo --stage text --step 600 --prompts .* --count 6 " calls
[ "$(grep -c -- "--reference runs/demo/reference/scenes-shaded-seed-20231 --metrics fd-efficientnet-lite0 --efficientnet-weights net.pth" calls)" -eq 2 ]
# A card of the user stays.
mkdir -p runs/demo/scores/mine && echo '{"scores": {"fid": 1}}' >runs/demo/scores/mine/step-1.json
expect 0 "shows all of it" env PIXART_EFFICIENTNET=net.pth scripts/demo.sh
[ "$(find runs/demo/scores -type f | wc -l)" -eq 3 ]
rm -r runs/demo/scores/mine
# The demo goes on without the distances, and those of an earlier model go away.
expect 0 "no distance of stage text at step 00000600" env PIXART_EFFICIENTNET=net.pth NO_SAMPLE=1 scripts/demo.sh
[ ! -e runs/demo/scores ]
expect 72 "88.8" env STATUS=72 scripts/demo.sh
# The score of an earlier run must not be shown for one that failed.
expect 70 "exit code 70" env STATUS=70 NO_SCORE=1 scripts/demo.sh
[ ! -e runs/demo/score.json ]

: >calls
expect 0 "+50.0" scripts/demo.sh --compare-scratch --seeds 3,5
[ "$(grep -c . calls)" -eq 5 ] # the demo, for its autoencoder, then each seed twice
[ "$(head -n 1 calls)" = "train configs/demo/scenes.yaml" ]
grep -qx "train configs/demo/compare.yaml --set seed=5 --set run=runs/compare/seed-5" calls
[ -s runs/compare/curves.svg ]
expect 0 "scratch" env PIXART_EFFICIENTNET=net.pth scripts/demo.sh --compare-scratch --seeds 3
[ "$(find runs/compare/seed-3/scores -type f | wc -l)" -eq 4 ] # two checkpoints of each of two stages
expect 1 "below 10" env SCRATCH=80.5 scripts/demo.sh --compare-scratch --seeds=0
expect 78 "numbers separated by commas" scripts/demo.sh --compare-scratch --seeds 1,x
expect 78 "numbers separated by commas" scripts/demo.sh --compare-scratch --seeds
expect 78 "numbers separated by commas" scripts/demo.sh --seeds 1
expect 78 "unknown argument" scripts/demo.sh --wrong

: >calls
expect 0 "flow is not below epsilon" scripts/compare_objectives.sh --seeds 3,5 --set stages.text.steps=20
[ "$(head -n 1 calls)" = "train configs/demo/scenes.yaml --stage autoencoder" ]
[ "$(grep -c . calls)" -eq 9 ] # the autoencoder, then each objective of each seed twice
grep -qx "train configs/demo/objectives.yaml --set seed=5 --set run=runs/objectives/seed-5/epsilon --set stages.text.steps=20" calls
grep -q "run=runs/objectives/seed-5/flow --set stages.text.steps=20 --set stages.text.prediction=flow" calls
[ -s runs/objectives/curves.svg ]
mkdir -p runs/demo/autoencoder && touch runs/demo/autoencoder/config.json
: >calls
expect 1 "flow is below epsilon" env FLOW=40 scripts/compare_objectives.sh --seeds 3,5
[[ "$(head -n 1 calls)" == "train configs/demo/objectives.yaml"* ]]
expect 78 "two or more numbers" scripts/compare_objectives.sh --seeds 3
expect 78 "two or more numbers" scripts/compare_objectives.sh --seeds
expect 78 "unknown argument" scripts/compare_objectives.sh --wrong
