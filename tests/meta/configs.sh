#!/usr/bin/env bash
# Every run file of configs/ is valid, configs/README.md is the generated reference, and the chained recipe of each paper says
# the same of each stage as the stage's own file.
# Usage: configs.sh SOURCE_DIR, with the binary in PIXART_BIN
set -euo pipefail
cd "$1"

failures=0
num_files=0
while IFS= read -r -d '' file; do
  num_files=$((num_files + 1))
  if ! output=$("$PIXART_BIN" train --check --file-only "$file" 2>&1); then
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

# A stage without what chaining changes: where its weights come from.
stage_of() { awk -v name="$2" '/^  - name: /{on = $3 == name} /^stages:/{seen = 1} seen && on && NF' "$1" | grep -v '^      from: '; }
for chain in configs/paper/alpha.yaml configs/sigma/sigma.yaml; do
  num_stages=0
  for file in "$(dirname "$chain")"/[0-9]*.yaml; do
    name=$(awk '/^stages:/{seen = 1} seen && /^  - name: /{print $3}' "$file")
    num_stages=$((num_stages + 1))
    if ! difference=$(diff -u <(stage_of "$file" "$name") <(stage_of "$chain" "$name")); then
      printf '%s\n' "stage $name of $chain is not that of $file" "$difference"
      failures=$((failures + 1))
    fi
  done
  if [ "$num_stages" -ne "$(awk '/^stages:/{seen = 1} seen && /^  - name: /' "$chain" | wc -l)" ]; then
    echo "$chain has other stages than the $num_stages files next to it"
    failures=$((failures + 1))
  fi
done
[ "$failures" -eq 0 ]
