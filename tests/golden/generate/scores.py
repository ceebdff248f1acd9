"""Golden cases of kinds score_resize, score_network and score_metrics: what pytorch-fid, clean-fid and torch-fidelity compute of images and
features by a formula (formula_inception.py), with weights by a formula in the published layout.

Made with pytorch-fid 0.3.0, clean-fid 0.1.35, torch-fidelity 0.4.0, torchvision 0.26.0, torch 2.11.0, scipy 1.17.1, pillow 13.0.0, numpy 2.4.6.
Run:  python scores.py OUT
"""
import argparse
import contextlib
import io
import pathlib
import tempfile

import formula_inception
import numpy as np
import torch
import torch.nn.functional as F
from case_io import fresh_folder, provenance, write_case
from cleanfid.fid import kernel_distance
from cleanfid.resize import make_resizer
from formula_inception import features, image
from pytorch_fid import inception
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import calculate_precision_recall_full

SIDE, STRIDE = 299, 13
SIZES = {"up": (64, 64), "odd": (37, 53), "same": (299, 299), "down": (420, 310), "long": (31, 700)}
NETWORK_SIZES = {"a": (96, 80), "b": (64, 120), "c": (320, 300)}
PACKAGES = ("pytorch-fid", "clean-fid", "torch-fidelity", "torchvision", "torch", "pillow", "numpy", "scipy")


def planes(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float()


def resized(pixels, rule):
    """[1, 3, 299, 299], 0 to 255, by the program that the rule is named after."""
    if rule == "clean":
        return planes(make_resizer("PIL", False, "bicubic", (SIDE, SIDE))(pixels))
    if rule == "pytorch":
        return F.interpolate(planes(pixels) / 255, size=(SIDE, SIDE), mode="bilinear", align_corners=False) * 255
    return interpolate_bilinear_2d_like_tensorflow1x(planes(pixels), size=(SIDE, SIDE), align_corners=False)


def resize_case(root):
    tensors, apart = {}, {}
    for name, (height, width) in SIZES.items():
        all_rules = {rule: resized(image(name, height, width), rule)[0] for rule in ("clean", "pytorch", "tensorflow")}
        for rule, values in all_rules.items():
            tensors[f"out.{name}.{rule}"] = values[:, ::STRIDE, ::STRIDE]
        if (height, width) != (SIDE, SIDE):
            apart[name] = round(min((all_rules[a] - all_rules[b]).abs().mean().item() for a, b in (("clean", "pytorch"), ("clean", "tensorflow"), ("pytorch", "tensorflow"))), 3)
    tolerance = 0.01
    assert min(apart.values()) > 100 * tolerance, apart
    write_case(fresh_folder(root, "score_resize", "rules"), config={"sizes": SIZES, "stride": STRIDE}, tolerance={"atol": tolerance}, tensors=tensors, apart=apart,
               provenance=provenance(0, *PACKAGES), why="The three rules by which programs resize images for FID, on every 13th row and column of 299.")


def patched_network():
    """pytorch-fid's network with formula weights in place of the download."""
    def weights(*args, **kwargs):
        return formula_inception.state_dict(inception._inception_v3(num_classes=1008, aux_logits=False, weights=None))
    inception.load_state_dict_from_url = weights
    return inception.fid_inception_v3().eval()


class Features:
    """Runs a whole network and keeps what its layers give."""

    def __init__(self, network):
        self.network, self.kept = network, {}
        network.avgpool.register_forward_hook(lambda module, inputs, output: self.kept.__setitem__("features", output.flatten(1)))
        network.Mixed_6d.branch1x1.register_forward_hook(
            lambda module, inputs, output: self.kept.__setitem__("spatial", output[:, :7].permute(0, 2, 3, 1).flatten(1)))

    def __call__(self, x):
        with torch.no_grad():
            self.network(x)
        return dict(self.kept)


def network_case(root):
    pixels = [image(name, *size) for name, size in NETWORK_SIZES.items()]
    stacked = {rule: torch.cat([resized(p, rule) for p in pixels]) for rule in ("clean", "pytorch", "tensorflow")}
    inputs = {rule: 2 * x / 255 - 1 if rule == "pytorch" else (x - 128) / 128 for rule, x in stacked.items()}
    network = patched_network()
    found = {rule: Features(network)(x) for rule, x in inputs.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "weights.pth"
        torch.save(network.state_dict(), path)
        extractor = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path))
        with torch.no_grad():
            both = [extractor(torch.from_numpy(p).permute(2, 0, 1)[None]) for p in pixels]
    tensors = {f"out.features.{rule}": found[rule]["features"] for rule in ("clean", "pytorch")}
    tensors["out.features.tensorflow"] = torch.cat([features for features, _ in both])
    tensors["out.logits.tensorflow"] = torch.cat([logits for _, logits in both])
    tensors["out.spatial.clean"] = found["clean"]["spatial"]
    network.double()
    exact = {rule: Features(network)(x.double())["features"] for rule, x in inputs.items()}
    error = max((tensors[f"out.features.{rule}"] - exact[rule]).abs().max().item() for rule in exact)
    apart = min((exact[a] - exact[b]).abs().max().item() for a, b in (("clean", "pytorch"), ("clean", "tensorflow"), ("pytorch", "tensorflow")))
    assert error < 1e-4 and apart > 100 * 2e-4, (error, apart)
    write_case(fresh_folder(root, "score_network", "formula"), config={"sizes": NETWORK_SIZES}, tolerance={"atol": 2e-4}, tensors=tensors,
               provenance=provenance(0, *PACKAGES), measured={"float32_from_float64": error, "largest_difference_of_rules": apart, "deviation_of_features": exact["clean"].std().item()},
               why="FID's network: features of the three rules, the logits of torch-fidelity, the spatial features of ADM.")


def exact_fid(x, y):
    """Through the singular values of the product of both sets' deviations, in float64."""
    x, y = x.double(), y.double()
    a, b = ((z - z.mean(0)) / (len(z) - 1) ** 0.5 for z in (x, y))
    return ((x.mean(0) - y.mean(0)).square().sum() + a.square().sum() + b.square().sum() - 2 * torch.linalg.svdvals(a @ b.T).sum()).item()


def metrics_case(root, name, count, size, why):
    x, y = features("images", count, size), features("reference", count, size, gain=1.04, shift=0.01)
    quiet = {"verbose": False, "rng_seed": 0, "kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1}
    kid = kid_features_to_metric(x.double(), y.double(), kid_subsets=1, kid_subset_size=count, **quiet)["kernel_inception_distance_mean"]
    clean_kid = kernel_distance(x.double().numpy(), y.double().numpy(), num_subsets=1, max_subset_size=count)
    assert abs(kid - clean_kid) < 1e-9 * abs(kid), (kid, clean_kid)
    precision, recall = calculate_precision_recall_full(x.double(), y.double(), 3)
    isc = isc_features_to_metric(4 * x, splits=7, shuffle=False)
    values = {"fid": exact_fid(x, y), "kid": kid, "precision": precision, "recall": recall, "inception_score": isc["inception_score_mean"],
              "inception_score_deviation": isc["inception_score_std"]}
    if count > size:
        with contextlib.redirect_stdout(io.StringIO()):
            values["fid_of_pytorch_fid"] = float(calculate_frechet_distance(x.double().numpy().mean(0), np.cov(x.double().numpy(), rowvar=False), y.double().numpy().mean(0),
                                                                            np.cov(y.double().numpy(), rowvar=False)))
        assert abs(values["fid_of_pytorch_fid"] - values["fid"]) < 1e-6 * values["fid"], values
    write_case(fresh_folder(root, "score_metrics", name), config={"count": count, "size": size, "splits": 7, "neighbours": 3, "gain": 1.04, "shift": 0.01}, tolerance={"rtol": 1e-6},
               values=values, provenance=provenance(0, *PACKAGES), why=why)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    root = parser.parse_args().out
    torch.set_num_threads(1)
    resize_case(root)
    network_case(root)
    metrics_case(root, "many", 300, 48, "Scores of more features than dimensions.")
    metrics_case(root, "few", 90, 256, "Fewer features than dimensions: both covariances are singular, and FID's oracle takes no root of a matrix.")
