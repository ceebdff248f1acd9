#!/usr/bin/env bash
# Compiles the CUDA kernels with the compiler of CUDA 12; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly kVersion=${CUDA12_VERSION:-12.8}

usage() {
  cat <<'END'
Usage: scripts/check_cuda12.sh

Compiles every src/**/*.cu for sm_80 and sm_90 with CUDA 12, on a machine that has only CUDA 13 or no CUDA:
  - with the nvcc 12.x that NVCC names, if it is set;
  - otherwise with NVRTC, the same compiler as a library, which pip installs into a temporary folder (200 MB). NVRTC
    takes functions of the host for functions of the device, so what they call of CUDA is checked against 12.x, too.
Prints a line for each file; nothing is run or kept. CUDA12_VERSION chooses NVRTC's version (12.8).
END
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mapfile -t sources < <(find src -name '*.cu' | sort)

if [ -n "${NVCC:-}" ]; then
  "$NVCC" --version | grep "release 12\." || { echo "check_cuda12: $NVCC is not of CUDA 12" >&2 && exit 78; }
  for source in "${sources[@]}"; do
    "$NVCC" -std=c++17 -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 -Iinclude -c "$source" -o "$folder/out.o"
    echo "$source: compiled for sm_80, sm_90"
  done
  exit
fi
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  "nvidia-cuda-"{nvrtc,runtime,nvcc,cccl}"-cu12==$kVersion.*"
"$folder/venv/bin/python" scripts/nvrtc.py "$folder"/venv/lib/python3*/site-packages/nvidia "${sources[@]}"
