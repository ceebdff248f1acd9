#!/usr/bin/env bash
# Compares pixart's reading and writing of weights with Python's own libraries; see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'END'
Usage: scripts/check_weights.sh [packages|diffusers|lora|adapters ...]

  packages   two weight files from Python packages (a .pth and a .safetensors), read by pixart and by torch or
             safetensors: names, types, shapes and every value are compared
  diffusers  folders that pixart convert writes, opened by diffusers: PixArt (plain and micro-conditioned, as a
             whole pipeline that generates an image), PixArt-Sigma (the same; also as diffusers saves it, and by an
             older diffusers) and DiT, all forward passes compared with pixart's
  lora       adapters that pixart train writes, opened by PEFT and diffusers, and adapters of these, merged by
             pixart convert
  adapters   adapters of PEFT with every init_lora_weights, and names of other trainers: merged weights are compared

Runs all if none is named. Needs a release build (scripts/build.sh) and network access to PyPI; the Python packages
go to .deps/check.
END
}

case "${1:-}" in -h | --help) usage && exit 0 ;; esac

scripts/build.sh release pixart pixart_forward > /dev/null
readonly torch_packages=$(echo .deps/venv/lib/python3*/site-packages)
if ! .deps/check/bin/python -c "import importlib.util as u, sys; sys.exit(u.find_spec('peft') is None)" 2> /dev/null; then
  python3 -m venv .deps/check
  # LibTorch's own wheel is used as torch.
  realpath "$torch_packages" > "$(echo .deps/check/lib/python3*/site-packages)/torch-of-deps.pth"
  .deps/check/bin/pip install --quiet diffusers==0.42.1 transformers==5.24.0 safetensors==0.8.0 sentencepiece protobuf numpy \
    accelerate beautifulsoup4 ftfy peft==0.21.2 attrs
fi
readonly older=.deps/check-diffusers-0.39.0
[[ -d $older ]] || .deps/check/bin/pip install --quiet --no-deps --target "$older" diffusers==0.39.0
for check in "${@:-packages diffusers lora adapters}"; do
  for name in $check; do
    .deps/check/bin/python "scripts/check_$name.py" build/release/bin
    [[ $name != diffusers ]] || PYTHONPATH=$older .deps/check/bin/python scripts/check_diffusers.py build/release/bin sigma
  done
done
