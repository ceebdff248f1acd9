#!/usr/bin/env python3
"""Compares `pixart score` with pytorch-fid, clean-fid and torch-fidelity on the same folders: features' statistics, FID, KID, precision and
recall, and the time.

Usage: check_scores.py BINARIES [--number 2500] [--threads 2]
       (pip install pytorch-fid==0.3.0 clean-fid==0.1.35 torch-fidelity==0.4.0 torchvision pillow scipy; run by hand, half an hour on two cores)

    scripts/build.sh release
    python3 scripts/check_scores.py build/release/bin

The images are of Fashion-MNIST (Debian's dataset-fashion-mnist), the weights are of a formula in the published layout. clean-fid loads a
network that runs code from a download: its resize and its distance are taken with pytorch-fid's network.
"""
import argparse
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from cleanfid import fid as clean_fid
from PIL import Image
from pytorch_fid import fid_score, inception
from torch_fidelity import calculate_metrics

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/golden/generate"))
import formula_inception

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
parser = argparse.ArgumentParser()
parser.add_argument("binaries", type=pathlib.Path)
parser.add_argument("--number", type=int, default=2500, help="images in each of the two folders")
parser.add_argument("--threads", type=int, default=2)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
failures = []


def write_images(folder, file, number):
    with gzip.open(FASHION / file) as stream:
        pixels = np.frombuffer(stream.read(16 + 784 * number), np.uint8)[16:].reshape(number, 28, 28)
    folder.mkdir()
    for i, image in enumerate(pixels):
        Image.fromarray(image).convert("RGB").save(folder / f"{i:05}.png")


def score(images, rule, metrics, *more):
    """The scores, and the seconds that they took."""
    command = [arguments.binaries / "pixart", "score", images, "--weights", "weights.pth", "--resize", rule, "--metrics", metrics, "--device", "cpu", "--json", *more]
    begun = time.monotonic()
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout)["scores"], time.monotonic() - begun


def timed(work):
    begun = time.monotonic()
    return work(), time.monotonic() - begun


def expect(what, got, want, relative, absolute=0.0):
    good = abs(got - want) <= relative * abs(want) + absolute
    print(f"{'ok    ' if good else 'WRONG '} {what}: {got:.9g}, want {want:.9g}", flush=True)
    if not good:
        failures.append(what)


def check_pytorch_rule():
    network_weights = torch.load("weights.pth")
    inception.load_state_dict_from_url = lambda *args, **kwargs: network_weights
    want, their_seconds = timed(lambda: fid_score.calculate_fid_given_paths(["images", "real"], 32, "cpu", 2048, num_workers=1))
    got, our_seconds = score("images", "pytorch", "fid", "--reference", "real")
    expect("pytorch-fid: FID", got["fid"], want, 1e-4)
    print(f"       {their_seconds:.0f} s by pytorch-fid, {our_seconds:.0f} s by pixart: {their_seconds / our_seconds:.2f} x")
    score("real", "pytorch", "fid", "--reference", "images", "--save-statistics", "real.npz")
    statistics = np.load("real.npz")
    network = inception.InceptionV3([3])
    mean, covariance = fid_score.compute_statistics_of_path("real", network, 32, 2048, "cpu", 1)
    expect("statistics: mu", np.abs(statistics["mu"] - mean).max(), 0, 0, 2e-4)
    expect("statistics: sigma", np.abs(statistics["sigma"] - covariance).max(), 0, 0, 2e-4)
    expect("pytorch-fid reads real.npz", fid_score.calculate_fid_given_paths(["images", "real.npz"], 32, "cpu", 2048, num_workers=1), want, 1e-4)
    expect("pixart reads real.npz", score("images", "pytorch", "fid", "--reference", "real.npz")[0]["fid"], want, 1e-4)


def check_clean_rule():
    network = inception.InceptionV3([3], resize_input=False, normalize_input=False)
    network.eval()
    model = lambda x: network((x - 128) / 128)[0].flatten(1)
    both = [clean_fid.get_folder_features(name, model, num_workers=0, batch_size=32, device="cpu", mode="clean", verbose=False) for name in ("images", "real")]
    moments = [(features.mean(0), np.cov(features, rowvar=False)) for features in both]
    got, _ = score("images", "clean", "fid,kid", "--reference", "real", "--kid-subset-size", "100")
    expect("clean-fid: FID", got["fid"], clean_fid.frechet_distance(*moments[0], *moments[1]), 1e-4)
    all_pairs = clean_fid.kernel_distance(both[0].astype(float), both[1].astype(float), num_subsets=1, max_subset_size=arguments.number)
    expect("clean-fid: KID of all", got["kid_all_pairs"], all_pairs, 1e-4)
    expect("KID of subsets", got["kid"], all_pairs, 0, 4 * got["kid_deviation"] / 10)


def check_tensorflow_rule():
    want = calculate_metrics(input1="images", input2="real", cuda=False, fid=True, kid=True, prc=True, isc=False, kid_subsets=1, kid_subset_size=arguments.number, batch_size=32,
                             verbose=False, cache=False, feature_extractor="inception-v3-compat", feature_extractor_weights_path="weights.pth")
    got, _ = score("images", "tensorflow", "fid,kid,precision-recall", "--reference", "real")
    expect("torch-fidelity: FID", got["fid"], want["frechet_inception_distance"], 1e-4)
    expect("torch-fidelity: KID of all", got["kid_all_pairs"], want["kernel_inception_distance_mean"], 1e-4)
    for name in ("precision", "recall"):  # of float32 distances there
        expect(f"torch-fidelity: {name}", got[name], want[name], 0, 1.5 / arguments.number)


arguments.binaries = arguments.binaries.resolve()
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    write_images(pathlib.Path("images"), "train-images-idx3-ubyte.gz", arguments.number)
    write_images(pathlib.Path("real"), "t10k-images-idx3-ubyte.gz", arguments.number)
    torch.save(formula_inception.state_dict(inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)), "weights.pth")
    check_pytorch_rule()
    check_clean_rule()
    check_tensorflow_rule()
    os.chdir("/")
if failures:
    sys.exit(f"{len(failures)} values differ: {', '.join(failures)}")
