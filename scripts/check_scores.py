#!/usr/bin/env python3
"""Compares `pixart score` with pytorch-fid, clean-fid and torch-fidelity on the same folders: resized pixels, features, statistics, FID, KID,
precision and recall, and the time.

Usage: check_scores.py BINARIES [--number 2500 | --quick] [--threads 2] [--work FOLDER] [--parts NAME,NAME]
       (pip install pytorch-fid==0.3.0 clean-fid==0.1.35 torch-fidelity==0.4.0 torchvision pillow scipy; run by hand, two hours on two cores)

    scripts/build.sh release pixart pixart_resized
    python3 scripts/check_scores.py build/release/bin --work checked

The images are of Fashion-MNIST (Debian's dataset-fashion-mnist), the weights are of a formula in the published layout. clean-fid loads a
network that runs code from a download: its resize and its distance are taken with pytorch-fid's network.

--quick has 200 images in each folder. With --work, the files and the results of finished parts stay there, and a second call does the
other parts. The last line is a summary in JSON; the script ends with 1 if a value differs.

What must hold: resized pixels within 1/255, features within 2e-4, FID within 1e-4 relative of the three programs and of an oracle in float64
(scipy's sqrtm), KID within 1e-4 relative; FIDs of two rules differ by 100 times that tolerance; `pixart score` is at least 1.3 times as
fast as each program on the same images and cores.
"""
import argparse
import contextlib
import gzip
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import scipy.linalg
import torch
from cleanfid import fid as clean_fid
from cleanfid.resize import build_resizer
from PIL import Image
from pytorch_fid import fid_score, inception
from torch_fidelity import calculate_metrics, metric_kid
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/golden/generate"))
import formula_inception

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
RULES = ("pytorch", "clean", "tensorflow")
FID_TOLERANCE, FEATURE_TOLERANCE, KID_TOLERANCE, PIXEL_TOLERANCE, LEAST_RATIO = 1e-4, 2e-4, 1e-4, 1.0, 1.3  # pixels are 0 to 255
SIZES = [(28, 28), (299, 299), (512, 384), (300, 701), (64, 1000), (777, 777), (37, 41), (298, 600)]


class Results:
    """The comparisons and numbers of each part, kept in a file after each part."""

    def __init__(self, file):
        self.file, self.parts = file, json.loads(file.read_text()) if file.exists() else {}

    def begin(self, name):
        self.part = self.parts[name] = {"wrong": [], "values": {}, "done": False}

    def end(self):
        self.part["done"] = True
        self.file.write_text(json.dumps(self.parts, indent=1))

    def expect(self, what, got, want, relative, absolute=0.0):
        self.say(what, abs(got - want) <= relative * abs(want) + absolute, got, f"{got:.9g}, want {want:.9g}")

    def least(self, what, got, bound):
        self.say(what, got >= bound, got, f"{got:.6g}, at least {bound:.6g}")

    def say(self, what, is_good, value, text):
        print(f"{'ok    ' if is_good else 'WRONG '} {what}: {text}", flush=True)
        self.part["values"][what] = float(value)
        if not is_good:
            self.part["wrong"].append(what)


def parsed():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries", type=pathlib.Path)
    parser.add_argument("--number", type=int, default=2500, help="images in each of the two folders")
    parser.add_argument("--quick", action="store_true", help="200 images")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=pathlib.Path, help="folder for files and results, which a second call uses")
    parser.add_argument("--parts", default=",".join(PARTS), help="which parts")
    parser.add_argument("--features", type=int, default=12, help="images whose features are compared one by one")
    parser.add_argument("--small", type=int, default=48, help="images of the small sets of the oracle")
    parser.add_argument("--timed", type=int, default=200, help="images of each folder that are timed")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--pairing", choices=RULES, help=argparse.SUPPRESS)  # the other program's command, for the time
    parsed = parser.parse_args()
    parsed.number = 200 if parsed.quick else parsed.number
    parsed.timed = min(parsed.timed, parsed.number)
    return parsed


def write_images(folder, file, number):
    if folder.exists() and len(list(folder.iterdir())) == number:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with gzip.open(FASHION / file) as stream:
        pixels = np.frombuffer(stream.read(16 + 784 * number), np.uint8)[16:].reshape(number, 28, 28)
    for i, image in enumerate(pixels):
        Image.fromarray(image).convert("RGB").save(folder / f"{i:05}.png")


def subset(folder, number):
    """A folder with the first images of another."""
    target = pathlib.Path(f"{folder}-{number}")
    if not target.exists():
        target.mkdir()
        for path in sorted(pathlib.Path(folder).iterdir())[:number]:
            shutil.copy(path, target)
    return str(target)


def use_our_weights():
    """pytorch-fid gets the weights of the formula in place of a download."""
    weights = torch.load("weights.pth", weights_only=True)
    inception.load_state_dict_from_url = lambda *args, **kwargs: weights


def clean_features(folder):
    network = inception.InceptionV3([3], resize_input=False, normalize_input=False).eval()
    model = lambda x: network((x - 128) / 128)[0].flatten(1)
    return clean_fid.get_folder_features(folder, model, num_workers=0, batch_size=32, device="cpu", mode="clean", verbose=False)


def use_double_precision(to_metric=metric_kid.kid_features_to_metric):
    """torch-fidelity's KID is of float32 sums, which leave one digit of a distance as small as here. Its arithmetic gets float64 features."""
    metric_kid.kid_features_to_metric = lambda first, second, **options: to_metric(first.double(), second.double(), **options)


def moments(features):
    return features.mean(0), np.cov(features, rowvar=False)


def fidelity(first, second, number, **metrics):
    return calculate_metrics(input1=first, input2=second, cuda=False, isc=False, batch_size=32, verbose=False, cache=False, kid_subsets=1, kid_subset_size=number,
                             feature_extractor="inception-v3-compat", feature_extractor_weights_path="weights.pth", **metrics)


def score(images, rule, metrics, *more):
    command = [BINARIES / "pixart", "score", images, "--weights", "weights.pth", "--resize", rule, "--metrics", metrics, "--device", "cpu", "--json", *more]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {result.returncode}: {result.stderr[-2000:]}")
    return json.loads(result.stdout)["scores"]


def statistics_of(folder, rule):
    file = f"statistics-{pathlib.Path(folder).name}-{rule}.npz"
    score(folder, rule, "fid", "--reference", folder, "--save-statistics", file)
    return np.load(file)


def resized(image, rule):
    """The reference's pixels at 299 x 299: float64 [3, 299, 299], 0 to 255."""
    if rule == "clean":
        return build_resizer("clean")(np.asarray(image)).transpose(2, 0, 1).astype(np.float64)
    planes = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float()
    if rule == "pytorch":
        return torch.nn.functional.interpolate(planes / 255, size=(299, 299), mode="bilinear", align_corners=False)[0].double().numpy() * 255
    return interpolate_bilinear_2d_like_tensorflow1x(planes, size=(299, 299), align_corners=False)[0].double().numpy()


def check_weights(results, arguments):
    """The formula keeps the outputs of all layers near one size, so that errors of any layer show in the features. Filters that sum to 0 see little of
    smooth images, and so the bound for these is lower."""
    network = inception.InceptionV3([3], resize_input=False, normalize_input=False).eval()
    found = {}
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.register_forward_hook(lambda layer, given, out, name=name: found.update({name: out.var().item()}))
    paths = sorted(pathlib.Path("images").iterdir())[:4]
    drawn = [Image.fromarray(formula_inception.image(str(i), 400, 500)) for i in range(4)]
    for what, images, bound in (("grainy images", drawn, 0.1), ("Fashion-MNIST", [Image.open(path) for path in paths], 0.02)):
        found.clear()
        with torch.no_grad():
            network(torch.stack([torch.from_numpy((resized(image, "clean") - 128) / 128).float() for image in images]))
        assert len(found) == 94, len(found)
        results.least(f"{what}: the smallest variance of a layer's output", min(found.values()), bound)
        results.least(f"{what}: 1 / the largest variance", 1 / max(found.values()), bound)


def check_resize(results, arguments):
    folder = pathlib.Path("sizes")
    folder.mkdir(exist_ok=True)
    images = {f"{height}x{width}": formula_inception.image(f"{height}x{width}", height, width) for height, width in SIZES}
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    files = [str(folder / f"{name}.png") for name in images] + [str(path) for path in sorted(pathlib.Path("images").iterdir())[:20]]
    ours = {}
    for rule in RULES:
        result = subprocess.run([BINARIES / "pixart_resized", rule, *files], stdout=subprocess.PIPE, check=True)
        ours[rule] = np.frombuffer(result.stdout, np.float32).reshape(len(files), 3, 299, 299).astype(np.float64)
        want = np.stack([resized(Image.open(file), rule) for file in files])
        results.expect(f"{rule}: pixels", np.abs(ours[rule] - want).max(), 0, 0, PIXEL_TOLERANCE)
    for first, second in (("pytorch", "clean"), ("pytorch", "tensorflow"), ("clean", "tensorflow")):
        results.least(f"pixels of {first} and {second}", np.abs(ours[first] - ours[second]).max(), 10 * PIXEL_TOLERANCE)


def check_features(results, arguments):
    """The mean of two copies of an image is its features."""
    paths = sorted(pathlib.Path("images").iterdir())
    paths = [paths[i * len(paths) // arguments.features] for i in range(arguments.features)]
    network = inception.InceptionV3([3], resize_input=False, normalize_input=False).eval()
    found = {}
    for rule in RULES:
        ours, want = [], []
        for path in paths:
            with tempfile.TemporaryDirectory(dir=".") as twice:
                for name in "a.png", "b.png":
                    shutil.copy(path, pathlib.Path(twice) / name)
                ours.append(statistics_of(twice, rule)["mu"])
            planes = torch.from_numpy(resized(Image.open(path).convert("RGB"), rule)).float()[None]
            with torch.no_grad():
                want.append(network(planes / 127.5 - 1 if rule == "pytorch" else (planes - 128) / 128)[0].flatten().double().numpy())
        results.expect(f"{rule}: features", np.abs(np.stack(ours) - np.stack(want)).max(), 0, 0, FEATURE_TOLERANCE)
        found[rule] = np.stack(ours)
    for first, second in (("pytorch", "clean"), ("pytorch", "tensorflow"), ("clean", "tensorflow")):
        results.least(f"features of {first} and {second}", np.abs(found[first] - found[second]).max(), 100 * FEATURE_TOLERANCE)


def check_pytorch(results, arguments):
    """Its features of each folder are computed once, as its --save-stats does."""
    model, moments_of = inception.InceptionV3([3]), {}
    for name in "images", "real":
        moments_of[name] = fid_score.compute_statistics_of_path(name, model, 32, 2048, "cpu", 1)
        np.savez(f"pytorch-fid-{name}.npz", mu=moments_of[name][0], sigma=moments_of[name][1])
    distance = lambda *files: fid_score.calculate_fid_given_paths(files, 32, "cpu", 2048, num_workers=1)
    want = distance("pytorch-fid-images.npz", "pytorch-fid-real.npz")
    results.expect("pytorch-fid: FID", score("images", "pytorch", "fid", "--reference", "real")["fid"], want, FID_TOLERANCE)
    ours, (mean, covariance) = statistics_of("real", "pytorch"), moments_of["real"]
    results.expect("statistics: mu", np.abs(ours["mu"] - mean).max(), 0, 0, FEATURE_TOLERANCE)
    results.expect("statistics: sigma", np.abs(ours["sigma"] - covariance).max(), 0, 0, FEATURE_TOLERANCE)
    file = "statistics-real-pytorch.npz"
    results.expect("pytorch-fid reads our file", distance("pytorch-fid-images.npz", file), want, FID_TOLERANCE)
    results.expect("pixart reads it", score("images", "pytorch", "fid", "--reference", file)["fid"], want, FID_TOLERANCE)


def check_clean(results, arguments):
    both = [clean_features(name) for name in ("images", "real")]
    got = score("images", "clean", "fid,kid", "--reference", "real", "--kid-subset-size", "100")
    results.expect("clean-fid: FID", got["fid"], clean_fid.frechet_distance(*moments(both[0]), *moments(both[1])), FID_TOLERANCE)
    all_pairs = clean_fid.kernel_distance(both[0].astype(float), both[1].astype(float), num_subsets=1, max_subset_size=arguments.number)
    results.expect("clean-fid: KID of all", got["kid_all_pairs"], all_pairs, KID_TOLERANCE)
    results.expect("KID of subsets", got["kid"], all_pairs, 0, 4 * got["kid_deviation"] / 10)


def check_tensorflow(results, arguments):
    use_double_precision()
    want = fidelity("images", "real", arguments.number, fid=True, kid=True, prc=True)
    got = score("images", "tensorflow", "fid,kid,precision-recall", "--reference", "real")
    results.expect("torch-fidelity: FID", got["fid"], want["frechet_inception_distance"], FID_TOLERANCE)
    results.expect("torch-fidelity: KID of all", got["kid_all_pairs"], want["kernel_inception_distance_mean"], KID_TOLERANCE)
    for name in ("precision", "recall"):  # of float32 distances there
        results.expect(f"torch-fidelity: {name}", got[name], want[name], 0, 1.5 / arguments.number)


def exact_fid(first, second):
    """float64, scipy's sqrtm. With rows a = x - mean and b, the trace of the root of Sa Sb is that of the root of (a b')(b a'), which is small and has
    no null space of 2,000 dimensions."""
    x, y = (features.astype(np.float64) for features in (first, second))
    a, b = ((rows - rows.mean(0)) / np.sqrt(len(rows) - 1) for rows in (x, y))
    product = (a @ b.T) @ (b @ a.T)
    root = np.trace(scipy.linalg.sqrtm(product)).real
    return np.square(x.mean(0) - y.mean(0)).sum() + np.square(a).sum() + np.square(b).sum() - 2 * root


def check_oracle(results, arguments):
    """Far fewer images than features: both covariances are singular."""
    folders = [subset(name, arguments.small) for name in ("images", "real")]
    want = exact_fid(*(clean_features(folder) for folder in folders))
    results.expect(f"FID of {arguments.small} images in float64", score(folders[0], "clean", "fid", "--reference", folders[1])["fid"], want, FID_TOLERANCE)


def check_rules(results, arguments):
    """The FIDs of the three rules, from the parts before it or computed here."""
    folders = [subset(name, arguments.small) for name in ("images", "real")]
    found = {rule: score(folders[0], rule, "fid", "--reference", folders[1])["fid"] for rule in RULES}
    for first, second in (("pytorch", "clean"), ("pytorch", "tensorflow"), ("clean", "tensorflow")):
        results.least(f"FIDs of {first} and {second}, relative", abs(found[first] / found[second] - 1), 100 * FID_TOLERANCE)


def run_pairing(rule, first, second):
    """What the other program's command does, in a process of its own."""
    use_our_weights()
    if rule == "pytorch":
        return fid_score.calculate_fid_given_paths([first, second], 32, "cpu", 2048, num_workers=1)
    if rule == "clean":
        return clean_fid.frechet_distance(*(part for name in (first, second) for part in moments(clean_features(name))))
    return fidelity(first, second, 2, fid=True)["frechet_inception_distance"]


def seconds_of(command):
    begun = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.monotonic() - begun


def check_speed(results, arguments):
    """Alternating, so that both see the same load of the machine; the same cores for both."""
    folders = [subset(name, arguments.timed) for name in ("images", "real")]
    for rule in RULES:
        ours = [BINARIES / "pixart", "score", folders[0], "--reference", folders[1], "--metrics", "fid", "--resize", rule, "--weights", "weights.pth", "--device", "cpu"]
        theirs = [sys.executable, SCRIPT, BINARIES, "--pairing", rule, "--timed", str(arguments.timed), "--number", str(arguments.number), "--threads", str(arguments.threads)]
        times = {"ours": [], "theirs": []}
        for _ in range(arguments.repetitions):
            times["theirs"].append(seconds_of(theirs))
            times["ours"].append(seconds_of(ours))
        print(f"       {rule}: theirs {[round(t, 1) for t in times['theirs']]} s, ours {[round(t, 1) for t in times['ours']]} s", flush=True)
        results.part["values"] |= {f"{rule}: seconds of {who}": list(map(float, found)) for who, found in times.items()}
        results.least(f"{rule}: times as fast", statistics.median(times["theirs"]) / statistics.median(times["ours"]), LEAST_RATIO)


PARTS = {"weights": check_weights, "resize": check_resize, "features": check_features, "oracle": check_oracle, "rules": check_rules, "pytorch": check_pytorch,
         "clean": check_clean, "tensorflow": check_tensorflow, "speed": check_speed}
SCRIPT = str(pathlib.Path(__file__).resolve())


def prepare(arguments):
    write_images(pathlib.Path("images"), "train-images-idx3-ubyte.gz", arguments.number)
    write_images(pathlib.Path("real"), "t10k-images-idx3-ubyte.gz", arguments.number)
    if not pathlib.Path("weights.pth").exists():
        torch.save(formula_inception.state_dict(inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)), "weights.pth")
    use_our_weights()


def main(arguments):
    """Runs the parts that are not done, in the folder of the work; True if a value differs."""
    prepare(arguments)
    results = Results(pathlib.Path(f"results-{arguments.number}.json"))
    for name in arguments.parts.split(","):
        if results.parts.get(name, {}).get("done"):
            print(f"done   {name}, before")
            continue
        begun = time.monotonic()
        results.begin(name)
        PARTS[name](results, arguments)
        results.end()
        print(f"       {name}: {time.monotonic() - begun:.0f} s", flush=True)
    wrong = {name: part["wrong"] for name, part in results.parts.items() if part["wrong"]}
    left = [name for name in PARTS if not results.parts.get(name, {}).get("done")]
    values = {name: part["values"] for name, part in results.parts.items()}
    print(json.dumps({"images": arguments.number, "threads": arguments.threads, "wrong": wrong, "not_run": left, "values": values}))
    return bool(wrong)


if __name__ == "__main__":
    given = parsed()
    BINARIES = given.binaries.resolve()
    torch.set_num_threads(given.threads)
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    if given.pairing:
        print(run_pairing(given.pairing, *(f"{name}-{given.timed}" for name in ("images", "real"))))
        sys.exit()
    with contextlib.ExitStack() as stack:
        if given.work:
            given.work.mkdir(parents=True, exist_ok=True)
        os.chdir(given.work or stack.enter_context(tempfile.TemporaryDirectory()))
        is_wrong = main(given)
        os.chdir("/")
    sys.exit(is_wrong)
