#!/usr/bin/env bash
# scripts/gpu_check.sh knows its options. Without a GPU it says so and changes nothing.
set -euo pipefail
cd "$1"
code=0
scripts/gpu_check.sh --devise cuda:0 2>/dev/null || code=$?
[ "$code" = 78 ]
if [ -e /dev/nvidiactl ]; then
  scripts/gpu_check.sh --help >/dev/null && exit 0
fi
before=$(find tests/gpu -type f | sort | xargs sha256sum)
output=$(scripts/gpu_check.sh)
grep -q "no GPU" <<<"$output"
[ "$before" = "$(find tests/gpu -type f | sort | xargs sha256sum)" ]
