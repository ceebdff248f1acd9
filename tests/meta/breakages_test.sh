#!/usr/bin/env bash
# Each deliberate breakage changes the file that it names; scripts/breakages.sh, which tests that it is noticed, is run by hand.
# Usage: breakages_test.sh SOURCE_DIR
set -euo pipefail
cd "$1"

count=0
stale=()
for script in tests/breakages/*.sed; do
  file=$(sed -n 's/^# file: //p' "$script")
  if ! broken=$(sed -E -f "$script" "$file" && echo x) || [ "$broken" = "$(cat "$file" && echo x)" ]; then
    stale+=("$script")
  fi
  count=$((count + 1))
done
if [ "$count" -lt 200 ]; then
  echo "only $count breakages found: the search is broken"
  exit 1
fi
if [ "${#stale[@]}" -gt 0 ]; then
  printf '%s changes nothing in its file: update it\n' "${stale[@]}"
  exit 1
fi
echo "$count breakages change their files"
