#!/usr/bin/env bash
# diffusers 0.42.1: the scale of an adapter that peft 0.21.2 saved, when a transformer of diffusers loads it.
# It needs no file of this project. It takes half a minute after the installation.   findings/diffusers-peft-alpha.sh
#   PYTHON=FILE  a Python with the packages below and torch; without it, they are installed from PyPI into a temporary folder
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
# Output seen, on Debian 12 with Python 3.11:
#   diffusers 0.42.1 peft 0.21.2
#   saved by PEFT with rank 4 and alpha 4: trained with scale 1.0; PeftModel 1.0, same output; load_lora_adapter 1.0, same output
#   saved by PEFT with rank 4 and alpha 16: trained with scale 4.0; PeftModel 4.0, same output; load_lora_adapter 1.0, another output
#   saved by PEFT with rank 4 and alpha 8, rsLoRA: trained with scale 4.0; PeftModel 4.0, same output; load_lora_adapter 1.0, another output
#   the same as save_lora_adapter writes it: load_lora_adapter 4.0, same output
#   warnings of load_lora_adapter: 0
#   with the prefix "transformer", which load_lora_adapter takes without one: scale none; warnings: 1
set -euo pipefail

readonly kPackages=(diffusers==0.42.1 peft==0.21.2 transformers==5.24.0 accelerate==1.15.0)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python=${PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --progress-bar off torch==2.11.0 "${kPackages[@]}"
fi
cat > "$folder/see.py" << 'END'
import importlib.metadata, logging, sys, warnings

for package in sys.argv[2:4]:
    name, version = package.split("==")
    if importlib.metadata.version(name) != version:
        print(f"{name} is {importlib.metadata.version(name)}, not {version}", file=sys.stderr)
        sys.exit(78)
import diffusers, peft, torch

print("diffusers", diffusers.__version__, "peft", peft.__version__)
torch.set_num_threads(1)
folder = sys.argv[1]
differs, told = False, []


class Count(logging.Handler):
    def emit(self, record):
        told.append(record.getMessage())


def see(what, got, expected):
    global differs
    print(f"{what}: {got}")
    if got != expected:
        print("  expected:", expected)
        differs = True


def transformer():
    torch.manual_seed(1)
    return diffusers.SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_layers=2, num_attention_heads=2, attention_head_dim=16, num_cross_attention_heads=2,
        cross_attention_head_dim=16, cross_attention_dim=32, caption_channels=32, sample_size=8).eval()


def seen(model):
    """Its output, and the scale of its adapters."""
    numbers = torch.Generator().manual_seed(3)
    latents, caption = (torch.randn(shape, generator=numbers) for shape in ((1, 4, 8, 8), (1, 5, 32)))
    with torch.no_grad():
        output = model.eval()(latents, encoder_hidden_states=caption, timestep=torch.tensor([500]), return_dict=False)[0]
    scales = {scale for module in model.modules() for scale in getattr(module, "scaling", {}).values()}
    return output, scales.pop() if len(scales) == 1 else scales


def compared(model, trained):
    output, scale = seen(model)
    return f"{scale}, {'same' if torch.allclose(output, trained, atol=1e-5) else 'another'} output"


def loaded(where, prefix):
    model = transformer()
    logging.getLogger().addHandler(handler)
    diffusers.utils.logging.add_handler(handler)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        model.load_lora_adapter(where, prefix=prefix, weight_name="adapter_model.safetensors")
    diffusers.utils.logging.remove_handler(handler)
    logging.getLogger().removeHandler(handler)
    told.extend(str(warning.message) for warning in raised)
    return model


handler = Count(level=logging.WARNING)
for what, expected, by_diffusers, options in (
        ("rank 4 and alpha 4", 1.0, "1.0, same output", {"lora_alpha": 4}),
        ("rank 4 and alpha 16", 4.0, "1.0, another output", {"lora_alpha": 16}),
        ("rank 4 and alpha 8, rsLoRA", 4.0, "1.0, another output", {"lora_alpha": 8, "use_rslora": True})):
    config = peft.LoraConfig(r=4, target_modules=["to_q", "to_v"], init_lora_weights=False, **options)
    model = peft.get_peft_model(transformer(), config)
    trained, scale = seen(model)
    model.save_pretrained(f"{folder}/peft")
    back = compared(peft.PeftModel.from_pretrained(transformer(), f"{folder}/peft"), trained)
    see(f"saved by PEFT with {what}",
        f"trained with scale {scale}; PeftModel {back}; load_lora_adapter {compared(loaded(f'{folder}/peft', 'base_model.model'), trained)}",
        f"trained with scale {expected}; PeftModel {expected}, same output; load_lora_adapter {by_diffusers}")
model = transformer()
model.add_adapter(config, "default")
trained, _ = seen(model)
model.save_lora_adapter(f"{folder}/diffusers", weight_name="adapter_model.safetensors")
see("the same as save_lora_adapter writes it", f"load_lora_adapter {compared(loaded(f'{folder}/diffusers', None), trained)}",
    "load_lora_adapter 4.0, same output")
see("warnings of load_lora_adapter", len(told), 0)
for line in told:
    print(" ", line)
told.clear()
model = loaded(f"{folder}/peft", "transformer")
see('with the prefix "transformer", which load_lora_adapter takes without one', f"scale {seen(model)[1] or 'none'}; warnings: {len(told)}",
    "scale none; warnings: 1")
sys.exit(differs)
END
HF_HUB_OFFLINE=1 "$python" -W ignore "$folder/see.py" "$folder" "${kPackages[@]}" 2> "$folder/log" || {
  code=$?
  tail -n 20 "$folder/log" >&2
  exit "$code"
}
