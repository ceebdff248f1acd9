#!/usr/bin/env bash
# Without a GPU, scripts/gpu_check.sh says so and changes nothing.
set -euo pipefail
cd "$1"
if [ -e /dev/nvidiactl ]; then
  scripts/gpu_check.sh --help >/dev/null && exit 0
fi
before=$(find tests/gpu -type f | sort | xargs sha256sum)
output=$(scripts/gpu_check.sh)
grep -q "no GPU" <<<"$output"
[ "$before" = "$(find tests/gpu -type f | sort | xargs sha256sum)" ]
