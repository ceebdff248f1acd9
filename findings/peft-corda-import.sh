#!/usr/bin/env bash
# peft 0.21.2: CorDA's module needs a package that peft does not require.
# It needs no file of this project. It takes some seconds after the installation.   findings/peft-corda-import.sh
#   PYTHON=FILE  a Python with peft 0.21.2 and without attrs; without it, peft is installed from PyPI into a temporary folder (5 GB)
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
# Output seen, on Debian 12 with Python 3.11:
#   peft 0.21.2
#   peft requires attrs: False
#   import peft.tuners.lora.eva: works
#   import peft.tuners.lora.loraga: works
#   import peft.tuners.lora.corda: No module named 'attr'
set -euo pipefail

readonly kVersion=0.21.2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python=${PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --progress-bar off torch==2.11.0 peft==0.21.2 transformers==5.24.0 accelerate==1.15.0
fi
cat > "$folder/see.py" << 'END'
import importlib, importlib.metadata, importlib.util, sys

version = importlib.metadata.version("peft")
if version != sys.argv[1] or importlib.util.find_spec("attr"):
    print(f"peft is {version}, not {sys.argv[1]}, or attrs is installed", file=sys.stderr)
    sys.exit(78)
print("peft", version)
differs = False


def see(what, got, expected):
    global differs
    print(f"{what}: {got}")
    if got != expected:
        print("  expected:", expected)
        differs = True


def import_of(module):
    try:
        importlib.import_module(module)
        return "works"
    except ModuleNotFoundError as error:
        return str(error)


see("peft requires attrs", any(name.startswith("attrs") for name in importlib.metadata.requires("peft")), False)
for name, expected in (("eva", "works"), ("loraga", "works"), ("corda", "No module named 'attr'")):
    see(f"import peft.tuners.lora.{name}", import_of(f"peft.tuners.lora.{name}"), expected)
sys.exit(differs)
END
"$python" -W ignore "$folder/see.py" "$kVersion"
