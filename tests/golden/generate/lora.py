"""Golden cases of kind lora: adapters that PEFT saves, and the weights that PEFT's own merge gives.

Made with peft 0.21.2, diffusers 0.42.1, torch 2.11.0.
Run:  python lora.py GOLDEN OUT      (GOLDEN holds pixart_diffusers/fixed/)
"""
import argparse
import copy
import json
import pathlib

import diffusers
import peft
import torch

from case_io import bound, fresh_folder, provenance, write_case

BASE = "pixart_diffusers/fixed/transformer"
CASES = {
    "gaussian": ({"init_lora_weights": "gaussian"}, "Alpha is not the rank."),
    "rank_stabilised": ({"use_rslora": True}, "The scale is alpha / sqrt(rank), which only adapter_config.json tells."),
    "patterns": ({"rank_pattern": {r"ff\.net\.2": 3}, "alpha_pattern": {r"transformer_blocks\.\d\.attn1\.to_(?!k)\w": 16}}, "Ranks and alphas by patterns."),
    "pissa": ({"init_lora_weights": "pissa"}, "The principal part of W was replaced."),
    "olora": ({"init_lora_weights": "OLoRA", "use_rslora": True}, "A part of the QR decomposition of W was replaced; PEFT takes the word in any case."),
    "mica": ({"init_lora_weights": "mica"}, "B begins with singular vectors, W is unchanged."),
}


def make(golden, root, case, options, why, seed):
    torch.manual_seed(seed)
    base = diffusers.PixArtTransformer2DModel.from_pretrained(golden / BASE).eval()
    first = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    config = peft.LoraConfig(r=2, lora_alpha=5, target_modules=["attn1.to_q", "attn2.to_v", "ff.net.2"], **options)
    model = peft.get_peft_model(base, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    folder = fresh_folder(root, "lora", case)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    file = folder / "adapter_config.json"
    told = json.loads(file.read_text()) | {"auto_mapping": None, "base_model_name_or_path": None, "target_modules": sorted(config.target_modules)}
    file.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
    floor = 2e-5 if config.init_lora_weights in ("pissa", "OLoRA") else 0.0  # decompositions of other libraries
    exact = copy.deepcopy(model).double().merge_and_unload().state_dict()
    merged = {name: tensor for name, tensor in model.merge_and_unload().state_dict().items() if not torch.equal(tensor, first[name])}
    write_case(folder, config={"base": BASE}, tensors={f"out.{name}": tensor for name, tensor in merged.items()}, why=why,
               tolerance={"rtol": 0.0, "per_tensor": {f"out.{name}": {"atol": max(floor, bound(tensor, exact[name]))} for name, tensor in merged.items()}},
               provenance=provenance(seed, "peft", "diffusers", "torch"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("golden", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for number, (case, (options, why)) in enumerate(CASES.items()):
        make(args.golden, args.out, case, options, why, 11 + number)
