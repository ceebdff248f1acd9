#!/usr/bin/env bash
# Records the results of short runs, so that two versions can be compared; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly kExitBadInput=78

usage() {
  cat <<'END'
Usage: scripts/record_runs.sh OUT [RUN ...]

Trains four short runs of the demo (configs/demo/scenes.yaml) on the CPU, or those that are named, and writes their results
into the folder OUT, which must not exist yet. A change of the code that should not change any result is right if the recordings from before
and after it are the same:

  scripts/record_runs.sh before
  ... change and build ...
  scripts/record_runs.sh after && diff -r before after

  demo/        all stages in one process, one thread
  objectives/  the same with v, zero terminal SNR, min-SNR weights and strata; flow, a shift, logit-normal timesteps, P2 weights
  ranks/       all stages in two processes: bfloat16, recomputed blocks, micro-batches, micro-conditions, CAME, shards of the
               optimizer's state, adapters, validation
  exact/       two processes with numerics: exact

Each holds events.jsonl (losses, norms and learning rates of all steps) and sums.txt: SHA-256 of the tensors of each
checkpoint's files, without their metadata, and of each sample image. It takes about a minute. The results are the same
only on one kind of processor and with one LibTorch. A binary without the keys of objectives/ records the others:

  PIXART_BIN=older/pixart scripts/record_runs.sh before demo ranks exact

Environment:
  PIXART_BIN   the pixart binary to use (default: build/release/bin/pixart)
END
}

# sums FOLDER: prints a line for each weight file and image of the run.
sums() {
  python3 - "$1" <<'END'
import hashlib, json, pathlib, struct, sys

def digest(path):
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])
        header.pop("__metadata__", None)
        content = json.dumps(header, sort_keys=True).encode() + content[8 + size :]
    return hashlib.sha256(content).hexdigest()

run = pathlib.Path(sys.argv[1])
files = [*run.glob("checkpoints/*/*/*.safetensors"), *run.glob("samples/*/*.png"), *run.glob("lora/**/*.safetensors")]
for path in sorted(files):
    print(digest(path), path.relative_to(run))
END
}

# record NAME COMMAND ...: runs and records the command, which ends with arguments of `pixart train`, if NAME is wanted.
record() {
  local name=$1 run=$work/$1
  shift
  [[ " ${wanted[*]} " == *" $name "* ]] || return 0
  if ! OMP_NUM_THREADS=1 "$@" --set "run=$run" "${common[@]}" >"$work/$name.txt" 2>&1; then
    cat "$work/$name.txt" >&2
    return 1
  fi
  mkdir -p "$out/$name"
  cp "$run/events.jsonl" "$out/$name/"
  sums "$run" >"$out/$name/sums.txt"
  echo "$name: $(wc -l <"$out/$name/events.jsonl") lines of events, $(wc -l <"$out/$name/sums.txt") files"
}

# stage NAME KEY=VALUE ...: puts them into `settings` as arguments.
stage() {
  local name=$1 setting
  shift
  for setting in "$@"; do settings+=(--set "stages.$name.$setting"); done
}

main() {
  case "${1:-}" in
    -h | --help) usage && return ;;
  esac
  if [ $# = 0 ] || [[ $1 == -* ]]; then
    echo "record_runs: expected a folder; see scripts/record_runs.sh --help." >&2 && exit "$kExitBadInput"
  fi
  out=$1
  shift
  local all=(demo objectives ranks exact) name
  wanted=("${@:-${all[@]}}")
  for name in "${wanted[@]}"; do
    [[ " ${all[*]} " == *" $name "* ]] ||
      { echo "record_runs: '$name' is not one of the runs: ${all[*]}." >&2 && exit "$kExitBadInput"; }
  done
  [ ! -e "$out" ] || { echo "record_runs: $out exists; give a new folder." >&2 && exit "$kExitBadInput"; }
  local pixart=${PIXART_BIN:-build/release/bin/pixart} config=configs/demo/scenes.yaml settings=()
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  for name in autoencoder class text aesthetic; do
    stage "$name" steps=8 batch_size=8 log_every=1 checkpoints.every=4 lr_schedule.warmup_steps=2
    [ "$name" = autoencoder ] || stage "$name" samples.every=4 samples.num_steps=3
  done
  common=(--set device=cpu --set threads=1 --set sources.scenes.count=96 --set sources.shaded.count=96 "${settings[@]}")
  record demo "$pixart" train "$config"

  settings=()
  stage class prediction=v zero_terminal_snr=true loss_weighting=min_snr timesteps=stratified samples.sampler=ddim
  stage text prediction=flow shift=2 timesteps=logit_normal samples.sampler=heun \
    "validation={every: 4, source: shaded, samples: 4}"
  stage aesthetic prediction=flow loss_weighting=p2 samples.sampler=unipc
  record objectives "$pixart" train "$config" "${settings[@]}"

  common+=(--set "transformer={patch_size: 2, hidden_size: 48, depth: 2, num_heads: 4}")
  settings=()
  for name in class text aesthetic; do
    stage "$name" precision=bfloat16 activation_checkpointing=1 micro_batch_size=2
  done
  stage class optimizer.shard=true "validation={every: 4, source: shaded, samples: 4}"
  stage text "optimizer={name: came, shard: true}" multi_scale=true "validation={every: 4, source: shaded, samples: 4}"
  stage aesthetic multi_scale=true "lora={rank: 4}"
  record ranks "$pixart" launch -n 2 -- train "$config" "${settings[@]}"
  record exact "$pixart" launch -n 2 -- train "$config" --set numerics=exact
}

main "$@"
