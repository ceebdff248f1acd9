#!/usr/bin/env bash
# What scripts/setup.sh does on machines that lack something; apt-get, pip and the rest only pretend.
# Usage: setup_test.sh SOURCE_DIR
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/scripts" "$folder/bin"
cp "$1/scripts/setup.sh" "$folder/scripts/"
cd "$folder"
unset Torch_DIR PIXART_TORCH_VERSION PIXART_TORCH_INDEX PIXART_ARROW CUDACXX
export PIXART_DRIVER_VERSION_FILE=$folder/driver # no driver
export PATH=$folder/bin:$PATH

pretend() { # pretend NAME: standard input is the body of the command
  { echo '#!/usr/bin/env bash' && cat; } >"bin/$1"
  chmod +x "bin/$1"
}

make_torch() { # make_torch FOLDER VERSION [CUDA, e.g. cu128]
  mkdir -p "$1"/{include/ATen,include/torch/headeronly,lib,share/cmake/Torch}
  touch "$1"/include/ATen/ATen.h "$1"/lib/lib{torch_cpu,c10}.so
  local IFS=.
  # shellcheck disable=SC2086 # the version is to be split
  printf '#define TORCH_VERSION_MAJOR %s\n#define TORCH_VERSION_MINOR %s\n#define TORCH_VERSION_PATCH %s\n' $2 \
    >"$1/include/torch/headeronly/version.h"
  if [ -n "${3:-}" ]; then
    echo "__version__ = '$2+$3'" >"$1/version.py"
  fi
}

expect() { # expect EXIT_CODE TEXT COMMAND...: TEXT is part of what the command writes
  local code=0 want=$1 text=$2 output
  shift 2
  output=$("$@" 2>&1) || code=$?
  if [ "$code" -ne "$want" ] || [[ "$output" != *"$text"* ]]; then
    printf 'wanted exit code %s and "%s" of %s; got %s and:\n%s\n' "$want" "$text" "$*" "$code" "$output"
    exit 1
  fi
}

expect_silence() { # expect_silence TEXT COMMAND...: it succeeds, and TEXT is no part of what it writes
  local text=$1 output
  shift
  output=$("$@" 2>&1)
  if [[ "$output" == *"$text"* ]]; then
    printf 'did not want "%s" of %s:\n%s\n' "$text" "$*" "$output"
    exit 1
  fi
}

all_installed() {
  pretend dpkg-query <<<'shift 2; printf "installed %s\n" "$@"'
}

# --- LibTorch
all_installed
make_torch good 2.11.1
make_torch old 2.10.0
expect 0 "2.11.1 in" env Torch_DIR="$folder/good/share/cmake/Torch" scripts/setup.sh
[ ! -e .deps ]
expect 78 "found: 2.10.0" env Torch_DIR="$folder/old/share/cmake/Torch" scripts/setup.sh
expect 78 "found: none" env Torch_DIR="$folder/nowhere" scripts/setup.sh
make_torch newer 2.15.0
expect 0 "2.15.0 in" env Torch_DIR="$folder/newer/share/cmake/Torch" scripts/setup.sh
expect 78 "unset one of them" env Torch_DIR="$folder/good/share/cmake/Torch" PIXART_TORCH_VERSION=2.15.0 scripts/setup.sh
for version in 2.10.0 2.15 2.15.0+cu126 new; do
  expect 78 "PIXART_TORCH_VERSION is '$version'" env PIXART_TORCH_VERSION=$version scripts/setup.sh
done

# A Python whose venv makes a folder, and whose pip does as PIP_RESULT says.
pretend python3 <<'END'
case "$*" in
  *"-m venv"*) mkdir -p "$3/bin" "$3/lib/python3.11/site-packages" && cp "$0" "$3/bin/python" ;;
  *"pip install"*pyarrow*)
    [ "${ARROW_RESULT:-}" = works ] || exit 1
    arrow=$(dirname "$0")/../lib/python3.11/site-packages/pyarrow
    mkdir -p "$arrow/include/parquet" && touch "$arrow/include/parquet/column_reader.h" "$arrow/libparquet.so.2600"
    ;;
  *"pip install"*)
    packages=$(dirname "$0")/../lib/python3.11/site-packages
    mkdir -p "$packages"
    echo "$*" >pip-arguments
    case "$PIP_RESULT" in
      works) cp -r "$TORCH" "$packages/torch" ;;
      half) mkdir -p "$packages/torch/lib" && touch "$packages/torch/lib/libtorch_cpu.so" ;;
      *) exit 1 ;;
    esac
    ;;
esac
END
pretend df <<<'echo; echo "disk 1 1 ${FREE:-99999999} 1% x"'
export TORCH=$folder/good
expect 78 "GB are free" env FREE=1000000 PIP_RESULT=works scripts/setup.sh
expect 78 "pip could not install" env PIP_RESULT=fails scripts/setup.sh
[ ! -e .deps/venv ]
expect 78 "no complete LibTorch" env PIP_RESULT=half scripts/setup.sh
[ ! -e .deps/venv ]
expect 0 "installed in" env PIP_RESULT=works scripts/setup.sh
[ ! -e .deps/venv.partial ]
expect 0 "2.11.1 in .deps/venv" env PIP_RESULT=fails scripts/setup.sh
# Arrow is told of, but its absence is not an error.
expect 0 "Arrow: pip could not install pyarrow==" env PIP_RESULT=fails scripts/setup.sh
expect 0 "sources of type parquet need it" env Torch_DIR="$folder/good/share/cmake/Torch" scripts/setup.sh
expect 0 "PIXART_ARROW names /some/pyarrow" env PIP_RESULT=fails PIXART_ARROW=/some/pyarrow scripts/setup.sh
expect 0 "installing pyarrow==" env PIP_RESULT=fails ARROW_RESULT=works scripts/setup.sh
expect 0 "Arrow: .deps/venv/lib/python3.11/site-packages/pyarrow." env PIP_RESULT=fails scripts/setup.sh
# One that was interrupted, long ago and by hand, is not believed.
rm .deps/venv/lib/python3.11/site-packages/torch/lib/libtorch_cpu.so
expect 0 "will be replaced" env PIP_RESULT=works scripts/setup.sh
expect 0 "2.11.1 in .deps/venv" env PIP_RESULT=fails scripts/setup.sh

# --- Another version, another index: what is in .deps/ is kept, or replaced with a word, never mixed
grep -qF "torch==2.11.0" pip-arguments
expect 0 "PIXART_TORCH_VERSION asks for 2.15.0; it will be replaced" \
  env TORCH="$folder/newer" PIP_RESULT=works PIXART_TORCH_VERSION=2.15.0 scripts/setup.sh
grep -qF "torch==2.15.0" pip-arguments
expect 0 "2.15.0 in .deps/venv" env PIP_RESULT=fails PIXART_TORCH_VERSION=2.15.0 scripts/setup.sh
expect 0 "2.15.0 in .deps/venv" env PIP_RESULT=fails scripts/setup.sh # nothing is asked for
expect 78 "could not install torch==2.11.1" env PIP_RESULT=fails PIXART_TORCH_VERSION=2.11.1 scripts/setup.sh
expect 0 "2.15.0 in .deps/venv" env PIP_RESULT=fails scripts/setup.sh # what cannot be replaced stays
make_torch twelve 2.11.1 cu126
from_index() { env TORCH="$folder/twelve" PIP_RESULT="$1" PIXART_TORCH_INDEX="$2" scripts/setup.sh; }
expect 0 "names another index than it came from" from_index works file:///index-126
grep -qF -- "--index-url file:///index-126 torch==2.11.0" pip-arguments
expect 0 "2.11.1 for CUDA 12.6 in .deps/venv" from_index fails file:///index-126
expect 78 "could not install" from_index fails file:///index-128

# --- The driver, LibTorch's CUDA and nvcc
driver_is() { # driver_is VERSION
  echo "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  $1  Release Build  (a@b)  Thu Oct 19 18:56:32 UTC 2023" >driver
}
make_torch thirteen 2.15.0 cu132
with_torch() { env Torch_DIR="$folder/$1/share/cmake/Torch" scripts/setup.sh; }
pretend nvcc <<<'echo "Cuda compilation tools, release ${NVCC_RELEASE:-12.8}, V12.8.93"'
driver_is 580.82.07
expect_silence "too old" with_torch thirteen
driver_is 535.129.03
expect 0 "535.129.03 is too old for a LibTorch for CUDA 13.2, which needs 580" with_torch thirteen
expect 0 "PIXART_TORCH_INDEX=<URL of PyTorch's index for CUDA 12.6" with_torch thirteen
expect_silence "too old" with_torch twelve
driver_is 470.57.02
expect 0 "needs 525 or newer" with_torch twelve
rm -r .deps
expect 78 "too old for a LibTorch for CUDA 13," env PIP_RESULT=fails scripts/setup.sh # before the download
rm driver
pretend nvidia-smi <<<'echo 550.54.15'
expect 0 "the driver 550.54.15 is too old" with_torch thirteen
pretend nvidia-smi <<<'echo "NVIDIA-SMI has failed because it could not communicate"; exit 9'
expect_silence "driver" with_torch thirteen
expect 0 "nvcc 12.8 ($folder/bin/nvcc) and LibTorch for CUDA 13.2 differ" with_torch thirteen
expect_silence "nvcc" with_torch twelve
expect 0 "a CUDA 12 toolkit on PATH" env NVCC_RELEASE=13.0 Torch_DIR="$folder/twelve/share/cmake/Torch" scripts/setup.sh

# --- Debian packages
export Torch_DIR=$folder/good/share/cmake/Torch
pretend dpkg-query <<<'shift 2; printf "installed %s\n" "$@" | grep -v cli11; exit 1'
pretend apt-cache <<<'echo "Package: $2"'
pretend apt-get <<<'echo "apt-get $*" >>calls; [ "$*" != "-q update" ] || touch updated; [ -z "${NEEDS_UPDATE:-}" ] || [ -e updated ]'
pretend id <<<'echo 0'
expect 0 "installing libcli11-dev" scripts/setup.sh
[ "$(cat calls)" = "apt-get -q install -y --no-install-recommends libcli11-dev" ]
expect 0 "lists may be old" env NEEDS_UPDATE=1 scripts/setup.sh
pretend apt-get <<<'exit 100'
expect 78 "apt-get update && apt-get install -y --no-install-recommends libcli11-dev" scripts/setup.sh
pretend id <<<'echo 1000'
pretend sudo <<<'exit 1'
expect 78 "apt-get install -y --no-install-recommends libcli11-dev" scripts/setup.sh </dev/null
pretend sudo <<<'[ "$1" != -n ] || shift; echo "sudo $*" >>calls; exec "$@"'
pretend apt-get <<<'exit 0'
expect 0 "installing libcli11-dev" scripts/setup.sh </dev/null
grep -q "^sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install" calls
