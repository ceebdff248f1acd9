#!/usr/bin/env python3
"""The rival of `pixart_bench decode`, which runs it: prepares JPEG files as [3, SIZE, SIZE] float32 with torchvision.

Usage: bench_decode.py make FOLDER PHOTO...        makes 2250 x 1500 JPEGs (4:2:0, qualities 85 to 95) from photos
       bench_decode.py decode FOLDER OUT SIZE

decode answers each line of its standard input, `full` or `draft`, with {"images_per_second": ..., "versions": ...} and
leaves the tensors in OUT as raw float32, in the order of the sorted names. One thread. `draft` is Pillow's own reduced
decoding, which torchvision does not use.
scripts/bench_data.sh installs the packages: numpy, pillow, torch, torchvision.
"""
import io
import json
import pathlib
import sys
import time

WIDTH, HEIGHT = 2250, 1500  # of SA-1B's images, whose shorter side is 1500


def make(folder, photos):
    import numpy
    from PIL import Image, ImageOps

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    random = numpy.random.default_rng(0)
    for i, path in enumerate(photos):
        photo = ImageOps.fit(Image.open(path).convert("RGB"), (WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        # The grain that a camera leaves and that enlarging takes away.
        grain = random.normal(0, 3, (HEIGHT, WIDTH, 1)) + random.normal(0, 1.5, (HEIGHT, WIDTH, 3))
        pixels = (numpy.asarray(photo, numpy.float32) + grain).round().clip(0, 255).astype(numpy.uint8)
        quality = (85, 90, 95)[i % 3]
        out = folder / f"{pathlib.Path(path).stem}-q{quality}.jpg"
        Image.fromarray(pixels).save(out, quality=quality, subsampling="4:2:0")


def decode(folder, out, size):
    import PIL
    import torch
    import torchvision
    from PIL import Image, features
    from torchvision import transforms

    torch.set_num_threads(1)
    transform = transforms.Compose([
        transforms.Resize(size, transforms.InterpolationMode.BICUBIC, antialias=True),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
        transforms.Normalize([0.5], [0.5]),
    ])
    files = [path.read_bytes() for path in sorted(pathlib.Path(folder).glob("*.jpg"))]
    versions = {"pillow": PIL.__version__, "libjpeg_turbo": features.version_feature("libjpeg_turbo"),
                "torch": torch.__version__, "torchvision": torchvision.__version__}

    def tensor_of(data, is_draft):
        image = Image.open(io.BytesIO(data))
        if is_draft:  # by halves, while both sides stay at least twice as long as the result's
            image.draft("RGB", (2 * size, 2 * size))
        return transform(image.convert("RGB"))

    for line in sys.stdin:
        start = time.perf_counter()
        tensors = [tensor_of(data, line.strip() == "draft") for data in files]
        rate = len(files) / (time.perf_counter() - start)
        pathlib.Path(out).write_bytes(torch.stack(tensors).numpy().tobytes())
        print(json.dumps({"images_per_second": rate, "versions": versions}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 3 and sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3:])
    elif len(sys.argv) == 5 and sys.argv[1] == "decode":
        decode(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        sys.exit(__doc__)
