#!/usr/bin/env bash
# Configures and builds into build/<type>; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly kKilobytesPerJob=1572864 # a translation unit with LibTorch's headers takes about 1.5 GB
readonly kExitBadInput=78

usage() {
  cat <<'END'
Usage: scripts/build.sh [release|debug|asan] [-DNAME=VALUE ...] [TARGET ...]

Configures build/<type> with Ninja and builds it, or only the named targets (e.g. pixart, unit_base):
  release   optimised (the default)                     -> build/release/bin/pixart
  debug     not optimised, with debugging information   -> build/debug/bin/pixart
  asan      with address and undefined-behaviour sanitizers, -O1
-D arguments go to CMake.

Environment:
  Torch_DIR     <torch>/share/cmake/Torch of the LibTorch to use (default: the one in .deps/, from scripts/setup.sh)
  PIXART_CUDA   AUTO (the default: CUDA kernels where nvcc is found), ON or OFF
  JOBS          number of compilers at a time (default: chosen by processors and free memory)

Example:
  scripts/build.sh debug unit_base && build/debug/bin/unit_base
END
}

# As many jobs as Ninja itself would start, but not more than fit into the free memory.
number_of_jobs() {
  local processors kilobytes limit group
  processors=$(nproc)
  kilobytes=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  group=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [ "$group" != max ] && [ $((group / 1024)) -lt "$kilobytes" ]; then
    kilobytes=$((group / 1024))
  fi
  limit=$((kilobytes / kKilobytesPerJob))
  local jobs=$((processors > 2 ? processors + 2 : processors + 1))
  jobs=$((jobs < limit ? jobs : limit))
  echo $((jobs > 0 ? jobs : 1))
}

# CMake looks for nvcc only on PATH, which usually does not contain the toolkit's folder.
find_nvcc() {
  if [ -z "${CUDACXX:-}" ] && ! command -v nvcc >/dev/null && [ -x /usr/local/cuda/bin/nvcc ]; then
    export CUDACXX=/usr/local/cuda/bin/nvcc
  fi
}

main() {
  local type=release settings=() targets=() argument
  case "${1:-}" in
    release | debug | asan) type=$1 && shift ;;
  esac
  for argument in "$@"; do
    case "$argument" in
      -h | --help) usage && return ;;
      -D?*) settings+=("$argument") ;;
      -*) echo "build: unknown option '$argument'; see scripts/build.sh --help." >&2 && exit "$kExitBadInput" ;;
      *) targets+=("$argument") ;;
    esac
  done
  # Given each time, so that a build folder follows the environment and the type, not its first configuration. The
  # cached result of find is dropped, so that another Torch_DIR takes effect.
  local configure=(-U LibTorch_ROOT "-DPIXART_CUDA=${PIXART_CUDA:-AUTO}" "-DTorch_DIR=${Torch_DIR:-}")
  case "$type" in
    release) configure+=(-DCMAKE_BUILD_TYPE=Release) ;;
    debug) configure+=(-DCMAKE_BUILD_TYPE=Debug) ;;
    # Sanitized code causes false warnings.
    asan) configure+=(-DCMAKE_BUILD_TYPE=Asan "-DCMAKE_CXX_FLAGS_ASAN=-O1 -g1" "-DPIXART_SANITIZE=address,undefined" -DPIXART_WERROR=OFF) ;;
  esac
  local folder=build/$type jobs=${JOBS:-$(number_of_jobs)}
  find_nvcc
  echo "build: configuring $folder"
  cmake -S . -B "$folder" -G Ninja "${configure[@]}" "${settings[@]}"
  echo "build: compiling with $jobs jobs"
  ninja -C "$folder" -j "$jobs" "${targets[@]}"
  local result=$folder/bin
  [ "${#targets[@]}" -gt 0 ] || result+=/pixart
  echo "build: done in $((SECONDS / 60)) min $((SECONDS % 60)) s -> $result"
}

main "$@"
