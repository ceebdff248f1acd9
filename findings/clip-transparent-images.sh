#!/usr/bin/env bash
# What CLIP sees of PNG files with transparency or a palette: openai/CLIP (clip-anytorch 2.6.0 packs it) and open_clip 3.3.0 resize first
# and convert to RGB then; transformers 5.24.0 converts first.
# It needs no file of this project. It takes half a minute after the installation.   findings/clip-transparent-images.sh
#   PYTHON=FILE  a Python with the packages below, torch and torchvision; without it, they are installed from PyPI into a temporary folder
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
# Output seen, on Debian 12 with Python 3.11:
#   clip-anytorch 2.6.0, open-clip-torch 3.3.0, transformers 5.24.0
#   a red square on a transparent background (255, 255, 255, 0); grey value of the background
#     112 x 112: openai/CLIP 0, open_clip 0, transformers 255
#     224 x 224: openai/CLIP 255, open_clip 255, transformers 255
#     225 x 225: openai/CLIP 0, open_clip 0, transformers 255
#     512 x 512: openai/CLIP 0, open_clip 0, transformers 255
#   black and white columns, each 1 pixel wide, 448 x 448; grey value in the middle
#     24-bit PNG: openai/CLIP 128, open_clip 128, transformers 128
#     PNG with a palette of the two colors: openai/CLIP 255, open_clip 255, transformers 128
set -euo pipefail

readonly kPackages=(clip-anytorch==2.6.0 open-clip-torch==3.3.0 transformers==5.24.0)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python=${PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --progress-bar off torch==2.11.0 torchvision==0.26.0 pillow==13.0.0 setuptools==80.9.0 "${kPackages[@]}"
fi
cat > "$folder/see.py" << 'END'
import importlib.metadata, sys

for package in sys.argv[2:]:
    name, version = package.split("==")
    if importlib.metadata.version(name) != version:
        print(f"{name} is {importlib.metadata.version(name)}, not {version}", file=sys.stderr)
        sys.exit(78)
import clip.clip, open_clip.transform, torch, transformers
from PIL import Image

print(", ".join(package.replace("==", " ") for package in sys.argv[2:]))
torch.set_num_threads(1)
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of all published models
by_transformers = transformers.CLIPImageProcessorPil()
SEE = {"openai/CLIP": clip.clip._transform(224),
       "open_clip": open_clip.transform.image_transform(224, is_train=False),
       "transformers": lambda image: torch.as_tensor(by_transformers(image, return_tensors="pt")["pixel_values"][0])}
differs = False


def see(what, image, y, x, expected):
    """Writes the image as PNG, opens it, and prints the value of its first channel at (y, x) of what CLIP sees."""
    global differs
    file = f"{sys.argv[1]}/image.png"
    image.save(file)
    got = []
    for name, transform in SEE.items():
        with Image.open(file) as opened:
            seen = transform(opened)
        got.append(f"{name} {round(255 * (seen[0, y, x].item() * DEVIATION[0] + MEAN[0]))}")
    got = ", ".join(got)
    print(f"  {what}: {got}")
    if got != expected:
        print("    expected:", expected)
        differs = True


print("a red square on a transparent background (255, 255, 255, 0); grey value of the background")
for side in (112, 224, 225, 512):
    image = Image.new("RGBA", (side, side), (255, 255, 255, 0))
    image.paste((200, 30, 30, 255), (side // 4, side // 4, 3 * side // 4, 3 * side // 4))
    grey = 255 if side == 224 else 0
    see(f"{side} x {side}", image, 0, 0, f"openai/CLIP {grey}, open_clip {grey}, transformers 255")
print("black and white columns, each 1 pixel wide, 448 x 448; grey value in the middle")
image = Image.new("RGB", (448, 448), (255, 255, 255))
for x in range(0, 448, 2):
    image.paste((0, 0, 0), (x, 0, x + 1, 448))
see("24-bit PNG", image, 112, 112, "openai/CLIP 128, open_clip 128, transformers 128")
see("PNG with a palette of the two colors", image.quantize(2), 112, 112, "openai/CLIP 255, open_clip 255, transformers 128")
sys.exit(differs)
END
HF_HUB_OFFLINE=1 "$python" -W ignore "$folder/see.py" "$folder" "${kPackages[@]}" 2> "$folder/log" || {
  code=$?
  tail -n 20 "$folder/log" >&2
  exit "$code"
}
