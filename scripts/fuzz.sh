#!/usr/bin/env bash
# Feeds the readers of untrusted files with damaged input; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly kFolder=$PWD/build/fuzz
readonly kTargets=(image model_config npy pickle safetensors_header spiece_model table_rows tar tokenizer_json
  weight_index zip)
readonly kClang=16 # Debian's default, 14, cannot capture structured bindings
readonly kPackages=("clang-$kClang" "libclang-rt-$kClang-dev")
readonly kLongestInput=65536  # bytes
readonly kStackKilobytes=1024 # an eighth of the usual, so that short inputs show endless recursion
readonly kExitBadInput=78

usage() {
  cat <<END
Usage: scripts/fuzz.sh [SECONDS] [TARGET ...]

Builds the fuzz targets of tests/fuzz with clang's libFuzzer, AddressSanitizer and UBSan into build/fuzz, seeds them with
the small files of tests/golden and what tests/fuzz/seed.py makes, and runs each for SECONDS (default 60). Prints one
line per target. scripts/fuzz_samples.py feeds whole commands with damaged samples.
Targets: ${kTargets[*]}; runs all if none is named.

Useful inputs stay in build/fuzz/corpus/TARGET and are used the next time. An input that crashes a reader, takes more
than 5 seconds or more than 512 MB, or raises an error other than a UserError is a finding. It is saved in
build/fuzz/findings/TARGET; run it alone with
  build/fuzz/bin/fuzz_TARGET build/fuzz/findings/TARGET/crash-...

The Debian packages ${kPackages[*]} are installed if they are missing (as root or with sudo; otherwise the
script prints the command). scripts/setup.sh installs everything else.

Environment: Torch_DIR and JOBS, as for scripts/build.sh

Exit codes: 0 no finding, 1 findings, $kExitBadInput something is missing that you must install.
END
}

say() { printf 'fuzz: %s\n' "$*"; }

fail() {
  printf 'fuzz: %s\n' "$@" >&2
  exit "$kExitBadInput"
}

install_clang() {
  local missing=() package prefix=()
  for package in "${kPackages[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  local line="apt-get install -y --no-install-recommends ${missing[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || fail "clang with libFuzzer is missing, and this is neither root nor is sudo usable here. Run as root:" "$line"
    prefix=(sudo)
  fi
  say "installing ${missing[*]}"
  # shellcheck disable=SC2086 # the line must be split
  "${prefix[@]}" env DEBIAN_FRONTEND=noninteractive $line || {
    "${prefix[@]}" apt-get update && "${prefix[@]}" env DEBIAN_FRONTEND=noninteractive $line
  } || fail "apt-get could not install them (its own messages are above). Run as root:" "apt-get update && $line"
}

# Only a few files include LibTorch here, so the precompiled header would cost more than it saves. LibTorch brings
# GCC's OpenMP runtime; clang's own would be a second one in the process.
build() {
  local sanitizers=fuzzer-no-link,address,undefined
  say "configuring and building $kFolder"
  cmake -S . -B "$kFolder" -G Ninja -U LibTorch_ROOT "-DTorch_DIR=${Torch_DIR:-}" "-DCMAKE_C_COMPILER=clang-$kClang" \
    "-DCMAKE_CXX_COMPILER=clang++-$kClang" -DCMAKE_BUILD_TYPE=Fuzz "-DCMAKE_CXX_FLAGS_FUZZ=-O1 -g1" \
    -DOpenMP_CXX_FLAGS=-fopenmp=libgomp -DOpenMP_CXX_LIB_NAMES=gomp \
    "-DOpenMP_gomp_LIBRARY=$(g++ -print-file-name=libgomp.so)" \
    "-DPIXART_SANITIZE=$sanitizers" -DPIXART_FUZZ=ON -DPIXART_BUILD_TESTS=OFF -DPIXART_CUDA=OFF \
    -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON >"$kFolder/configure.log" 2>&1 ||
    { cat "$kFolder/configure.log" && exit "$kExitBadInput"; }
  ninja -C "$kFolder" -j "${JOBS:-$(nproc)}" fuzz
}

# Runs target $1 for $2 seconds and prints one line; returns 1 on a finding.
fuzz() {
  local corpus=$kFolder/corpus/$1 findings=$kFolder/findings/$1 log=$kFolder/$1.log code=0
  rm -rf "$findings"
  mkdir -p "$findings"
  (ulimit -s "$kStackKilobytes" && exec "$kFolder/bin/fuzz_$1" "-max_total_time=$2" -rss_limit_mb=512 -malloc_limit_mb=128 -timeout=5 \
    "-max_len=$kLongestInput" -print_final_stats=1 "-artifact_prefix=$findings/" "$corpus") >"$log" 2>&1 || code=$?
  say "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | grep . || echo no) executions, exit code $code"
  [ "$code" -ne 0 ] || return 0
  grep -m 3 -E 'ERROR|SUMMARY|runtime error|terminate' "$log" || tail -n 5 "$log"
  say "$1: the input is in $findings, the whole report in $log"
  return 1
}

main() {
  local seconds=60 targets=() target num_failed=0
  case "${1:-}" in
    -h | --help) usage && return ;;
  esac
  if [[ "${1:-}" =~ ^[0-9]+$ ]]; then
    seconds=$1 && shift
  fi
  for target in "$@"; do
    [[ " ${kTargets[*]} " == *" $target "* ]] || fail "unknown target '$target'; see scripts/fuzz.sh --help."
    targets+=("$target")
  done
  [ "${#targets[@]}" -gt 0 ] || targets=("${kTargets[@]}")
  install_clang
  mkdir -p "$kFolder"
  build
  python3 tests/fuzz/seed.py tests/golden "$kFolder/corpus"
  # Only one file is read at a time, and waiting threads would take the other processor.
  export OMP_NUM_THREADS=1
  for target in "${targets[@]}"; do
    fuzz "$target" "$seconds" || num_failed=$((num_failed + 1))
  done
  say "$num_failed of ${#targets[@]} targets have a finding"
  [ "$num_failed" -eq 0 ]
}

main "$@"
