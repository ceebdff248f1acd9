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
bad=()
for file in "${files[@]}"; do
  "$clang_format" --dry-run -Werror --ferror-limit=1 "$file" 2>/dev/null || bad+=("$file")
done
if [ "${#bad[@]}" -gt 0 ]; then
  printf 'not formatted: %s\n' "${bad[@]}"
  echo "mend with: ${clang_format##*/} -i ${bad[*]}"
  exit 1
fi
echo "${#files[@]} sources are formatted"
