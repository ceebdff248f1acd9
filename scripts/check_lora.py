"""Opens LoRA adapters of `pixart train` in PEFT and diffusers, merges PEFT's adapters with `pixart convert`, and compares
all forward passes. Run by check_weights.sh."""
import json
import pathlib
import subprocess
import sys
import tempfile

import diffusers
import peft
import torch
from diffusers.loaders import PeftAdapterMixin
from safetensors.torch import load_file, save_file

TOKENS, CAPTION = 10, 32
ATOL = 1e-5  # outputs are of the order of 1
RUN = """
run: run
seed: 3
device: cpu
autoencoder: {block_out_channels: [8, 8, 16], layers_per_block: 1, norm_num_groups: 4}
text_encoder: {max_tokens: 10, d_model: 32, num_layers: 1, num_heads: 2, d_ff: 32}
transformer: {patch_size: 2, hidden_size: 384, depth: 2, num_heads: 6}
sources:
  - {name: scenes, type: scenes, count: 48}
stages:
  - {name: autoencoder, objective: autoencoder, source: scenes, resolution: 32, steps: 2, batch_size: 8, samples: {num_steps: 2}}
  - {name: text, objective: text_conditional, source: scenes, resolution: 32, steps: 20, batch_size: 8, ema_decay: 0.5,
     gradient_clip: 1, optimizer: {lr: 0.001}, samples: {num_steps: 2},
     lr_schedule: {warmup_steps: 0}}
  - {name: style, objective: text_conditional, source: scenes, resolution: 32, steps: 20, batch_size: 8, ema_decay: 0.5,
     gradient_clip: 1, optimizer: {lr: 0.003}, samples: {num_steps: 2}, lr_schedule: {warmup_steps: 0}, init: {how: copy, from: text},
     lora: {rank: 4, alpha: 12, targets: ["blocks.*.attn.*", "blocks.*.cross_attn.*", "blocks.*.mlp.*", t_block.*, "y_embedder.*"]}}
"""


class Transformer(diffusers.PixArtTransformer2DModel, PeftAdapterMixin):
    """diffusers' PixArt has no load_lora_adapter() of its own; its mixin gives it one."""


def run(*command, folder):
    print("$", *[pathlib.Path(c).name if "/" in str(c) and "run/" not in str(c) else c for c in command])
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, cwd=folder).stdout


def compare(what, got, want, without):
    difference, change = (got - want).abs().max().item(), (want - without).abs().max().item()
    print(f"{what}: largest difference {difference:.1e} (outputs up to {want.abs().max():.1f}; the adapters change them "
          f"by up to {change:.2f})")
    assert difference <= ATOL < 0.001 < change, what


def main(binaries):
    torch.manual_seed(0)
    print("diffusers", diffusers.__version__, "peft", peft.__version__, "torch", torch.__version__)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "run.yaml").write_text(RUN)
        run(binaries / "pixart", "train", "run.yaml", folder=folder)
        text, style = "run/checkpoints/text/step-00000020", "run/checkpoints/style/step-00000020"
        run(binaries / "pixart", "convert", text, "base", "--ema", folder=folder)
        x, t = torch.randn(2, 4, 8, 8), torch.tensor([500.0, 37.5])
        caption, mask = torch.randn(2, TOKENS, CAPTION), torch.ones(2, TOKENS, dtype=torch.int64)
        save_file({"in.x": x, "in.t": t, "in.y": caption, "in.mask": mask}, folder / "inputs.safetensors")

        def ours(weights):
            run(binaries / "pixart_forward", weights, "inputs.safetensors", "out.safetensors", folder=folder)
            return load_file(folder / "out.safetensors")["out.output"]

        def theirs(model):
            with torch.no_grad():
                return model(x, encoder_hidden_states=caption, timestep=t, encoder_attention_mask=mask,
                             added_cond_kwargs={"resolution": None, "aspect_ratio": None}, return_dict=False)[0]

        def base():
            return Transformer.from_pretrained(str(folder / "base")).eval()

        plain = theirs(base())
        want = ours(f"{style}/ema.safetensors")
        by_peft = peft.PeftModel.from_pretrained(base(), folder / "run/lora/style").eval()
        compare("PeftModel.from_pretrained", theirs(by_peft), want, plain)
        by_diffusers = base()
        by_diffusers.load_lora_adapter(folder / "run/lora/style", weight_name="pytorch_lora_weights.safetensors")
        compare("load_lora_adapter", theirs(by_diffusers), want, plain)
        from_pefts_file = base()
        from_pefts_file.load_lora_adapter(folder / "run/lora/style", prefix="base_model.model", weight_name="adapter_model.safetensors")
        compare("load_lora_adapter of PEFT's file", theirs(from_pefts_file), want, plain)
        layers = sum("lora_A" in name for name, _ in by_diffusers.named_parameters())
        assert layers == sum("lora_A" in name for name, _ in by_peft.named_parameters())
        print(f"{layers} layers of theirs have an adapter")
        run(binaries / "pixart", "convert", f"{text}", "merged.safetensors", "--ema", "--merge-lora", "run/lora/style",
            folder=folder)
        compare("merged by pixart convert", ours("merged.safetensors"), want, plain)
        compare("merged by PEFT", theirs(by_peft.merge_and_unload()), want, plain)

        for name, extra in (("plain", {}), ("alpha by layer", {"alpha_pattern": {"attn1.to_q": 16}}),
                            ("rank-stabilised", {"use_rslora": True})):
            config = peft.LoraConfig(r=4, lora_alpha=8, init_lora_weights=False,
                                     target_modules=["to_q", "to_k", "to_v", "to_out.0", "ff.net.2"], **extra)
            model = peft.get_peft_model(base(), config).eval()
            model.save_pretrained(folder / "theirs")
            run(binaries / "pixart", "convert", "base", "back.safetensors", "--max-tokens", TOKENS, "--overwrite",
                "--merge-lora", "theirs", folder=folder)
            compare(f"written by PEFT, {name}", ours("back.safetensors"), theirs(model), plain)
        model = base()
        model.add_adapter(peft.LoraConfig(r=4, lora_alpha=8, init_lora_weights=False, target_modules=["to_q", "to_v"]))
        model.save_lora_adapter(folder / "diffusers")
        print(run(binaries / "pixart", "inspect", "diffusers", folder=folder).splitlines()[1].strip())
        run(binaries / "pixart", "convert", "base", "back.safetensors", "--max-tokens", TOKENS, "--overwrite",
            "--merge-lora", "diffusers", folder=folder)
        compare("written by diffusers", ours("back.safetensors"), theirs(model), plain)
        assert json.loads((folder / "run/lora/style/adapter_config.json").read_text())["lora_alpha"] == 12


main(pathlib.Path(sys.argv[1]).resolve())
