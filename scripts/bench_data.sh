#!/usr/bin/env bash
# Runs the benchmarks of data reading against their Python rivals; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly kFolder=.deps/bench
readonly kPackage=mate-backgrounds # Debian package with a dozen photos
readonly kNeeded="pillow==13.0.0 numpy==2.4.6 torchvision==0.26.0"

usage() {
  cat <<END
Usage: scripts/bench_data.sh [--setup] [--rounds N]

Builds pixart_bench, prepares the benchmarks in $kFolder (a Python environment with $kNeeded;
2250 x 1500 JPEGs of the photos in the Debian package $kPackage, 47 MB), and runs

  pixart_bench decode     JPEG to training tensor, against PIL and torchvision
  pixart_bench features   precomputed features, against the official .npz layout
  pixart_bench remote     images in shards of a server on this machine, against the same shards on the disk

Each prints JSON. Both sides run in turn, the first two on one processor; run it on an idle machine.

  --setup      only prepares the benchmarks
  --rounds N   number of measured rounds of each (5)

Needs network access to PyPI and a Debian mirror the first time, and 3 GB in build/ for a while.
END
}

setup() {
  local python=$kFolder/venv/bin/python torch_packages photos
  if [ ! -x "$python" ]; then
    torch_packages=$(echo .deps/venv/lib/python3*/site-packages)
    [ -d "$torch_packages/torch" ] || { echo "bench: no torch in .deps/venv; run scripts/setup.sh first." >&2; exit 78; }
    python3 -m venv "$kFolder/partial"
    # LibTorch's own wheel is used as torch.
    realpath "$torch_packages" > "$(echo $kFolder/partial/lib/python3*/site-packages)/torch-of-deps.pth"
    # shellcheck disable=SC2086
    "$kFolder/partial/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps $kNeeded
    mv "$kFolder/partial" "$kFolder/venv"
  fi
  if [ ! -d $kFolder/pictures ]; then
    photos=$(mktemp -d)
    (cd "$photos" && apt-get download $kPackage && dpkg -x $kPackage*.deb .)
    rm -rf $kFolder/pictures.partial
    "$python" scripts/bench_decode.py make $kFolder/pictures.partial \
      "$photos"/usr/share/backgrounds/mate/nature/*.jpg "$photos"/usr/share/backgrounds/mate/abstract/Elephants_3840x2160.jpg
    mv $kFolder/pictures.partial $kFolder/pictures
    rm -r "$photos"
  fi
}

rounds=5 only_setup=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --setup) only_setup=1 ;;
    --rounds) rounds=${2:?--rounds needs a number} && shift ;;
    *) echo "bench: unknown argument $1" >&2 && usage >&2 && exit 78 ;;
  esac
  shift
done

mkdir -p $kFolder
setup
[ -n "$only_setup" ] && exit 0
scripts/build.sh release pixart_bench >/dev/null
build/release/bin/pixart_bench decode --rounds "$rounds"
build/release/bin/pixart_bench features --rounds "$rounds" --dir build
build/release/bin/pixart_bench remote --rounds "$rounds" --dir build
