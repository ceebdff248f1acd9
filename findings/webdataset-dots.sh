#!/usr/bin/env bash
# webdataset 1.0.2: what its reader makes of keys with a dot that its own ShardWriter wrote.
# It needs no file of this project. It takes a second after the installation.   findings/webdataset-dots.sh
#   PYTHON=FILE  a Python with webdataset 1.0.2; without it, it is installed from PyPI into a temporary folder
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
# Output seen, on Debian 12 with Python 3.11:
#   webdataset 1.0.2
#   no dot: written a, b; read a (txt); b (txt)
#   a dot in the folder: written v1.5/a, v1.5/b; read v1.5/a (txt); v1.5/b (txt)
#   a dot in the name: written img.1, img.2, img.3; read img (1.txt, 2.txt, 3.txt)
set -euo pipefail

readonly kVersion=1.0.2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python=${PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --progress-bar off webdataset==1.0.2 numpy==2.4.6 braceexpand==0.1.7 PyYAML==6.0.4
fi
cat > "$folder/see.py" << 'END'
import importlib.metadata, sys

if importlib.metadata.version("webdataset") != sys.argv[2]:
    print(f"webdataset is {importlib.metadata.version('webdataset')}, not {sys.argv[2]}", file=sys.stderr)
    sys.exit(78)
import webdataset

print("webdataset", sys.argv[2])
differs = False


def see(what, keys, expected):
    global differs
    file = f"{sys.argv[1]}/{len(keys)}{len(what)}.tar"
    with webdataset.TarWriter(file) as writer:
        for key in keys:
            writer.write({"__key__": key, "txt": f"text of {key}"})
    got = []
    for sample in webdataset.WebDataset([file], shardshuffle=False):
        fields = ", ".join(name for name in sample if not name.startswith("__"))
        got.append(f"{sample['__key__']} ({fields})")
    print(f"{what}: written {', '.join(keys)}; read {'; '.join(got)}")
    if got != expected:
        print("  expected:", "; ".join(expected))
        differs = True


see("no dot", ["a", "b"], ["a (txt)", "b (txt)"])
see("a dot in the folder", ["v1.5/a", "v1.5/b"], ["v1.5/a (txt)", "v1.5/b (txt)"])
see("a dot in the name", ["img.1", "img.2", "img.3"], ["img (1.txt, 2.txt, 3.txt)"])
sys.exit(differs)
END
"$python" -W ignore "$folder/see.py" "$folder" "$kVersion"
