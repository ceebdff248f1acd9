#!/usr/bin/env bash
# Builds and runs every test; see --help. The last line counts the cases.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'END'
Usage: scripts/test.sh [CTEST OPTION ...]

Runs scripts/setup.sh and scripts/build.sh release, then every test with ctest. Options go to ctest, e.g.
  scripts/test.sh -L unit          only the tests with this label: unit, golden, property, cli, fake_gpu, meta
  scripts/test.sh -R golden_text   only the test programs whose names match
The last line is "N passed, N failed", counted over test cases; a program that crashed, or a shell test, counts as one
case. The exit code is 0 only if at least one test ran and none failed.
END
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
esac

if ! { scripts/setup.sh && scripts/build.sh release; }; then
  echo "test: setup or build failed (see above), so no test was run; counted as one failure."
  echo "0 passed, 1 failed"
  exit 1
fi

readonly kResults=$PWD/build/release/test-results
rm -rf "$kResults"
mkdir -p "$kResults"
# Waiting threads spin by default, which starves the other program that runs at the same time.
export OMP_WAIT_POLICY=passive
# Each GoogleTest program writes <results>/<program>.json; ctest.xml says which programs ran and how they ended.
GTEST_OUTPUT="json:$kResults/" ctest --test-dir build/release --output-on-failure --no-tests=error --parallel 2 \
  --output-junit "$kResults/ctest.xml" "$@" || true
exec python3 scripts/count_tests.py "$kResults"
