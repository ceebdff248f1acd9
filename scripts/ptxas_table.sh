#!/usr/bin/env bash
# Prints what ptxas says of our CUDA kernels as a Markdown table: registers of a thread, and bytes of spills if there are any.
# Usage: scripts/ptxas_table.sh [FILE.cu...]   (default: the kernels of src/nn; needs nvcc, no GPU)
# NVCC: the compiler. The table of src/nn/kernels/README.md is made by this.
set -euo pipefail
cd "$(dirname "$0")/.."
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
