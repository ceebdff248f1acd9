#!/usr/bin/env bash
# Our C++ sources are formatted as .clang-format says. Usage: format.sh CLANG_FORMAT SOURCE_DIR
set -euo pipefail
clang_format=$1
cd "$2"

mapfile -d '' files < <(find include src tools tests cmake -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0)
if [ "${#files[@]}" -lt 50 ]; then
  echo "only ${#files[@]} sources found: the search is broken"
  exit 1
fi
# Fifty at once: a start takes longer than a file.
if ! said=$(printf '%s\0' "${files[@]}" | xargs -0 -n 50 -P 2 "$clang_format" --dry-run -Werror 2>&1); then
  mapfile -t bad < <(sed -n 's/^\([^: ]*\):[0-9]*:[0-9]*: error: .*/\1/p' <<<"$said" | sort -u)
  if [ "${#bad[@]}" -eq 0 ]; then
    echo "$said"
    exit 1
  fi
  printf 'not formatted: %s\n' "${bad[@]}"
  echo "mend with: ${clang_format##*/} -i ${bad[*]}"
  exit 1
fi
echo "${#files[@]} sources are formatted"
