#!/usr/bin/env bash
# Installs a build into a temporary prefix, and builds and runs the examples against it.
# Usage: install_example.sh BUILD_DIR SOURCE_DIR
set -euo pipefail
build=$1
source=$2

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cmake --install "$build" --prefix "$folder/prefix" >"$folder/install.log" || {
  cat "$folder/install.log"
  exit 1
}
"$folder/prefix/bin/pixart" --version

# The build that is installed may be sanitized; then its users must be, too.
flags=$(sed -n 's/^PIXART_SANITIZE:[A-Z]*=\(..*\)/-fsanitize=\1/p' "$build/CMakeCache.txt")

build_example() { # silent unless it fails
  local configure=(cmake -S "$source/tests/meta/$1" -B "$folder/$1" -G Ninja
    -DCMAKE_PREFIX_PATH="$folder/prefix" -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS="$flags")
  if ! { "${configure[@]}" && cmake --build "$folder/$1"; } >"$folder/build.log" 2>&1; then
    cat "$folder/build.log"
    exit 1
  fi
}

build_example example
output=$("$folder/example/example")
echo "$output"
[[ "$output" =~ ^[1-9][0-9]+\ parameters,\ output\ \[1,\ 8,\ 8,\ 8\]$ ]]
# The loss of each of the 50 steps; what it is at the end must be well below the start.
"$folder/example/train" >"$folder/losses"
awk '{ sum[NR > 45] += $1; count[NR > 45] += NR <= 5 || NR > 45 } NR == 5 { start = sum[0] / 5 }
  END { printf "loss %.3f at the start, %.3f at the end\n", start, sum[1] / 5; exit !(NR == 50 && sum[1] / 5 < start - 0.1) }' "$folder/losses"

build_example run_file_example
output=$("$folder/run_file_example/run_file_example" "$source/configs/demo/scenes.yaml")
echo "$output"
[[ "$output" =~ ^[1-9][0-9]*\ stages$ ]]
