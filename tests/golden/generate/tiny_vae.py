"""Golden cases of kind tiny_vae: tiny autoencoders (TAESD) with random weights, in diffusers' folder layout and in TAESD's own
(a file for the encoder, one for the decoder), encoded and decoded. `normed` adds TAEF2's branch with norms to diffusers' blocks.
With --taef2 FOLDER: `real_taef2`, what the published TAEF2 (taef2_encoder.pth, taef2_decoder.pth) makes of a drawn image; its
weights are not kept.

Made with torch 2.11.0, diffusers 0.42.1, safetensors 0.8.0.
Run:  python tiny_vae.py OUT [--seed N] [--taef2 FOLDER]
"""
import argparse
import pathlib

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file
from torch import nn

from case_io import bound, fresh_folder, provenance, write_case

LATENT_CHANNELS = {"taesd": 4, "normed": 6}
LEVELS, WIDTH, ENCODER_BLOCKS, DECODER_BLOCKS = 3, 8, [1, 2, 2], [2, 1, 1]


class Normed(nn.Module):
    """A block of diffusers that first adds a branch with a norm over the whole image."""

    def __init__(self, block, width):
        super().__init__()
        self.conv, self.skip, self.fuse = block.conv, block.skip, block.fuse
        self.pool = nn.Sequential(nn.Conv2d(width, 4 * width, 1, bias=False), nn.GroupNorm(4, 4 * width), nn.ReLU(),
                                  nn.Conv2d(4 * width, width, 1, bias=False))

    def forward(self, x):
        x = x + self.pool(x)
        return self.fuse(self.conv(x) + self.skip(x))


def blocks_of(layers):
    return [i for i, layer in enumerate(layers) if hasattr(layer, "conv")]


def with_norms(vae, levels_of, width):
    """Norms in the blocks of the lowest resolution: the encoder's last, the decoder's first."""
    for layers, count, last in ((vae.encoder.layers, levels_of[0][-1], True), (vae.decoder.layers, levels_of[1][0], False)):
        found = blocks_of(layers)
        for i in found[-count:] if last else found[:count]:
            layers[i] = Normed(layers[i], width)
    return vae


def fill(vae, seed):
    """Weights with which activations neither vanish nor grow, and an image of the order of 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in vae.named_parameters():
            if p.dim() == 1:
                p.copy_(0.1 * torch.randn(p.shape, generator=generator) + (1 if "pool.1.weight" in name else 0))
            else:
                p.copy_(torch.randn(p.shape, generator=generator) * (1.2 / p[0].numel() ** 0.5))
        for layers, probe in ((vae.encoder.layers, image(seed, 16)), (vae.decoder.layers, None)):
            if probe is None:
                probe = torch.tanh(vae.encoder(image(seed, 16)) / 3) * 3
                layers[-1].weight.mul_(0.25 / layers(probe).std())
            else:
                layers[-1].weight.mul_(1 / layers((probe + 1) / 2).std())


def image(seed, side):
    return torch.rand(2, 3, side, side + 8, generator=torch.Generator().manual_seed(seed + 1)) * 2 - 1


def run(vae, pixels):
    with torch.no_grad():
        latent = vae.encoder(pixels)
        return latent, vae.decoder(latent)


def tolerance(vae, pixels, results):
    """From the distance to a float64 run."""
    exact = run(vae.double(), pixels.double())
    vae.float()
    return {"per_tensor": {f"out.{name}": {"atol": bound(got, want)} for name, got, want in zip(("latent", "image"), results, exact)},
            "rtol": 0.0}


def taesd_files(vae, folder):
    folder.mkdir()
    encoder = {k.removeprefix("layers."): v for k, v in vae.encoder.state_dict().items()}
    decoder = {}
    for k, v in vae.decoder.state_dict().items():
        number, rest = k.removeprefix("layers.").split(".", 1)
        decoder[f"{int(number) + 1}.{rest}"] = v
    torch.save({k: v.clone() for k, v in encoder.items()}, folder / "tiny_encoder.pth")
    save_file({k: v.contiguous() for k, v in decoder.items()}, folder / "tiny_decoder.safetensors")


def make(root, name, seed):
    folder = fresh_folder(root, "tiny_vae", name)
    vae = AutoencoderTiny(encoder_block_out_channels=[WIDTH] * LEVELS, decoder_block_out_channels=[WIDTH] * LEVELS,
                          latent_channels=LATENT_CHANNELS[name], num_encoder_blocks=ENCODER_BLOCKS,
                          num_decoder_blocks=DECODER_BLOCKS).eval()
    if name == "normed":
        with_norms(vae, (ENCODER_BLOCKS, DECODER_BLOCKS), WIDTH)
    fill(vae, seed)
    config = {"taesd": "files"}
    taesd_files(vae, folder / "files")
    if name == "taesd":
        vae.save_pretrained(folder / "vae")
        config["vae"] = "vae"
    pixels = image(seed, 16)
    latent, decoded = run(vae, pixels)
    write_case(folder, config=config, tolerance=tolerance(vae, pixels, (latent, decoded)),
               provenance=provenance(seed, "torch", "diffusers", "safetensors"),
               tensors={"in.image": pixels, "out.latent": latent, "out.image": decoded},
               why="AutoencoderTiny: which layers there are, at which resolution, and the range of images and latents.")


def drawn(side):
    """Smooth colours, an edge and a disc: not noise, which no autoencoder keeps."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    disc = ((x - 0.2) ** 2 + (y + 0.1) ** 2 < 0.3).float()
    return torch.stack([0.8 * x, 0.8 * y, 0.6 * torch.sin(4 * x)]) * (1 - disc) + torch.tensor([0.9, -0.6, -0.4])[:, None, None] * disc


def make_real(root, source, seed):
    vae = AutoencoderTiny(latent_channels=32).eval()
    with_norms(vae, ([1, 3, 3, 3], [3, 3, 3, 1]), 64)
    for part, first in (("encoder", 0), ("decoder", 1)):
        stored = torch.load(source / f"taef2_{part}.pth", weights_only=True)
        named = {}
        for k, v in stored.items():
            number, rest = k.split(".", 1)
            named[f"layers.{int(number) - first}.{rest}"] = v.float()
        getattr(vae, part).load_state_dict(named)
    folder = fresh_folder(root, "tiny_vae", "real_taef2")
    pixels = drawn(32)[None]
    latent, decoded = run(vae, pixels)
    write_case(folder, config={"real": "taef2"}, tolerance=tolerance(vae, pixels, (latent, decoded)),
               provenance=provenance(seed, "torch", "diffusers", "safetensors"),
               tensors={"in.image": pixels, "out.latent": latent, "out.image": decoded},
               why="The published TAEF2 on a drawn image.")
    print("PSNR of real_taef2:", round((10 * torch.log10(4 / (decoded.clamp(-1, 1) - pixels).square().mean())).item(), 1),
          "latent std", round(latent.std().item(), 3))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=51)
    parser.add_argument("--taef2", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for case in LATENT_CHANNELS:
        make(args.out, case, args.seed)
    if args.taef2:
        make_real(args.out, args.taef2, args.seed)
