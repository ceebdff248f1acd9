#!/usr/bin/env bash
# A pipeline that diffusers 0.42.1 saved in float16, opened again with and without a type, with transformers 5.24.0.
# It needs no file of this project. It takes half a minute after the installation.   findings/diffusers-half-pipeline.sh
#   PYTHON=FILE  a Python with the packages below and torch; without it, they are installed from PyPI into a temporary folder
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
# Output seen, on Debian 12 with Python 3.11:
#   diffusers 0.42.1 transformers 5.24.0
#   without a type: transformer float32, vae float32, text_encoder float16; the first call: RuntimeError: Input type
#     (c10::Half) and bias type (float) should be the same
#   dtype="auto": transformer float32, vae float32, text_encoder float32; the first call: draws
#   dtype=torch.float16: transformer float16, vae float16, text_encoder float16; the first call: draws
set -euo pipefail

readonly kPackages=(diffusers==0.42.1 transformers==5.24.0 sentencepiece==0.2.3 protobuf==7.36.2)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python=${PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --progress-bar off torch==2.11.0 "${kPackages[@]}"
fi
cat > "$folder/see.py" << 'END'
import importlib.metadata, pathlib, sys

for package in sys.argv[2:]:
    name, version = package.split("==")
    if importlib.metadata.version(name) != version:
        print(f"{name} is {importlib.metadata.version(name)}, not {version}", file=sys.stderr)
        sys.exit(78)
import diffusers, sentencepiece, torch, transformers

print("diffusers", diffusers.__version__, "transformers", transformers.__version__)
torch.manual_seed(0)
torch.set_num_threads(1)
folder = pathlib.Path(sys.argv[1])
tokenizer = folder / "tokenizer"
tokenizer.mkdir()
(folder / "text").write_text("\n".join(f"a red circle number {i} near the blue square" for i in range(500)))
sentencepiece.SentencePieceTrainer.train(input=str(folder / "text"), model_prefix=str(tokenizer / "spiece"), vocab_size=60, pad_id=0,
                                         eos_id=1, unk_id=2, bos_id=-1, minloglevel=2)
made = diffusers.PixArtAlphaPipeline(
    tokenizer=transformers.T5Tokenizer.from_pretrained(tokenizer),
    text_encoder=transformers.T5EncoderModel(transformers.T5Config(
        vocab_size=200, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu")),
    vae=diffusers.AutoencoderKL(block_out_channels=(8,) * 4, norm_num_groups=4, latent_channels=4,
                                down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4),
    transformer=diffusers.PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=8, num_layers=1, cross_attention_dim=32, sample_size=8,
        patch_size=2, caption_channels=32, use_additional_conditions=False),
    scheduler=diffusers.DPMSolverMultistepScheduler())
made.to(torch.float16).save_pretrained(folder / "pipeline")


def see(**options):
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder / "pipeline", **options)
    seen = [str(getattr(pipe, part).dtype).removeprefix("torch.") for part in ("transformer", "vae", "text_encoder")]
    try:
        pipe("a red circle", num_inference_steps=2, height=64, width=64, use_resolution_binning=False, clean_caption=False, output_type="np")
        return seen + ["draws"]
    except RuntimeError as error:
        return seen + [f"RuntimeError: {error}"]


differs = False
for what, options, expected in (
        ("without a type", {}, ["float32", "float32", "float16", "RuntimeError: Input type (c10::Half) and bias type (float) should be the same"]),
        ('dtype="auto"', {"dtype": "auto"}, ["float32"] * 3 + ["draws"]),
        ("dtype=torch.float16", {"dtype": torch.float16}, ["float16"] * 3 + ["draws"])):
    got = see(**options)
    print(f"{what}: transformer {got[0]}, vae {got[1]}, text_encoder {got[2]}; the first call: {got[3]}")
    if got != expected:
        print("  expected:", expected)
        differs = True
sys.exit(differs)
END
HF_HUB_OFFLINE=1 "$python" -W ignore "$folder/see.py" "$folder" "${kPackages[@]}" 2> "$folder/log" || {
  code=$?
  tail -n 20 "$folder/log" >&2
  exit "$code"
}
