"""Golden cases of kinds clip_model, clip_pixels, clip_alpha and clip_scores: tiny CLIP models of transformers and open_clip in their own layouts, the pixels that
they see, and scores of embeddings.

Made with transformers 4.57.6, open-clip-torch 3.3.0, torchvision 0.26.0, torch 2.11.0, pillow 13.0.0, numpy 2.4.6.
Run:  python clip.py OUT [--head FILE] [--seed N]      (FILE: a published aesthetic head, whose values on formula embeddings are kept)
"""
import argparse
import json
import pathlib

import numpy as np
import open_clip
import torch
from case_io import fresh_folder, provenance, write_case
from formula_inception import features, image
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from transformers import CLIPConfig, CLIPModel

PACKAGES = ("transformers", "open-clip-torch", "torchvision", "torch", "pillow", "numpy")
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
VOCABULARY, TOKENS, SIDE, PATCH, EMBEDDING = 64, 12, 24, 8, 20
PIXEL_SIZES = {"up": (29, 33), "odd": (53, 98), "tall": (131, 64), "same": (40, 40), "wide": (41, 172), "down": (300, 421)}
PIXEL_SIDE = 40


def fill(model, seed):
    """Weights that make every part matter: attention far from uniform, norms and biases far from trivial."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape, generator=g)
            if name == "logit_scale":
                p.fill_(2.5)
            elif any(part in name for part in ("norm", "layrnorm", "ln_")) and name.endswith("weight"):
                p.copy_(1 + 0.3 * noise)
            elif p.dim() < 2:
                p.copy_(0.3 * noise)
            elif "embedding" in name and "patch" not in name:
                p.copy_(0.5 * noise)
            else:
                p.copy_(noise * (1.4 if "attn" in name else 1.0) * p[0].numel() ** -0.5)


def inputs(seed, end):
    """Images, and texts with their end token at different places; what follows it is padding of other kinds."""
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(3, 3, SIDE, SIDE, generator=g)
    ids = torch.randint(1, VOCABULARY - 2, (4, TOKENS), generator=g)
    for row, at in enumerate((3, TOKENS - 1, 1, 7)):
        ids[row, ids[row] == end] = 1
        ids[row, 0], ids[row, at] = VOCABULARY - 2 if end == VOCABULARY - 1 else 5, end
        if end == VOCABULARY - 1:
            ids[row, at + 1 :] = (0, end)[row % 2]
    return images, ids


def tensors_of(images, ids, outputs, scale):
    result = {"in.images": images, "in.ids": ids, "out.logit_scale": scale.detach().reshape(1)}
    return result | {f"out.{name}": value.detach() for name, value in outputs.items()}


def write_model(folder, tensors, exact, config, seed, why):
    error = {name: (tensors[name].double() - value).abs().max().item() for name, value in exact.items()}
    assert max(error.values()) < 5e-6, error
    write_case(folder, config=config, tolerance={"atol": 1e-5, "rtol": 1e-6}, tensors=tensors, provenance=provenance(seed, *PACKAGES), why=why,
               measured={name: float(f"{value:.1e}") for name, value in error.items()})


def run_hf(model, images, ids):
    with torch.no_grad():
        vision = model.vision_model(images.to(model.dtype), output_hidden_states=True)
        text = model.text_model(ids, output_hidden_states=True)
        return {"image_features": model.visual_projection(vision.pooler_output), "text_features": model.text_projection(text.pooler_output),
                "vision.0": vision.hidden_states[0], "vision.1": vision.hidden_states[1], "text.0": text.hidden_states[0], "text.1": text.hidden_states[1]}


def make_hf(root, case, seed, activation, end, binary, why):
    folder = fresh_folder(root, "clip_model", case)
    tower = dict(hidden_act=activation, num_hidden_layers=2)
    config = CLIPConfig(text_config=dict(**tower, hidden_size=24, num_attention_heads=3, intermediate_size=40, vocab_size=VOCABULARY, max_position_embeddings=TOKENS, eos_token_id=end,
                                         bos_token_id=VOCABULARY - 2, pad_token_id=1),
                        vision_config=dict(**tower, hidden_size=32, num_attention_heads=4, intermediate_size=56, image_size=SIDE, patch_size=PATCH), projection_dim=EMBEDDING)
    model = CLIPModel(config).eval()
    fill(model, seed)
    model.save_pretrained(folder / "model", safe_serialization=not binary)
    model = CLIPModel.from_pretrained(folder / "model", attn_implementation="eager").eval()
    images, ids = inputs(seed + 1, VOCABULARY - 1 if end == 2 else end)
    outputs, scale = run_hf(model, images, ids), model.logit_scale.exp()
    torch.set_default_dtype(torch.float64)  # transformers makes its mask in the default type
    exact = run_hf(model.double(), images, ids)
    torch.set_default_dtype(torch.float32)
    write_model(folder, tensors_of(images, ids, outputs, scale), {f"out.{k}": v for k, v in exact.items()}, {"model": "model"}, seed, why)


def run_open_clip(model, images, ids):
    with torch.no_grad():
        return {"image_features": model.encode_image(images.to(model.visual.conv1.weight.dtype)), "text_features": model.encode_text(ids)}


def make_open_clip(root, case, seed, quick, openai, why):
    folder = fresh_folder(root, "clip_model", case)
    (folder / "model").mkdir()
    vision = dict(image_size=SIDE, layers=2, width=32, head_width=8, patch_size=PATCH, mlp_ratio=1.75)
    text = dict(context_length=TOKENS, vocab_size=VOCABULARY, width=24, heads=3, layers=2)
    model = open_clip.CLIP(EMBEDDING, open_clip.CLIPVisionCfg(**vision), open_clip.CLIPTextCfg(**text), quick_gelu=quick).eval()
    fill(model, seed)
    if openai:
        model.load_state_dict({name: value.half().float() for name, value in model.state_dict().items()})
    config = {"embed_dim": EMBEDDING, "quick_gelu": quick, "vision_cfg": vision, "text_cfg": text}
    (folder / "model" / "open_clip_config.json").write_text(json.dumps(config if openai else {"model_cfg": config, "preprocess_cfg": {"mean": MEAN, "std": STD}}, indent=1))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    if openai:
        sizes = {"input_resolution": SIDE, "context_length": TOKENS, "vocab_size": VOCABULARY}
        torch.save({name: value.half() for name, value in state.items()} | {name: torch.tensor(value) for name, value in sizes.items()}, folder / "model" / "ViT-tiny.pt")
    else:
        save_file(state, folder / "model" / "open_clip_model.safetensors")
    images, ids = inputs(seed + 1, VOCABULARY - 1)
    outputs, scale = run_open_clip(model, images, ids), model.logit_scale.exp()
    write_model(folder, tensors_of(images, ids, outputs, scale), {f"out.{k}": v for k, v in run_open_clip(model.double(), images, ids).items()}, {"model": "model"}, seed, why)


def cmmd_square(picture, side):
    """The centre square by whole pixels, then the resize: cmmd-pytorch's reading of files."""
    width, height = picture.size
    short = min(width, height)
    top, left = (height - short) // 2, (width - short) // 2
    return picture.crop((left, top, left + short, top + short)).resize((side, side), resample=Image.BICUBIC)


def make_pixels(root):
    openai = Compose([Resize(PIXEL_SIDE, interpolation=InterpolationMode.BICUBIC), CenterCrop(PIXEL_SIDE)])
    tensors = {}
    for name, (height, width) in PIXEL_SIZES.items():
        picture = Image.fromarray(image(name, height, width))
        for rule, pixels in (("crop", openai(picture)), ("square", cmmd_square(picture, PIXEL_SIDE))):
            tensors[f"out.{name}.{rule}"] = torch.from_numpy(np.asarray(pixels).copy())
    pixels = tensors["out.odd.crop"].permute(2, 0, 1).float() / 255
    tensors["out.normalized"] = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    write_case(fresh_folder(root, "clip_pixels", "rules"), config={"sizes": PIXEL_SIZES, "side": PIXEL_SIDE}, tolerance={"atol": 2e-6, "per_tensor": {}}, tensors=tensors,
               provenance=provenance(0, *PACKAGES), why="What CLIP sees of an image: short side and centre crop, or CMMD's centre square. Bytes are equal.")


def make_alpha(root):
    """Images with alpha: Pillow resizes colours times alpha, and the transform drops alpha afterwards."""
    openai = Compose([Resize(PIXEL_SIDE, interpolation=InterpolationMode.BICUBIC), CenterCrop(PIXEL_SIDE)])
    tensors = {}
    for name in ("odd", "tall", "same"):
        height, width = PIXEL_SIZES[name]
        alpha = image(name + ".alpha", height, width)[..., 0]
        alpha = np.where(alpha < 90, 0, np.where(alpha > 150, 255, alpha)).astype(np.uint8)
        picture = Image.fromarray(np.dstack([image(name, height, width), alpha]), "RGBA")
        tensors[f"in.{name}"] = torch.from_numpy(np.asarray(picture).copy())
        tensors[f"out.{name}"] = torch.from_numpy(np.asarray(openai(picture).convert("RGB")).copy())
    write_case(fresh_folder(root, "clip_alpha", "formula"), config={"side": PIXEL_SIDE}, tolerance={"exact": True}, tensors=tensors, provenance=provenance(0, *PACKAGES),
               why="What openai/CLIP's transform makes of images with alpha. Bytes are equal.")


def embeddings(name, count, size, **moved):
    x = features(name, count, size, **moved).double()
    return (x / x.norm(dim=1, keepdim=True)).float()


def cmmd(x, y):
    """The biased estimate with a Gaussian kernel of width 10, times 1000."""
    def mean_kernel(a, b):
        return torch.exp(-(a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T) / 200).mean()
    return (1000 * (mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y))).item()


def make_scores(root, head):
    config = {"count": 70, "reference_count": 45, "size": 48, "shift": 0.4}
    x, y = embeddings("images", 70, 48), embeddings("reference", 45, 48, shift=0.4)
    z = x[:45]
    cosines = (z.double() * y.double()).sum(1)
    values = {"cmmd": cmmd(x.double(), y.double()), "cosine": cosines.mean().item(), "x100": 100 * cosines.mean().item(), "x2.5": 2.5 * cosines.clamp_min(0).mean().item()}
    single = cmmd(x, y)  # as the reference computes it
    assert abs(single - values["cmmd"]) < 2e-3, (single, values)
    folder = fresh_folder(root, "clip_scores", "formula")
    g = torch.Generator().manual_seed(3)
    layers = torch.nn.Sequential(torch.nn.Linear(48, 24), torch.nn.Dropout(0.2), torch.nn.Linear(24, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 4), torch.nn.Dropout(0.1),
                                 torch.nn.Linear(4, 3), torch.nn.Linear(3, 1)).eval()
    linear = torch.nn.Linear(48, 1)
    with torch.no_grad():
        for p in [*layers.parameters(), *linear.parameters()]:
            p.copy_(torch.randn(p.shape, generator=g) * 0.6)
        tensors = {"out.mlp": layers(x[:6]), "out.linear": linear(x[:6])}
    torch.save({f"layers.{name}": value for name, value in layers.state_dict().items()}, folder / "mlp.pth")
    torch.save(linear.state_dict(), folder / "linear.pth")
    if head:
        state = torch.load(head, weights_only=True, map_location="cpu")
        seen = embeddings("aesthetic", 5, 768).double()
        for index in (0, 2, 4, 6, 7):
            seen = seen @ state[f"layers.{index}.weight"].double().T + state[f"layers.{index}.bias"].double()
        tensors["out.real"] = seen.float()
    write_case(folder, config=config, tolerance={"atol": 1e-5, "rtol": 1e-6}, tensors=tensors, values=values, single_precision={"cmmd": single}, provenance=provenance(3, *PACKAGES),
               why="CMMD, similarities and aesthetic heads of embeddings by a formula.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--head", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=31)
    args = parser.parse_args()
    make_hf(args.out, "hf_quick_gelu", args.seed, "quick_gelu", 2, False, "transformers' layout with OpenAI's activation; the largest id ends a text.")
    make_hf(args.out, "hf_gelu", args.seed + 10, "gelu", 40, True, "GELU, a PyTorch file, and an end token that is not the largest id.")
    make_open_clip(args.out, "open_clip", args.seed + 20, False, False, "open_clip's names and config.")
    make_open_clip(args.out, "openai_names", args.seed + 30, True, True, "A state dict as OpenAI's, in float16, with the sizes that it also holds.")
    make_pixels(args.out)
    make_alpha(args.out)
    make_scores(args.out, args.head)
