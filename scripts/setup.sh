#!/usr/bin/env bash
# Installs the packages that pixart needs to build; see --help. It may run any number of times.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly kOldestTorch=2.11 # FindLibTorch.cmake demands the same
readonly kTorch=${PIXART_TORCH_VERSION:-2.11.0}
readonly kIndex=${PIXART_TORCH_INDEX:-}
readonly kArrow=26.0.1 # FindArrow.cmake accepts 25 and newer
readonly kVenv=.deps/venv
readonly kNeededGigabytes=8 # 4.6 installed, 2.5 downloaded
readonly kExitBadInput=78   # as in pixart itself: an error that the user can mend
readonly kPackages=(
  # compiler and build
  g++ cmake ninja-build ccache pkg-config git ca-certificates
  # to install LibTorch; the scripts read JSON with it
  python3 python3-venv python3-pip
  # configuration, command line, logging, hashing
  libyaml-cpp-dev libcli11-dev nlohmann-json3-dev libspdlog-dev libfmt-dev zlib1g-dev libssl-dev
  # text
  libsentencepiece-dev libpcre2-dev libutf8proc-dev wordnet-base
  # captions from a vision-language model; the server of user studies
  libcurl4-openssl-dev libsqlite3-dev libcpp-httplib-dev
  # images
  libopencv-imgproc-dev libturbojpeg0-dev libjpeg62-turbo-dev libpng-dev libwebp-dev libtiff-dev libgif-dev libavif-dev
  libdeflate-dev
  # tests, formatting
  libgtest-dev libgmock-dev clang-format-14
  # real images for configs/demo
  tuxpaint-stamps-default dataset-fashion-mnist
)

usage() {
  cat <<END
Usage: scripts/setup.sh

Installs the packages that pixart needs to build, and prints a line about each step and its reason:
  1. Debian packages that are missing (as root or with sudo; otherwise it prints the command);
  2. LibTorch $kOldestTorch or newer: the one that Torch_DIR names, or the one in .deps/; if both are
     missing, torch==$kTorch from pip into $kVenv (4.6 GB);
  3. pyarrow==$kArrow from pip into the same environment (55 MB downloaded, 170 MB installed), with Arrow's libraries for
     sources of type parquet; Debian 12 has none. Without it everything else works;
  4. it compares LibTorch's CUDA version with NVIDIA's driver and with nvcc, and says what to do if they do not fit.
It does not change installed packages, so a second run takes about a second. A LibTorch in .deps/ is replaced only if
it is incomplete, or if PIXART_TORCH_VERSION or PIXART_TORCH_INDEX asks for another one.

Environment:
  Torch_DIR              <torch>/share/cmake/Torch of an existing LibTorch, e.g. for machines without network
  PIXART_TORCH_VERSION   the version to install (default: 2.11.0; the oldest: $kOldestTorch)
  PIXART_TORCH_INDEX     URL of the pip index to install it from, e.g. PyTorch's index for CUDA 12.6, for drivers older than 580
                         (default: pip's own settings, which give a LibTorch for CUDA 13)

  PIXART_ARROW           the folder pyarrow of an installed package, e.g. for machines without network

Examples:
  PIXART_TORCH_VERSION=2.15.0 scripts/setup.sh
  PIXART_TORCH_INDEX=<URL of PyTorch's index for CUDA 12.8> scripts/setup.sh

Exit codes: 0 ready, $kExitBadInput something is missing that you must install (the last lines say what).
END
}

say() { printf 'setup: %s\n' "$*"; }

fail() {
  printf 'setup: %s\n' "$@" >&2
  exit "$kExitBadInput"
}

# --- Debian packages ---------------------------------------------------------------------------------------------

missing_packages() {
  local installed package
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${kPackages[@]}" 2>/dev/null || true)
  for package in "${kPackages[@]}"; do
    grep -qxF "installed $package" <<<"$installed" || echo "$package"
  done
}

# Prints the command that runs apt-get as root, or nothing for root itself. Fails if there is none.
privilege() {
  if [ "$(id -u)" -eq 0 ]; then
    return
  fi
  # Without a terminal sudo cannot ask for a password.
  if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    echo sudo
    return
  fi
  return 1
}

apt_get() { $prefix env DEBIAN_FRONTEND=noninteractive apt-get -q "$@"; }

apt_knows() { # every package has an installation candidate
  local package
  for package in "$@"; do
    apt-cache show "$package" 2>/dev/null | grep -q '^Package:' || return 1
  done
}

install_packages() {
  local missing line
  command -v dpkg-query >/dev/null || fail \
    "this script knows Debian 12 only, and dpkg-query is not here." \
    "Install the equivalents of: ${kPackages[*]}" "and use scripts/build.sh."
  mapfile -t missing < <(missing_packages)
  if [ "${#missing[@]}" -eq 0 ]; then
    say "Debian packages: all ${#kPackages[@]} are installed."
    return
  fi
  line="apt-get install -y --no-install-recommends ${missing[*]}"
  if ! prefix=$(privilege); then
    fail "Debian packages are missing, and this is neither root nor is sudo usable here. Run as root:" "$line"
  fi
  say "Debian packages: installing ${missing[*]}, which the build, the tests or the demo use."
  if ! apt_knows "${missing[@]}"; then
    say "apt-get update, because apt does not know some of them."
    apt_get update || say "apt-get update failed; trying with the package lists that are here."
  fi
  if ! apt_get install -y --no-install-recommends "${missing[@]}"; then
    say "apt-get update and a second try, because the package lists may be old."
    { apt_get update && apt_get install -y --no-install-recommends "${missing[@]}"; } || fail \
      "apt-get could not install them (its own messages are above; is there network?). Run as root:" \
      "apt-get update && $line"
  fi
}

# --- LibTorch ----------------------------------------------------------------------------------------------------

# Prints the version of the LibTorch in folder $1, or nothing if it is not complete.
torch_version() {
  local header=$1/include/torch/headeronly/version.h
  if [ -e "$1/include/ATen/ATen.h" ] && [ -e "$1/lib/libtorch_cpu.so" ] && [ -e "$1/lib/libc10.so" ] && [ -e "$header" ]; then
    sed -nE 's/^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ([0-9]+)$/\2/p' "$header" | paste -sd.
  fi
}

is_at_least() { printf '%s\n' "$2" "$1" | sort -VC; } # is_at_least 2.15.0 2.11

is_usable_torch() {
  local version
  version=$(torch_version "$1")
  [ -n "$version" ] && is_at_least "$version" "$kOldestTorch"
}

# Prints the CUDA version that the LibTorch in folder $1 was built for: version.py of a wheel, build-version of an
# archive; nothing for a CPU build.
torch_cuda() {
  cat "$1/version.py" "$1/build-version" 2>/dev/null | sed -nE 's/.*\+cu([0-9]{2})([0-9]).*/\1.\2/p' | head -n 1
}

describe_torch() {
  local cuda
  cuda=$(torch_cuda "$1")
  echo "$(torch_version "$1")${cuda:+ for CUDA $cuda}"
}

torch_in_venv() { # prints <venv>/lib/python3.x/site-packages/torch
  local folder
  for folder in "$1"/lib/python3*/site-packages/torch; do
    if is_usable_torch "$folder"; then
      echo "$folder"
      return
    fi
  done
  return 1
}

# Prints a Python that can make virtual environments and that the wheel supports. The first python3 on PATH may be a
# pyenv shim or a conda that is not usable; Debian's own is the second choice.
usable_python() {
  local python
  for python in "$(command -v python3 || true)" /usr/bin/python3; do
    if [ -n "$python" ] && "$python" -c 'import sys, venv, ensurepip; assert sys.version_info >= (3, 10)' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  return 1
}

check_disk() {
  local free_kilobytes
  free_kilobytes=$(df -Pk .deps | awk 'NR == 2 { print $4 }')
  if [ "$free_kilobytes" -lt $((kNeededGigabytes * 1024 * 1024)) ]; then
    fail "LibTorch $kTorch needs about $kNeededGigabytes GB of disk here (.deps/); $((free_kilobytes / 1024 / 1024)) GB are free."
  fi
}

hash_of_index() { sha256sum <<<"$kIndex" | cut -d ' ' -f 1; } # its URL may contain a password

# Whether the LibTorch in folder $1 of $kVenv is the one that the environment asks for; prints why not.
is_asked_for() {
  if [ -n "${PIXART_TORCH_VERSION:-}" ] && [ "$(torch_version "$1")" != "$kTorch" ]; then
    echo "PIXART_TORCH_VERSION asks for $kTorch" && return 1
  fi
  if [ -n "$kIndex" ] && [ "$(cat "$kVenv/torch-index" 2>/dev/null)" != "$(hash_of_index)" ]; then
    echo "PIXART_TORCH_INDEX names another index than it came from" && return 1
  fi
}

# Installs under another name and renames when complete, so that an interrupted installation is never used.
# (Only the site-packages of the environment are used, which may be renamed.)
install_torch() {
  local python partial=$kVenv.partial
  check_disk
  python=$(usable_python) || fail "no Python 3.10 or newer with venv and ensurepip was found; LibTorch is installed with pip." \
    "Run as root: apt-get install -y python3-venv"
  say "LibTorch: installing torch==$kTorch with pip${kIndex:+ from the index of PIXART_TORCH_INDEX} into $kVenv, which takes some minutes and 4.6 GB ($python)."
  rm -rf "$partial"
  "$python" -m venv "$partial" || fail "$python could not make a virtual environment in $partial (see above)."
  "$partial/bin/python" -m pip install --disable-pip-version-check --progress-bar off \
    ${kIndex:+--index-url "$kIndex"} "torch==$kTorch" || fail \
    "pip could not install torch==$kTorch (its own messages are above). Does the index have this version?" \
    "With network: run scripts/setup.sh again; what pip has downloaded is kept in its cache." \
    "Without: copy a LibTorch $kTorch here and set Torch_DIR=<torch>/share/cmake/Torch."
  torch_in_venv "$partial" >/dev/null || fail "pip installed torch==$kTorch, but $partial holds no complete LibTorch."
  if [ -n "$kIndex" ]; then
    hash_of_index >"$partial/torch-index"
  fi
  rm -rf "$kVenv"
  mv "$partial" "$kVenv"
  say "LibTorch: installed in $(torch_in_venv "$kVenv")."
}

use_named_torch() { # the one of Torch_DIR
  local root
  root=$(realpath -m "$Torch_DIR/../../..")
  is_usable_torch "$root" || fail \
    "Torch_DIR is set to $Torch_DIR, but $root has no LibTorch $kOldestTorch or newer (found: $(torch_version "$root" | grep . || echo none))." \
    "Set it to <torch>/share/cmake/Torch of a LibTorch $kOldestTorch or newer, or unset it to have one installed here."
  if [ -n "${PIXART_TORCH_VERSION:-}" ] && [ "$(torch_version "$root")" != "$kTorch" ]; then
    fail "PIXART_TORCH_VERSION asks for $kTorch, but Torch_DIR names $(torch_version "$root") in $root: unset one of them."
  fi
  say "LibTorch: $(describe_torch "$root") in $root, which Torch_DIR names."
  check_cuda "$(torch_cuda "$root")"
}

find_or_install_torch() {
  local found why
  if [ -n "${Torch_DIR:-}" ]; then
    use_named_torch
    return
  fi
  mkdir -p .deps
  exec 9>.deps/setup.lock # a second setup waits here for the first
  flock 9
  if found=$(torch_in_venv "$kVenv"); then
    if why=$(is_asked_for "$found"); then
      say "LibTorch: $(describe_torch "$found") in $found."
      check_cuda "$(torch_cuda "$found")"
      return
    fi
    say "LibTorch: $kVenv holds $(describe_torch "$found"), but $why; it will be replaced, and scripts/build.sh compiles all again."
  elif [ -e "$kVenv" ]; then
    say "LibTorch: $kVenv is there but holds no complete LibTorch $kOldestTorch or newer; it will be replaced."
  fi
  if [ -z "$kIndex" ]; then
    check_driver 13 # before some gigabytes are downloaded
  fi
  install_torch 9>&- # pip's children must not keep the lock
  check_cuda "$(torch_cuda "$(torch_in_venv "$kVenv")")"
}

# --- Arrow, for Parquet files ------------------------------------------------------------------------------------

arrow_in_venv() { # prints <venv>/lib/python3.x/site-packages/pyarrow
  local folder
  for folder in "$kVenv"/lib/python3*/site-packages/pyarrow; do
    if [ -e "$folder/include/parquet/column_reader.h" ] && compgen -G "$folder/libparquet.so.*" >/dev/null; then
      echo "$folder"
      return
    fi
  done
  return 1
}

# Into the environment of LibTorch, if setup.sh has made it. A failure leaves out one type
# of source, so it is told and not an error.
find_or_install_arrow() {
  local found
  if [ -n "${PIXART_ARROW:-}" ]; then
    say "Arrow: PIXART_ARROW names $PIXART_ARROW."
    return
  fi
  if found=$(arrow_in_venv); then
    say "Arrow: $found."
    return
  fi
  if [ -n "${Torch_DIR:-}" ]; then
    say "Arrow: not installed, because Torch_DIR names LibTorch and .deps/ is not used; sources of type parquet need it:" \
      "set PIXART_ARROW to the folder of an installed pyarrow."
    return
  fi
  say "Arrow: installing pyarrow==$kArrow with pip into $kVenv (170 MB), whose libraries read Parquet files."
  "$kVenv/bin/python" -m pip install --disable-pip-version-check --progress-bar off --no-deps "pyarrow==$kArrow" ||
    say "Arrow: pip could not install pyarrow==$kArrow (its own messages are above); sources of type parquet cannot be read."
}

# --- CUDA: the driver, LibTorch and nvcc -------------------------------------------------------------------------

driver_version() { # of NVIDIA's driver, e.g. 535.129.03; nothing if there is none
  local file=${PIXART_DRIVER_VERSION_FILE:-/proc/driver/nvidia/version}
  if [ -r "$file" ]; then
    sed -nE 's/^NVRM version:.* ([0-9]{3,}\.[0-9.]+) .*/\1/p' "$file"
  elif command -v nvidia-smi >/dev/null; then
    { nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null || true; } | sed -nE '1 s/^([0-9]{3,}\.[0-9.]+)$/\1/p'
  fi
}

# Says what to do if the driver does not run programs of CUDA version $1. src/base/gpu_driver.cpp has the same numbers.
check_driver() {
  local driver needed
  driver=$(driver_version)
  needed=$([ "${1%%.*}" -ge 13 ] && echo 580 || echo 525)
  if [ -z "$driver" ] || is_at_least "$driver" "$needed"; then
    return
  fi
  say "the driver $driver is too old for a LibTorch for CUDA $1, which needs $needed or newer; GPUs could not be used."
  if is_at_least "$driver" 525; then
    say "Update the driver, or install a LibTorch for CUDA 12 (and an nvcc 12.x):" \
      "PIXART_TORCH_INDEX=<URL of PyTorch's index for CUDA 12.6 or 12.8> scripts/setup.sh"
  else
    say "Update the driver."
  fi
}

# Says what to do if nvcc is of another major version than LibTorch's CUDA, $1. CMake makes the same comparison.
check_nvcc() {
  local nvcc=${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)} release
  release=$("$nvcc" --version 2>/dev/null | sed -nE 's/.*release ([0-9]+\.[0-9]+).*/\1/p') || true
  if [ -n "$release" ] && [ "${release%%.*}" != "${1%%.*}" ]; then
    say "nvcc $release ($nvcc) and LibTorch for CUDA $1 differ in the major version, so CUDA kernels would be left out." \
      "Put the bin folder of a CUDA ${1%%.*} toolkit on PATH (or set CUDACXX), or install a LibTorch for CUDA ${release%%.*} (PIXART_TORCH_INDEX)."
  fi
}

check_cuda() { # check_cuda VERSION: LibTorch's; empty for a CPU build
  if [ -n "$1" ]; then
    check_driver "$1"
    check_nvcc "$1"
  fi
}

check_settings() {
  if ! [[ "$kTorch" =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || ! is_at_least "$kTorch" "$kOldestTorch"; then
    fail "PIXART_TORCH_VERSION is '$kTorch'; expected a version such as 2.15.0, $kOldestTorch or newer." \
      "The CUDA version is chosen by the index: PIXART_TORCH_INDEX."
  fi
}

main() {
  case "${1:-}" in
    -h | --help) usage && return ;;
    "") ;;
    *) fail "unknown argument '$1'; see scripts/setup.sh --help." ;;
  esac
  check_settings
  install_packages
  find_or_install_torch
  find_or_install_arrow
  say "ready; next: scripts/build.sh"
}

main "$@"
