#!/usr/bin/env bash
# What scripts/setup.sh does on machines that lack something; apt-get, pip and the rest only pretend.
# Usage: setup_test.sh SOURCE_DIR
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/scripts" "$folder/bin"
cp "$1/scripts/setup.sh" "$folder/scripts/"
cd "$folder"
unset Torch_DIR
export PATH=$folder/bin:$PATH

pretend() { # pretend NAME: standard input is the body of the command
  { echo '#!/usr/bin/env bash' && cat; } >"bin/$1"
  chmod +x "bin/$1"
}

make_torch() { # make_torch FOLDER VERSION
  mkdir -p "$1"/{include/ATen,include/torch/headeronly,lib,share/cmake/Torch}
  touch "$1"/include/ATen/ATen.h "$1"/lib/lib{torch_cpu,c10}.so
  local IFS=.
  # shellcheck disable=SC2086 # the version is to be split
  printf '#define TORCH_VERSION_MAJOR %s\n#define TORCH_VERSION_MINOR %s\n#define TORCH_VERSION_PATCH %s\n' $2 \
    >"$1/include/torch/headeronly/version.h"
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

# A Python whose venv makes a folder, and whose pip does as PIP_RESULT says.
pretend python3 <<'END'
case "$*" in
  *"-m venv"*) mkdir -p "$3/bin" "$3/lib/python3.11/site-packages" && cp "$0" "$3/bin/python" ;;
  *"pip install"*)
    packages=$(dirname "$0")/../lib/python3.11/site-packages
    mkdir -p "$packages"
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
# One that was interrupted, long ago and by hand, is not believed.
rm .deps/venv/lib/python3.11/site-packages/torch/lib/libtorch_cpu.so
expect 0 "will be replaced" env PIP_RESULT=works scripts/setup.sh
expect 0 "2.11.1 in .deps/venv" env PIP_RESULT=fails scripts/setup.sh

# --- Debian packages
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
