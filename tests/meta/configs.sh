#!/usr/bin/env bash
# Every run file of configs/ is valid, and configs/README.md is the generated reference.
# Usage: configs.sh SOURCE_DIR, with the binary in PIXART_BIN
set -euo pipefail
cd "$1"

failures=0
num_files=0
while IFS= read -r -d '' file; do
  num_files=$((num_files + 1))
  if ! output=$("$PIXART_BIN" train --check "$file" 2>&1); then
    echo "$file is not valid: $output"
    failures=$((failures + 1))
  fi
done < <(find configs -type f \( -name '*.yaml' -o -name '*.yml' \) -print0)
if [ "$num_files" -eq 0 ]; then
  echo "no run file was found in configs/"
  failures=$((failures + 1))
fi

if ! difference=$(diff -u configs/README.md <("$PIXART_BIN" config-reference) 2>&1); then
  printf '%s\n' "configs/README.md is not what the program says; mend with: pixart config-reference > configs/README.md" "$difference"
  failures=$((failures + 1))
fi
[ "$failures" -eq 0 ]
