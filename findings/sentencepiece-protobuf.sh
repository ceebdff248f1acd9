#!/usr/bin/env bash
# T5's tokenizer opened from spiece.model by transformers 5.24.0, with sentencepiece 0.2.1 or 0.2.3 next to protobuf 6.33.2 or 7.36.1.
# It needs no file of this project, and no torch. It takes half a minute after the installation.   findings/sentencepiece-protobuf.sh
#   PYTHON=FILE  the Python that installs the packages from PyPI, into temporary folders (default: python3)
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
# Output seen, on Debian 12 with Python 3.11:
#   sentencepiece 0.2.1 requires: nothing
#   sentencepiece 0.2.3 requires: nothing
#   sentencepiece 0.2.1, protobuf 6.33.2: opened: ▁a ▁red ▁hill
#   sentencepiece 0.2.1, protobuf 7.36.1: opened: ▁a ▁red ▁hill
#   sentencepiece 0.2.3, protobuf 6.33.2: ValueError: `tiktoken` is required to read a `tiktoken` file. Install it with `pip install tiktoken`.
#   sentencepiece 0.2.3, protobuf 7.36.1: opened: ▁a ▁red ▁hill
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python=${PYTHON:-python3}
install() { # FOLDER PACKAGE ...
  "$python" -m pip install --quiet --progress-bar off --no-compile --root-user-action ignore --target "$folder/$1" "${@:2}"
}
install transformers transformers==5.24.0
for version in 0.2.1 0.2.3; do install "sentencepiece-$version" --no-deps "sentencepiece==$version"; done
for version in 6.33.2 7.36.1; do install "protobuf-$version" --no-deps "protobuf==$version"; done
cat > "$folder/train.py" << 'END'
import importlib.metadata, os, random, sentencepiece

words = "a the cat dog sits on red blue hill photo of two birds near old house with sky light".split()
chance = random.Random(0)
with open("captions.txt", "w") as file:
    for _ in range(3000):
        file.write(" ".join(chance.choice(words) for _ in range(chance.randrange(4, 9))) + "\n")
os.makedirs("model", exist_ok=True)
sentencepiece.SentencePieceTrainer.train(input="captions.txt", model_prefix="model/spiece", vocab_size=80, model_type="unigram", pad_id=0,
                                         eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, num_threads=1, minloglevel=2)
needed = [text for text in importlib.metadata.requires("sentencepiece") or [] if "extra ==" not in text]
print(f"sentencepiece {sentencepiece.__version__} requires:", ", ".join(needed) or "nothing")
END
cat > "$folder/see.py" << 'END'
import google.protobuf, sentencepiece, transformers

try:
    seen = "opened: " + " ".join(transformers.T5Tokenizer.from_pretrained("model").tokenize("a red hill"))
except Exception as error:
    seen = f"{type(error).__name__}: {error}"
print(f"sentencepiece {sentencepiece.__version__}, protobuf {google.protobuf.__version__}: {seen}")
END

cd "$folder"
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
for version in 0.2.1 0.2.3; do
  PYTHONPATH=sentencepiece-$version "$python" train.py 2> errors | tee -a seen || { cat errors; exit 1; }
done
for version in 0.2.1 0.2.3; do
  for protobuf in 6.33.2 7.36.1; do
    PYTHONPATH=sentencepiece-$version:protobuf-$protobuf:transformers "$python" see.py 2> errors | tee -a seen || { cat errors; exit 1; }
  done
done
diff - seen << 'END'
sentencepiece 0.2.1 requires: nothing
sentencepiece 0.2.3 requires: nothing
sentencepiece 0.2.1, protobuf 6.33.2: opened: ▁a ▁red ▁hill
sentencepiece 0.2.1, protobuf 7.36.1: opened: ▁a ▁red ▁hill
sentencepiece 0.2.3, protobuf 6.33.2: ValueError: `tiktoken` is required to read a `tiktoken` file. Install it with `pip install tiktoken`.
sentencepiece 0.2.3, protobuf 7.36.1: opened: ▁a ▁red ▁hill
END
