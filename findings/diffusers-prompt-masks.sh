#!/usr/bin/env bash
# diffusers 0.42.1: which prompt's mask SanaPipeline gives to an image of a batch of prompts, with two images for each prompt.
# It needs no file of this project. It takes half a minute after the installation.   findings/diffusers-prompt-masks.sh
#   PYTHON=FILE  a Python with the packages below and torch; without it, they are installed from PyPI into a temporary folder
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
# Output seen, on Debian 12 with Python 3.11:
#   diffusers 0.42.1 transformers 5.24.0
#   prompts of 3 and 16 tokens, two images each
#   tokens that the masks keep: PixArtSigmaPipeline 3, 3, 16, 16; SanaPipeline 3, 16, 3, 16
#   SanaPipeline, images as those of each prompt alone: yes, no, no, yes
#   SanaPipeline, images as those of the list with each prompt twice: yes, no, no, yes
#   SanaPipeline, the list with each prompt twice, images as those of each prompt alone: yes, yes, yes, yes
set -euo pipefail

readonly kPackages=(diffusers==0.42.1 transformers==5.24.0)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python=${PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --progress-bar off torch==2.11.0 "${kPackages[@]}"
fi
cat > "$folder/see.py" << 'END'
import importlib.metadata, sys

for package in sys.argv[1:]:
    name, version = package.split("==")
    if importlib.metadata.version(name) != version:
        print(f"{name} is {importlib.metadata.version(name)}, not {version}", file=sys.stderr)
        sys.exit(78)
import diffusers, tokenizers, torch, transformers

print("diffusers", diffusers.__version__, "transformers", transformers.__version__)
SHORT, LONG = "a red circle", "a photo of two small red boats near the old stone bridge in the evening light"
torch.manual_seed(0)
torch.set_num_threads(1)
words = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *sorted({*SHORT.split(), *LONG.split()})])}
model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
sana = diffusers.SanaPipeline(
    tokenizer=tokenizer,
    text_encoder=transformers.Gemma2Model(transformers.Gemma2Config(
        vocab_size=len(words), head_dim=16, hidden_size=32, intermediate_size=64, num_attention_heads=2, num_hidden_layers=2,
        num_key_value_heads=2, pad_token_id=0, attn_implementation="eager")).eval(),
    vae=diffusers.AutoencoderDC(
        in_channels=3, latent_channels=4, attention_head_dim=2, encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"), encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)), encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1), downsample_block_type="conv").eval(),
    transformer=diffusers.SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_layers=2, num_attention_heads=2, attention_head_dim=16, num_cross_attention_heads=2,
        cross_attention_head_dim=16, cross_attention_dim=32, caption_channels=32, sample_size=16).eval(),
    scheduler=diffusers.FlowMatchEulerDiscreteScheduler())
sana.set_progress_bar_config(disable=True)
pixart = diffusers.PixArtSigmaPipeline(
    tokenizer=tokenizer,
    text_encoder=transformers.T5EncoderModel(transformers.T5Config(
        vocab_size=len(words), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)).eval(),
    vae=diffusers.AutoencoderKL(), transformer=None, scheduler=None)
noise = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(1))
differs = False


def see(what, got, expected):
    global differs
    print(f"{what}: {got}")
    if got != expected:
        print("  expected:", expected)
        differs = True


def masks(pipe):
    mask = pipe.encode_prompt([SHORT, LONG], num_images_per_prompt=2, do_classifier_free_guidance=False)[1]
    return ", ".join(str(tokens) for tokens in mask.sum(1).tolist())


def draw(prompts, each, latents):
    return torch.from_numpy(sana(prompts, num_images_per_prompt=each, latents=latents.clone(), height=32, width=32, num_inference_steps=2,
                                 use_resolution_binning=False, complex_human_instruction=None, output_type="np").images)


def same(some, others):
    return ", ".join("yes" if (a - b).abs().max() < 1 / 255 else "no" for a, b in zip(some, others))


print("prompts of 3 and 16 tokens, two images each")
see("tokens that the masks keep", f"PixArtSigmaPipeline {masks(pixart)}; SanaPipeline {masks(sana)}",
    "PixArtSigmaPipeline 3, 3, 16, 16; SanaPipeline 3, 16, 3, 16")
batch = draw([SHORT, LONG], 2, noise)
alone = torch.cat([draw(SHORT, 2, noise[:2]), draw(LONG, 2, noise[2:])])
twice = draw([SHORT, SHORT, LONG, LONG], 1, noise)
see("SanaPipeline, images as those of each prompt alone", same(batch, alone), "yes, no, no, yes")
see("SanaPipeline, images as those of the list with each prompt twice", same(batch, twice), "yes, no, no, yes")
see("SanaPipeline, the list with each prompt twice, images as those of each prompt alone", same(twice, alone), "yes, yes, yes, yes")
sys.exit(differs)
END
HF_HUB_OFFLINE=1 "$python" -W ignore "$folder/see.py" "${kPackages[@]}" 2> "$folder/log" || {
  code=$?
  tail -n 20 "$folder/log" >&2
  exit "$code"
}
