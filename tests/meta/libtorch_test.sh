#!/usr/bin/env bash
# Which LibTorch and which nvcc CMake accepts (cmake/libtorch.cmake), with folders that look like LibTorch. Only the
# C++ compiler is real; nothing is built.
# Usage: libtorch_test.sh SOURCE_DIR
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset Torch_DIR

cat >"$folder/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(probe LANGUAGES CXX)
list(APPEND CMAKE_MODULE_PATH "$1/cmake")
include(libtorch)
message(STATUS "kernels: \${PIXART_WITH_CUDA}")
END

make_torch() { # make_torch FOLDER VERSION FILE TEXT: FILE says what it was built for
  local root=$folder/$1
  mkdir -p "$root"/{include/ATen,include/torch/headeronly,lib}
  touch "$root/include/ATen/ATen.h" "$root"/lib/lib{torch_cpu,c10}.so
  local IFS=.
  # shellcheck disable=SC2086 # the version is to be split
  printf '#define TORCH_VERSION_MAJOR %s\n#define TORCH_VERSION_MINOR %s\n#define TORCH_VERSION_PATCH %s\n' $2 \
    >"$root/include/torch/headeronly/version.h"
  echo "$4" >"$root/$3"
}

expect() { # expect good|bad TEXT TORCH CMAKE_ARGUMENT...: TEXT is part of what CMake writes
  local want=$1 text=$2 torch=$3 result=good output
  shift 3
  output=$(cmake -S "$folder" -B "$folder/build" -U LibTorch_ROOT -U 'PIXART_*' "-DTorch_DIR=$folder/$torch/share/cmake/Torch" "$@" 2>&1) ||
    result=bad
  output=$(tr -s ' \n' ' ' <<<"$output") # CMake breaks the lines of its messages
  if [ "$result" != "$want" ] || [[ "$output" != *"$text"* ]]; then
    printf 'wanted %s and "%s" of LibTorch %s with %s; got %s and:\n%s\n' "$want" "$text" "$torch" "$*" "$result" "$output"
    exit 1
  fi
}

nvcc() { echo -DPIXART_WITH_CUDA=ON -DCMAKE_CUDA_COMPILER=/opt/cuda/bin/nvcc "-DCMAKE_CUDA_COMPILER_VERSION=$1"; }
differ() { echo "nvcc $1 (/opt/cuda/bin/nvcc) and LibTorch for CUDA $2 differ in the major version."; }

make_torch old 2.10.1 version.py "__version__ = '2.10.1+cu128'"
make_torch twelve 2.11.0 version.py "__version__ = '2.11.0+cu128'"
make_torch thirteen 2.15.0 version.py "__version__ = '2.15.0+cu132'"
make_torch archive 2.12.0 build-version "2.12.0+cu126"
make_torch cpu 2.11.0 version.py "__version__ = '2.11.0+cpu'"

expect bad 'required is at least "2.11"' old
expect good "LibTorch 2.15.0: $folder/thirteen" thirteen
expect good "LibTorch 2.11.0: $folder/twelve" twelve
# shellcheck disable=SC2046 # nvcc and its version are several arguments
{
  for version in 12.6.85 12.8.93 12.9.86; do
    expect good "kernels: ON" twelve $(nvcc $version)
  done
  expect good "kernels: ON" archive $(nvcc 12.8.93)
  expect good "kernels: ON" thirteen $(nvcc 13.0.88)
  expect good "kernels: ON" cpu $(nvcc 13.0.88)
  for torch in twelve:12.8 archive:12.6; do
    expect good "$(differ 13.0.88 "${torch#*:}")" "${torch%:*}" $(nvcc 13.0.88)
    expect good "kernels: OFF" "${torch%:*}" $(nvcc 13.0.88)
    expect bad "a CUDA 12 toolkit on PATH" "${torch%:*}" $(nvcc 13.0.88) -DPIXART_CUDA=ON
  done
  expect bad "$(differ 12.8.93 13.2)" thirteen $(nvcc 12.8.93) -DPIXART_CUDA=ON
}
# The installed package.
expect good "LibTorch 2.11.0" twelve -DPIXART_BUILT_WITH_LIBTORCH=2.11.1
expect bad "pixart was built with LibTorch 2.11.0, but $folder/thirteen is LibTorch 2.15.0" thirteen -DPIXART_BUILT_WITH_LIBTORCH=2.11.0
