#!/usr/bin/env bash
# The first checks on a machine with a GPU; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'END'
Usage: scripts/gpu_check.sh [--device cuda:0] [--keep FOLDER]

On a machine with a GPU, builds pixart and writes tests/gpu/results/<device>-<date>.json with
  - a description of the machine (pixart doctor);
  - the golden cases of both transformers, forward and gradient, in float32 and bfloat16, and NCCL with one rank;
  - 200 steps of a small run that was stopped in the middle and continued; it must equal the uninterrupted run to the bit
    (numerics: exact);
  - the training step of PixArt-XL/2 at 256 px in bfloat16, batches of 32 and 64, compared with PyTorch eager: images/s and
    peak memory; how long a checkpoint stalls training.
It prints one line per finding. Without a GPU it says so, changes nothing and ends with 0.
  --keep FOLDER   folder for the small runs (default: a temporary folder)
END
}

device=cuda:0 folder=''
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --device) device=$2 && shift ;;
    --keep) folder=$2 && shift ;;
    *) echo "gpu_check: unknown option '$1'; see scripts/gpu_check.sh --help." >&2 && exit 78 ;;
  esac
  shift
done

if [ ! -e /dev/nvidiactl ]; then
  echo "gpu_check: no GPU here (no /dev/nvidiactl); nothing was checked and nothing was changed."
  exit 0
fi
if [ -z "$folder" ]; then
  folder=$(mktemp -d)
  trap 'rm -r "$folder"' EXIT
fi
mkdir -p "$folder"
scripts/build.sh release pixart pixart_bench pixart_device_check
bin=build/release/bin python=${PYTHON:-.deps/venv/bin/python}
# cuBLAS gives the same sums each time only with a workspace of fixed size.
export CUBLAS_WORKSPACE_CONFIG=:4096:8 PIXART_GOLDEN_DIR=${PIXART_GOLDEN_DIR:-$PWD/tests/golden}

note() { echo "gpu_check: $*"; }

"$bin/pixart" doctor | tee "$folder/doctor.txt"
"$bin/pixart_device_check" "$device" >"$folder/device_check.json" && note "golden cases and communicator: good" ||
  note "golden cases or communicator: BAD, see device_check"

# 200 steps, in one run and in two.
run="train configs/demo/scenes.yaml --set device=$device --set numerics=exact --set stages.autoencoder.steps=50"
run+=" --set stages.class.steps=200 --set stages.class.checkpoints.every=100"
resumed=false
"$bin/pixart" $run --set run="$folder/whole" --stage autoencoder
cp -r "$folder/whole" "$folder/parts"
"$bin/pixart" $run --set run="$folder/whole" --stage class
timeout --signal=TERM 10 "$bin/pixart" $run --set run="$folder/parts" --stage class || true
"$bin/pixart" $run --set run="$folder/parts" --stage class
cmp "$folder/whole/checkpoints/class/step-00000200/model.safetensors" \
  "$folder/parts/checkpoints/class/step-00000200/model.safetensors" && resumed=true
note "a run that was stopped and continued is the same to the bit: $resumed"

xl="--hidden-size 1152 --depth 28 --num-heads 16 --latent-size 32 --caption-tokens 120 --caption-width 4096 --steps 20"
for batch in 32 64; do
  "$bin/pixart_bench" step $xl --batch-size $batch --precision bf16 --device "$device" --json >"$folder/step-$batch.json"
  "$python" scripts/bench_step.py $xl --batch-size $batch --precision bf16 --device "$device" >"$folder/eager-$batch.json" ||
    echo '{"error": "PyTorch eager did not run"}' >"$folder/eager-$batch.json"
done
"$bin/pixart_bench" checkpoint --device "$device" --json >"$folder/checkpoint.json"

"$python" - "$folder" "$resumed" <<'END'
import datetime, json, pathlib, re, subprocess, sys
folder = pathlib.Path(sys.argv[1])
load = lambda name: json.loads((folder / name).read_text())
query = "name,driver_version,memory.total,power.limit,clocks.max.sm"
gpu = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True).stdout.strip()
result = {"gpu": dict(zip(query.split(","), gpu.splitlines()[0].split(", "))), "date": datetime.date.today().isoformat(),
          "commit": subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip(),
          "doctor": (folder / "doctor.txt").read_text().splitlines(), "device_check": load("device_check.json"),
          "resumed_bit_for_bit": sys.argv[2] == "true",
          "step": {batch: {"ours": load(f"step-{batch}.json"), "eager": load(f"eager-{batch}.json")} for batch in (32, 64)},
          "checkpoint": load("checkpoint.json")}
name = re.sub(r"[^a-z0-9]+", "-", result["gpu"]["name"].lower()) + "-" + result["date"]
path = pathlib.Path("tests/gpu/results") / f"{name}.json"
path.write_text(json.dumps(result, indent=1) + "\n")
print(f"gpu_check: written to {path}")
END
