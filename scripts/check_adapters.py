"""Merges PEFT's adapters with `pixart convert` and compares the weights with PEFT's own merge, over every init_lora_weights,
names of other trainers and places of alpha. Run by hand where diffusers and peft are installed:

    python3 scripts/check_adapters.py build/release/bin

A start that `convert` cannot repeat must be refused, and its adapters saved with path_initial_model_for_weight_conversion must
be merged right. All starts are made by PEFT except loftq, which needs bitsandbytes and a GPU: of it only the word is tried.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import diffusers
import peft
import torch
from peft import EvaConfig, LoraGAConfig, initialize_lora_eva_weights
from peft.tuners.lora.config import CordaConfig, VeloraConfig
from peft.tuners.lora.corda import preprocess_corda
from peft.tuners.lora.loraga import preprocess_loraga
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.2"]
ATOL = 2e-5  # weights are of the order of 0.3
RANK, ALPHA = 4, 8
PLAIN = [True, False, "gaussian", "Gaussian", "orthogonal", "eva", "mica", "MiCA"]
REPEATED = ["pissa", "olora", "OLoRA"]  # computed again from the weights
REFUSED = ["pissa_niter_4", "pissa_niter_16", "corda", "lora_ga"]
PROBLEM = "path_initial_model_for_weight_conversion"


def base_model():
    torch.manual_seed(0)
    model = diffusers.PixArtTransformer2DModel(
        num_attention_heads=6, attention_head_dim=64, in_channels=4, out_channels=8, num_layers=2, cross_attention_dim=384,
        sample_size=8, patch_size=2, caption_channels=32, use_additional_conditions=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.05)
    return model.eval()


def call(model, seed):
    """With one sample, as CorDA demands."""
    generator = torch.Generator().manual_seed(seed)
    latent, caption = (torch.randn(*shape, generator=generator) for shape in ((1, 4, 8, 8), (1, 24, 32)))
    return model(latent, encoder_hidden_states=caption, timestep=torch.tensor([500.0]),
                 added_cond_kwargs={"resolution": None, "aspect_ratio": None}, return_dict=False)[0]


def train(model):
    """What training does to adapters, as far as merging is concerned."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn_like(parameter) * 0.05)


class Check:
    def __init__(self, binaries, folder):
        self.pixart, self.folder = binaries / "pixart", folder
        base_model().save_pretrained(folder / "base")
        self.base = base_model().state_dict()

    def convert(self, adapters):
        shutil.rmtree(self.folder / "merged", ignore_errors=True)
        return subprocess.run([self.pixart, "convert", "base", "merged", "--max-tokens", "10", "--merge-lora", adapters],
                              capture_output=True, text=True, cwd=self.folder)

    def compare(self, what, adapters, wanted):
        result = self.convert(adapters)
        assert result.returncode == 0, f"{what}: {result.stderr}"
        got = load_file(self.folder / "merged/diffusion_pytorch_model.safetensors")
        assert set(got) == set(wanted), (what, set(got) ^ set(wanted))
        difference = max((got[name] - wanted[name]).abs().max().item() for name in got)
        change = max((wanted[name] - self.base[name]).abs().max().item() for name in got)
        print(f"{what}: largest difference {difference:.1e}, of a change up to {change:.2f}")
        assert difference <= ATOL < 1e-3 < change, what

    def refuses(self, what, adapters, text):
        result = self.convert(adapters)
        assert result.returncode == 78 and text in result.stderr, f"{what}: {result.returncode}, {result.stderr}"
        print(f"{what}: refused")


def untrained(how, **more):
    """The starts that need data get some."""
    config = peft.LoraConfig(**{"r": RANK, "lora_alpha": ALPHA, "target_modules": TARGETS, "init_lora_weights": how, **more})
    model = base_model()
    if how == "corda":
        config.corda_config = CordaConfig(corda_method="kpm")
        preprocess_corda(model, config, run_model=lambda: [call(model, seed) for seed in range(64)])
    if how == "lora_ga":
        config.lora_ga_config = LoraGAConfig()
        preprocess_loraga(model, config, lambda: call(model, 1).square().mean().backward())
    if how == "eva":
        config.eva_config = config.eva_config or EvaConfig()
    model = peft.get_peft_model(model, config)
    if how == "eva":
        initialize_lora_eva_weights(model, range(4), forward_fn=call, prepare_model_inputs_fn=None,
                                    prepare_layer_inputs_fn=lambda inputs, *_: inputs[0].flatten(0, -2), show_progress_bar=False)
    return model


def trained(how, **more):
    model = untrained(how, **more)
    train(model)
    return model.eval()


def merged(model):
    """PEFT's merge, with the names of the model alone."""
    state = model.merge_and_unload().state_dict()
    return {name: tensor.detach().clone().contiguous() for name, tensor in state.items() if name in base_names()}


def base_names():
    return set(load_file(base_file()))


def base_file():
    return CHECK.folder / "base/diffusion_pytorch_model.safetensors"


def check_starts(check):
    for how in PLAIN + REPEATED:
        for name, more in (("", {}), (", rank-stabilised", {"use_rslora": True}), (", ranks by layer", {"rank_pattern": {"to_k": 6}})):
            model = trained(how, **more)
            model.save_pretrained(check.folder / "a")
            check.compare(f"init_lora_weights {how}{name}", "a", merged(model))
    for how in REPEATED:  # what PEFT itself makes of the saved adapters
        trained(how).save_pretrained(check.folder / "a")
        again = peft.PeftModel.from_pretrained(base_model(), check.folder / "a")
        check.compare(f"init_lora_weights {how}, loaded again by PEFT", "a", merged(again))
    for how in REFUSED:
        trained(how).save_pretrained(check.folder / "a")
        check.refuses(f"init_lora_weights {how}", "a", PROBLEM)
    model = trained("eva", eva_config=EvaConfig(rho=2.0))
    print("  ranks that EVA chose:", sorted(set(model.peft_config["default"].rank_pattern.values())))
    model.save_pretrained(check.folder / "a")
    check.compare("init_lora_weights eva, other ranks than asked for", "a", merged(model))
    trained(True).save_pretrained(check.folder / "a")
    config = json.loads((check.folder / "a/adapter_config.json").read_text())
    (check.folder / "a/adapter_config.json").write_text(json.dumps({**config, "init_lora_weights": "loftq"}))
    check.refuses("init_lora_weights loftq", "a", PROBLEM)


def check_conversion(check):
    """The remedy: adapters that PEFT saves in relation to the first weights."""
    for how in REPEATED + REFUSED:
        model = untrained(how)
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(check.folder / "first")
        model.peft_config["default"].init_lora_weights = how
        train(model)
        model.save_pretrained(check.folder / "b", path_initial_model_for_weight_conversion=str(check.folder / "first"))
        check.compare(f"{how}, saved with path_initial_model_for_weight_conversion", "b", merged(model))


def check_patterns(check):
    patterns = {r"transformer_blocks\.\d+\.attn1\.to_(?!q)\w": 16, r".*(?<!attn1)\.to_q": 2}
    for name, more in (("alpha_pattern", {"alpha_pattern": patterns}), ("rank_pattern", {"rank_pattern": {"to_q": 2}}),
                       ("target_modules", {"target_modules": r".*\.attn[12]\.to_(?:q|v)"})):
        model = trained(True, **more)
        model.save_pretrained(check.folder / "c")
        check.compare(f"{name} as a regular expression", "c", merged(model))


def check_names(check):
    """PixArt's own script (a convolution, two prefixes, alpha one folder above), OneTrainer and ComfyUI."""
    model = trained("gaussian", target_modules=TARGETS + ["proj", "linear", "linear_1", "linear_2", "proj_out"])
    state, wanted = get_peft_model_state_dict(model), None
    model.save_pretrained(check.folder / "d")
    (check.folder / "d/transformer_lora").mkdir()
    save_file({"unet." + name: tensor.contiguous() for name, tensor in state.items()},
              check.folder / "d/transformer_lora/pytorch_lora_weights.safetensors")
    wanted = merged(model)
    check.compare("PixArt's script, PEFT's file", "d", wanted)
    check.compare("PixArt's script, diffusers' file", "d/transformer_lora", wanted)
    flat, comfy = {}, {}
    for name, tensor in state.items():
        module, part = name.removeprefix("base_model.model.").rsplit(".lora_", 1)
        part = {"A.weight": "lora_down.weight", "B.weight": "lora_up.weight"}[part]
        for names, layer in ((flat, "lora_transformer_" + module.replace(".", "_")), (comfy, "diffusion_model." + module)):
            names[f"{layer}.{part}"] = tensor.contiguous()
            names[f"{layer}.alpha"] = torch.tensor(float(ALPHA))
    for what, tensors in (("OneTrainer", flat), ("ComfyUI", comfy)):
        save_file(tensors, check.folder / "e.safetensors")
        check.compare(f"names of {what}", "e.safetensors", wanted)


def check_kinds(check):
    """What is more than W + scale B A is refused; VeLoRA changes only the backward pass."""
    model = trained(True, velora_config=VeloraConfig(num_groups=4))
    model.save_pretrained(check.folder / "f")
    check.compare("VeLoRA", "f", merged(model))
    for what, more, text in (("DoRA", {"use_dora": True}, "DoRA"), ("a bias of adapters", {"lora_bias": True}, "lora_B.bias"),
                             ("whole layers", {"modules_to_save": ["proj_out"]}, "proj_out")):
        trained(True, **more).save_pretrained(check.folder / "g")
        check.refuses(what, "g", text)


with tempfile.TemporaryDirectory() as temporary:
    print("diffusers", diffusers.__version__, "peft", peft.__version__, "torch", torch.__version__)
    CHECK = Check(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(temporary))
    for part in (check_starts, check_conversion, check_patterns, check_names, check_kinds):
        part(CHECK)
