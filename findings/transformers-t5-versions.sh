#!/usr/bin/env bash
# A T5 tokenizer that transformers 5.24.0 saved, opened by transformers 4.57.6, and one that 4.57.6 saved, opened by 5.24.0.
# It needs no file of this project, and no torch. It takes half a minute after the installation.   findings/transformers-t5-versions.sh
#   PYTHON=FILE  the Python that installs the packages from PyPI, into temporary folders (default: python3)
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
# Output seen, on Debian 12 with Python 3.11:
#   transformers 4.57.6 saves: added_tokens.json special_tokens_map.json spiece.model tokenizer_config.json
#   transformers 5.24.0 saves: tokenizer.json tokenizer_config.json
#   transformers 4.57.6, saved by 4.57.6: T5Tokenizer reads it; T5TokenizerFast reads it; AutoTokenizer reads it
#   transformers 4.57.6, saved by 5.24.0: T5Tokenizer ValueError; T5TokenizerFast AttributeError; AutoTokenizer AttributeError
#   transformers 5.24.0, saved by 4.57.6: T5Tokenizer reads it; T5TokenizerFast reads it; AutoTokenizer reads it
#   transformers 5.24.0, saved by 5.24.0: T5Tokenizer reads it; T5TokenizerFast reads it; AutoTokenizer reads it
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python=${PYTHON:-python3}
install() { # FOLDER PACKAGE ...
  "$python" -m pip install --quiet --progress-bar off --no-compile --root-user-action ignore --target "$folder/$1" "${@:2}"
}
install of-4 transformers==4.57.6 sentencepiece==0.2.3 protobuf==7.36.1
install of-5 transformers==5.24.0 sentencepiece==0.2.3 protobuf==7.36.1
cat > "$folder/train.py" << 'END'
import random, sentencepiece

words = "a the cat dog sits on red blue hill photo of two birds near old house with sky light".split()
chance = random.Random(0)
with open("captions.txt", "w") as file:
    for _ in range(3000):
        file.write(" ".join(chance.choice(words) for _ in range(chance.randrange(4, 9))) + "\n")
sentencepiece.SentencePieceTrainer.train(input="captions.txt", model_prefix="spiece", vocab_size=80, model_type="unigram", pad_id=0, eos_id=1,
                                         unk_id=2, bos_id=-1, hard_vocab_limit=False, num_threads=1, minloglevel=2)
END
cat > "$folder/see.py" << 'END'
import pathlib, sys, transformers

CAPTION, PIECES = "a red hill", ["\u2581a", "\u2581red", "\u2581hill"]
version = transformers.__version__
if sys.argv[1] == "save":
    transformers.T5Tokenizer.from_pretrained("model").save_pretrained(f"saved-{version}")
    print(f"transformers {version} saves:", *sorted(path.name for path in pathlib.Path(f"saved-{version}").iterdir()))
else:
    for saved in ("4.57.6", "5.24.0"):
        seen = []
        for name in ("T5Tokenizer", "T5TokenizerFast", "AutoTokenizer"):
            try:
                pieces = getattr(transformers, name).from_pretrained(f"saved-{saved}").tokenize(CAPTION)
                seen.append(f"{name} reads it" if pieces == PIECES else f"{name} has {pieces}")
            except Exception as error:
                seen.append(f"{name} {type(error).__name__}")
        print(f"transformers {version}, saved by {saved}: {'; '.join(seen)}")
END

cd "$folder"
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
PYTHONPATH=of-4 "$python" train.py
mkdir model && mv spiece.model model
for do in save open; do
  for version in 4 5; do
    PYTHONPATH=of-$version "$python" see.py "$do" 2> errors | tee -a seen || { cat errors; exit 1; }
  done
done
diff - seen << 'END'
transformers 4.57.6 saves: added_tokens.json special_tokens_map.json spiece.model tokenizer_config.json
transformers 5.24.0 saves: tokenizer.json tokenizer_config.json
transformers 4.57.6, saved by 4.57.6: T5Tokenizer reads it; T5TokenizerFast reads it; AutoTokenizer reads it
transformers 4.57.6, saved by 5.24.0: T5Tokenizer ValueError; T5TokenizerFast AttributeError; AutoTokenizer AttributeError
transformers 5.24.0, saved by 4.57.6: T5Tokenizer reads it; T5TokenizerFast reads it; AutoTokenizer reads it
transformers 5.24.0, saved by 5.24.0: T5Tokenizer reads it; T5TokenizerFast reads it; AutoTokenizer reads it
END
