#!/usr/bin/env bash
# Installs the packages that pixart needs to build; see --help. It may run any number of times.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly kTorch=2.11.0
readonly kTorchSeries=${kTorch%.*}
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
  # captions from a vision-language model
  libcurl4-openssl-dev libsqlite3-dev
  # images
  libopencv-imgproc-dev libturbojpeg0-dev libpng-dev libwebp-dev libdeflate-dev
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
  2. LibTorch $kTorch: the one that Torch_DIR names, or the one in .deps/; if both are
     missing, torch==$kTorch from pip into $kVenv (4.6 GB).
It does not change installed packages, so a second run takes about a second.

Environment:
  Torch_DIR   <torch>/share/cmake/Torch of an existing LibTorch $kTorchSeries, e.g. for machines without network

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

is_wanted_torch() { [[ "$(torch_version "$1")" == "$kTorchSeries".* ]]; }

torch_in_venv() { # prints <venv>/lib/python3.x/site-packages/torch
  local folder
  for folder in "$1"/lib/python3*/site-packages/torch; do
    if is_wanted_torch "$folder"; then
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

# Installs under another name and renames when complete, so that an interrupted installation is never used.
# (Only the site-packages of the environment are used, which may be renamed.)
install_torch() {
  local python partial=$kVenv.partial
  check_disk
  python=$(usable_python) || fail "no Python 3.10 or newer with venv and ensurepip was found; LibTorch is installed with pip." \
    "Run as root: apt-get install -y python3-venv"
  say "LibTorch: installing torch==$kTorch with pip into $kVenv, which takes some minutes and 4.6 GB ($python)."
  rm -rf "$partial"
  "$python" -m venv "$partial" || fail "$python could not make a virtual environment in $partial (see above)."
  "$partial/bin/python" -m pip install --disable-pip-version-check --progress-bar off "torch==$kTorch" || fail \
    "pip could not install torch==$kTorch (its own messages are above)." \
    "With network: run scripts/setup.sh again; what pip has downloaded is kept in its cache." \
    "Without: copy a LibTorch $kTorch here and set Torch_DIR=<torch>/share/cmake/Torch."
  torch_in_venv "$partial" >/dev/null || fail "pip installed torch==$kTorch, but $partial holds no complete LibTorch $kTorchSeries."
  rm -rf "$kVenv"
  mv "$partial" "$kVenv"
  say "LibTorch: installed in $(torch_in_venv "$kVenv")."
}

find_or_install_torch() {
  local root found
  if [ -n "${Torch_DIR:-}" ]; then
    root=$(realpath -m "$Torch_DIR/../../..")
    is_wanted_torch "$root" || fail \
      "Torch_DIR is set to $Torch_DIR, but $root has no LibTorch $kTorchSeries (found: $(torch_version "$root" | grep . || echo none))." \
      "Set it to <torch>/share/cmake/Torch of a LibTorch $kTorchSeries, or unset it to have one installed here."
    say "LibTorch: $(torch_version "$root") in $root, which Torch_DIR names."
    return
  fi
  mkdir -p .deps
  exec 9>.deps/setup.lock # a second setup waits here for the first
  flock 9
  if found=$(torch_in_venv "$kVenv"); then
    say "LibTorch: $(torch_version "$found") in $found."
    return
  fi
  if [ -e "$kVenv" ]; then
    say "LibTorch: $kVenv is there but holds no complete LibTorch $kTorchSeries; it will be replaced."
  fi
  install_torch 9>&- # pip's children must not keep the lock
}

main() {
  case "${1:-}" in
    -h | --help) usage && return ;;
    "") ;;
    *) fail "unknown argument '$1'; see scripts/setup.sh --help." ;;
  esac
  install_packages
  find_or_install_torch
  say "ready; next: scripts/build.sh"
}

main "$@"
