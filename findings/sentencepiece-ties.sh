#!/usr/bin/env bash
# The pieces of captions that end with repeated signs, as sentencepiece 0.1.99, 0.2.1, 0.2.2 and 0.2.3 cut them with one unigram model.
# It needs no file of this project, and takes seconds.   findings/sentencepiece-ties.sh
#   PYTHON=FILE  the Python 3.9 to 3.11 that makes the environments, with packages from PyPI (default: python3)
#   MODEL=FILE   a spiece.model that is looked at as well, for example T5's
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/train.py" << 'END'
import random, sentencepiece

words = "a the cat dog sits on red blue hill photo of two birds near old house with sky light".split()
chance = random.Random(0)
with open("captions.txt", "w") as file:
    for _ in range(3000):
        caption = " ".join(chance.choice(words) for _ in range(chance.randrange(4, 9)))
        file.write(caption + chance.choice([".", ".......", "?", "???", "!", "!!!!!", " ---"]) + "\n")
sentencepiece.SentencePieceTrainer.train(
    input="captions.txt", model_prefix="captions", vocab_size=80, model_type="unigram", hard_vocab_limit=False, num_threads=1, minloglevel=2)
END
cat > "$folder/see.py" << 'END'
import json, sys, sentencepiece

processor = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
captions = [start + sign * n for start in ("a cat", "the dog", "a photo of two birds", "hill", "red house on a hill") for sign in "?!.-" for n in range(1, 16)]
pieces = {caption: processor.encode(caption, out_type=str) for caption in captions}
if len(sys.argv) == 2:
    json.dump(pieces, open("first.json", "w"))
    print(f"sentencepiece {sentencepiece.__version__}: {len(pieces)} captions")
else:
    first = json.load(open("first.json"))
    others = [caption for caption in captions if pieces[caption] != first[caption]]
    same_pieces = all(sorted(pieces[caption]) == sorted(first[caption]) for caption in others)
    print(f"sentencepiece {sentencepiece.__version__}: {len(others)} are cut otherwise than by {sys.argv[2]}" + ("" if not others else ", all into the same pieces in another order" if same_pieces else ""))
    for caption in sorted(others, key=len)[:2]:
        print(f"  {caption}: {' '.join(first[caption])} before, {' '.join(pieces[caption])} now")
END

python=${PYTHON:-python3}
cd "$folder"
for version in 0.2.1 0.1.99 0.2.2 0.2.3; do
  "$python" -m venv "$version"
  "$version/bin/python" -m pip install --quiet --progress-bar off --no-compile "sentencepiece==$version"
  [ -e captions.model ] || "$version/bin/python" train.py 2> errors || { cat errors; exit 1; }
  compared=()
  [ ! -e first.json ] || compared=(0.2.1)
  "$version/bin/python" see.py captions.model "${compared[@]}" | tee -a seen
done
if [ -n "${MODEL:-}" ]; then
  echo "with $MODEL:"
  0.2.1/bin/python see.py "$MODEL"
  0.2.3/bin/python see.py "$MODEL" 0.2.1
fi
diff - seen << 'END'
sentencepiece 0.2.1: 300 captions
sentencepiece 0.1.99: 0 are cut otherwise than by 0.2.1
sentencepiece 0.2.2: 29 are cut otherwise than by 0.2.1, all into the same pieces in another order
  hill???: ▁hill ?? ? before, ▁hill ? ?? now
  hill?????: ▁hill ?? ? ?? before, ▁hill ? ?? ?? now
sentencepiece 0.2.3: 29 are cut otherwise than by 0.2.1, all into the same pieces in another order
  hill???: ▁hill ?? ? before, ▁hill ? ?? now
  hill?????: ▁hill ?? ? ?? before, ▁hill ? ?? ?? now
END
