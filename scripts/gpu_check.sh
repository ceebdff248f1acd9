#!/usr/bin/env bash
# The first checks on a machine with a GPU; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'END'
Usage: scripts/gpu_check.sh [--device cuda:0] [--keep FOLDER] [--only PART ...]

On a machine with a GPU, builds pixart, and then, in less than ten minutes (scripts/gpu_check.py), checks and measures
  machine       what the machine is (nvidia-smi, pixart doctor)
  golden        the golden cases of both transformers, forward and gradient, in float32 and bfloat16; NCCL with one rank
  resume        a run that is stopped after a known step and continued equals the whole one to the bit (numerics: exact)
  step          the training step of PixArt-XL/2 at 256 px in bfloat16, captions of 60 to 120 tokens, in batches that fit
                into the free memory, against PyTorch eager and torch.compile
  loader        the same step with features on the disk, through the loader
  checkpoint    how long a save stalls training
  two_ranks     with two GPUs: losses and gradient norms over NCCL equal those of one rank
  killed_rank   with two GPUs: a rank is killed, the other ends with 76 in time
  hung_rank     with two GPUs: a rank is stopped by SIGSTOP, the other ends with 76 in time
It prints one line for each part. A part that fails or takes too long does not end the others; the exit code is then 1.
Everything is in tests/gpu/results/<device>-<date>.json, which is written after each part.
Without a GPU it says so, changes nothing and ends with 0.
  --keep FOLDER   folder for the small runs (default: a temporary folder)
  --only PART     only this part; may be repeated
  --python FILE   a Python with torch (default: PYTHON, or the one that scripts/setup.sh installed)
END
}

options=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --device | --keep | --only | --python) options+=("$1" "${2:?"$1 needs a value"}") && shift ;;
    *) echo "gpu_check: unknown option '$1'; see scripts/gpu_check.sh --help." >&2 && exit 78 ;;
  esac
  shift
done

if [ ! -e /dev/nvidiactl ]; then
  echo "gpu_check: no GPU here (no /dev/nvidiactl); nothing was checked and nothing was changed."
  exit 0
fi
scripts/build.sh release pixart pixart_bench pixart_device_check
exec python3 scripts/gpu_check.py "${options[@]}"
