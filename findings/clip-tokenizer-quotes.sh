#!/usr/bin/env bash
# The tokens of five prompts by openai/CLIP's own tokenizer (clip-anytorch 2.6.0 packs it) and by CLIPTokenizer of transformers 4.57.6 and
# 5.24.0, with the same vocabulary.
# It needs no file of this project, and no torch. It takes half a minute after the installation.   findings/clip-tokenizer-quotes.sh
#   PYTHON=FILE  the Python that installs the packages from PyPI, into temporary folders (default: python3)
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
# Output seen, on Debian 12 with Python 3.11:
#   clip-anytorch 2.6.0: openai/CLIP
#     don't -> don|'t
#     don’t -> don|'t
#     a “neon” sign -> a|"|neon|"|sign
#     rock &amp; roll -> rock|&|roll
#     a red café -> a|red|café
#   transformers 4.57.6: CLIPTokenizer with ftfy: as openai/CLIP
#   transformers 4.57.6: CLIPTokenizer without ftfy: 3 prompts differ
#   transformers 4.57.6: CLIPTokenizerFast: 3 prompts differ
#   transformers 5.24.0: CLIPTokenizer with ftfy: 3 prompts differ
#     don’t -> don|’|t
#     a “neon” sign -> a|“|neon|”|sign
#     rock &amp; roll -> rock|&|amp|;|roll
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python=${PYTHON:-python3}
install() { # FOLDER PACKAGE ...
  "$python" -m pip install --progress-bar off --no-compile --root-user-action ignore --target "$folder/$1" "${@:2}"
}
install of-clip --no-deps clip-anytorch==2.6.0
install of-ftfy ftfy==6.3.1
install of-4 transformers==4.57.6
install of-5 transformers==5.24.0
cat > "$folder/see.py" << 'END'
import importlib.util, json, pathlib, sys

PROMPTS = ("don't", "don\u2019t", "a \u201cneon\u201d sign", "rock &amp; roll", "a red caf\u00e9")
folder, what = pathlib.Path(sys.argv[1]), sys.argv[2]
if what == "openai/CLIP":
    spec = importlib.util.spec_from_file_location("simple_tokenizer", folder / "of-clip/clip/simple_tokenizer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tokenizer = module.SimpleTokenizer()
    (folder / "vocab.json").write_text(json.dumps(tokenizer.encoder))
    merges = [" ".join(pair) for pair in sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    seen = {prompt: tokenizer.encode(prompt) for prompt in PROMPTS}
    (folder / "openai.json").write_text(json.dumps({"tokens": seen, "bytes": tokenizer.byte_decoder}))
    print("clip-anytorch 2.6.0: openai/CLIP")
    shown, expected = PROMPTS, ["don|'t", "don|'t", 'a|"|neon|"|sign', "rock|&|roll", "a|red|caf\u00e9"]
else:
    import transformers

    tokenizer = getattr(transformers, what.split()[0])(str(folder / "vocab.json"), str(folder / "merges.txt"))
    seen = {prompt: tokenizer(prompt)["input_ids"][1:-1] for prompt in PROMPTS}
    openai = json.loads((folder / "openai.json").read_text())["tokens"]
    shown = [prompt for prompt in PROMPTS if seen[prompt] != openai[prompt]]
    print(f"transformers {transformers.__version__}: {what}: " + (f"{len(shown)} prompts differ" if shown else "as openai/CLIP"))
    exact = transformers.__version__.startswith("4.") and what == "CLIPTokenizer with ftfy"
    expected = [] if exact else ["don|\u2019|t", "a|\u201c|neon|\u201d|sign", "rock|&|amp|;|roll"]

names = {number: name for name, number in json.loads((folder / "vocab.json").read_text()).items()}
values = json.loads((folder / "openai.json").read_text())["bytes"]


def words(prompt):
    """The tokens as text; those that have a part of a character are joined."""
    joined = "|".join(names[number].removesuffix("</w>") for number in seen[prompt])
    parts, text = [], b""
    for part in joined.split("|"):
        text += bytes(values[letter] for letter in part)
        try:
            parts.append(text.decode())
            text = b""
        except UnicodeDecodeError:
            continue
    return "|".join(parts)


got = [words(prompt) for prompt in shown]
if what == "openai/CLIP" or transformers.__version__.startswith("5."):
    for prompt, tokens in zip(shown, got):
        print(f"  {prompt} -> {tokens}")
if got != expected:
    print("  got:", got)
    print("  expected:", expected)
    sys.exit(1)
END
differs=0
see() { # PYTHONPATH WHAT
  PYTHONPATH=$1 PYTHONIOENCODING=utf-8 HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$python" -S -W ignore "$folder/see.py" "$folder" "$2" \
    2> "$folder/log" || differs=1
  grep -v "PyTorch" "$folder/log" | tail -n 20 >&2 || true
}
see "$folder/of-ftfy:$folder/of-4" "openai/CLIP"
see "$folder/of-4:$folder/of-ftfy" "CLIPTokenizer with ftfy"
see "$folder/of-4" "CLIPTokenizer without ftfy"
see "$folder/of-4" "CLIPTokenizerFast"
see "$folder/of-5:$folder/of-ftfy" "CLIPTokenizer with ftfy"
exit "$differs"
