#!/usr/bin/env bash
# Pillow 12.3.0 and 13.0.0: Image.resize gives other bytes for the same image, size and filter.
# It needs no file of this project. It takes seconds after the installation.   findings/pillow-13-resize.sh
#   PYTHON=FILE  the Python that installs both versions from PyPI, each into a temporary folder (default: python3)
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
# Output seen, on Debian 12 with Python 3.11:
#   Pillow 12.3.0
#   Pillow 13.0.0
#   75 x 74 -> 127 x 61, bicubic: 6935 of 23241 bytes differ, by up to 16
#   75 x 74 -> 127 x 61, bilinear: 4911 of 23241 bytes differ, by up to 1
#   75 x 74 -> 127 x 61, lanczos: 8733 of 23241 bytes differ, by up to 24
#   64 x 131 -> 40 x 81, bicubic: 2352 of 9720 bytes differ, by up to 5
#   64 x 131 -> 40 x 81, bilinear: 2190 of 9720 bytes differ, by up to 1
#   64 x 131 -> 40 x 81, lanczos: 2684 of 9720 bytes differ, by up to 12
#   75 x 74 -> 61 x 61, bicubic: 0 of 11163 bytes differ, by up to 0
#   75 x 74 -> 61 x 61, bilinear: 0 of 11163 bytes differ, by up to 0
#   75 x 74 -> 61 x 61, lanczos: 0 of 11163 bytes differ, by up to 0
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python=${PYTHON:-python3}
for version in 12.3.0 13.0.0; do
  "$python" -m pip install --progress-bar off --root-user-action ignore --target "$folder/$version" "pillow==$version"
done
cat > "$folder/draw.py" << 'END'
import sys

import PIL
from PIL import Image

SHAPES = ((75, 74, 127, 61), (64, 131, 40, 81), (75, 74, 61, 61))  # own width and height, new width and height
FILTERS = (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)
with open(sys.argv[1], "wb") as file:
    for width, height, new_width, new_height in SHAPES:
        own = bytes((37 * y * y + 91 * x + 53 * c * x * y) % 256 for y in range(height) for x in range(width) for c in range(3))
        for kind in FILTERS:
            file.write(Image.frombytes("RGB", (width, height), own).resize((new_width, new_height), kind).tobytes())
print("Pillow", PIL.__version__)
END
for version in 12.3.0 13.0.0; do
  PYTHONPATH=$folder/$version "$python" "$folder/draw.py" "$folder/$version.bytes"
done
cat > "$folder/compare.py" << 'END'
import sys

first, second = (open(path, "rb").read() for path in sys.argv[1:])
expected = [(6935, 16), (4911, 1), (8733, 24), (2352, 5), (2190, 1), (2684, 12), (0, 0), (0, 0), (0, 0)]
at, seen = 0, []
for shape, size in (("75 x 74 -> 127 x 61", 127 * 61), ("64 x 131 -> 40 x 81", 40 * 81), ("75 x 74 -> 61 x 61", 61 * 61)):
    for kind in ("bicubic", "bilinear", "lanczos"):
        pairs = list(zip(first[at:at + 3 * size], second[at:at + 3 * size]))
        at += 3 * size
        seen.append((sum(a != b for a, b in pairs), max(abs(a - b) for a, b in pairs)))
        print(f"{shape}, {kind}: {seen[-1][0]} of {3 * size} bytes differ, by up to {seen[-1][1]}")
sys.exit(seen != expected)
END
"$python" "$folder/compare.py" "$folder"/*.bytes
