"""Golden cases of kind vae_tiled: a tiny AutoencoderKL in the diffusers folder layout that decodes latents in tiles, with
tiles of several sizes: of one tile and of many, with a last row or column that is only a part of a tile, batches of two.

Made with torch 2.11.0, diffusers 0.42.1, safetensors 0.8.0.
Run:  python vae_tiled.py OUT [--seed N]
"""
import argparse

import torch
from diffusers import AutoencoderKL

from case_io import fresh_folder, provenance, write_case
from vae import fill

TOLERANCE = 1e-5  # of the result, which is of the order of 1
CHANNELS, LATENT_CHANNELS, SCALE = [8, 8], 4, 2
# name: batch, latent height and width, tile (latent side), overlap
CASES = {
    "square": (1, (20, 20), 8, 0.25),
    "partial_last_tiles": (2, (19, 22), 8, 0.25),  # the tiles of the last row have one line, those of the last column four
    "one_row": (1, (8, 26), 8, 0.25),
    "half_overlap": (1, (13, 18), 8, 0.5),
    "no_overlap": (1, (9, 12), 4, 0.0),
    "one_tile": (1, (8, 6), 8, 0.25),  # decoded at once
}


def make_vae(seed):
    vae = AutoencoderKL(in_channels=3, out_channels=3, latent_channels=LATENT_CHANNELS, block_out_channels=CHANNELS, layers_per_block=1,
                        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2, norm_num_groups=4,
                        sample_size=16, scaling_factor=0.13025, shift_factor=0.25, force_upcast=False).eval()
    fill(vae, seed, clamp=False)
    with torch.no_grad():  # images of the order of 1, so that the tolerance is what it says
        probe = vae.decode(torch.randn(1, LATENT_CHANNELS, 16, 16, generator=torch.Generator().manual_seed(seed + 1))).sample
        vae.decoder.conv_out.weight.mul_(0.5 / probe.std())
    return vae


def decode(vae, latent, tile, overlap):
    vae.enable_tiling()
    vae.tile_latent_min_size, vae.tile_sample_min_size, vae.tile_overlap_factor = tile, tile * SCALE, overlap
    with torch.no_grad():
        tiled = vae.decode(latent).sample
        vae.disable_tiling()
        whole = vae.decode(latent).sample
    assert tiled.shape == whole.shape
    return tiled, whole


def make(root, seed):
    folder = fresh_folder(root, "vae_tiled", "tiny")
    make_vae(seed).save_pretrained(folder / "vae")
    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    tensors, cases = {}, []
    for i, (name, (batch, side, tile, overlap)) in enumerate(CASES.items()):
        latent = torch.randn(batch, LATENT_CHANNELS, *side, generator=torch.Generator().manual_seed(seed + 10 + i))
        tiled, whole = decode(vae, latent, tile, overlap)
        difference = (tiled - whole).abs().max().item()
        assert (difference == 0) == (name == "one_tile"), (name, difference)
        tensors |= {f"in.{name}": latent, f"out.{name}": tiled}
        cases.append({"name": name, "tile": tile, "overlap": overlap, "from_whole": round(difference, 3)})
    write_case(folder, config={"vae": "vae", "cases": cases}, tolerance={"rtol": 0.0, "atol": TOLERANCE},
               provenance=provenance(seed, "torch", "diffusers", "safetensors"), tensors=tensors,
               why="AutoencoderKL.tiled_decode: which tiles are decoded, how they are blended, and what is kept of each.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=41)
    args = parser.parse_args()
    torch.set_num_threads(1)
    make(args.out, args.seed)
