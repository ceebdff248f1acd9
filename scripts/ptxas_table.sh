#!/usr/bin/env bash
# Prints what ptxas says of our CUDA kernels; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'END'
Usage: scripts/ptxas_table.sh [FILE.cu...]

Compiles the kernels of src/nn, or the named files, for sm_80, sm_90, sm_100 and sm_120 and prints a Markdown table: the registers
of a thread, and the bytes that are spilled to memory if there are any. It needs nvcc (NVCC names it), and no GPU.
The table of src/nn/kernels/README.md is made by this.
END
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
esac
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
architectures=(80 90 100 120)
files=("$@")
[[ ${#files[@]} -gt 0 ]] || files=(src/nn/kernels/*.cu)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

flags=()
for architecture in "${architectures[@]}"; do flags+=(-gencode "arch=compute_$architecture,code=sm_$architecture"); done
for file in "${files[@]}"; do
  "$nvcc" -std=c++17 -O3 -Iinclude "${flags[@]}" -Xptxas -v -c "$file" -o "$folder/object" 2>> "$folder/log" || { cat "$folder/log" >&2; exit 1; }
done
c++filt < "$folder/log" | python3 scripts/ptxas_table.py "${architectures[@]}"
