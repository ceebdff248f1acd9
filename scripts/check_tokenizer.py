"""Compares the tokens of 10,000 captions with SentencePiece and transformers. Run by hand where transformers 4 or 5, tokenizers
and sentencepiece are installed (check_weights.sh makes .deps/check), on a folder of a T5 model with spiece.model and
tokenizer.json:

    scripts/build.sh release pixart_tokens
    .deps/check/bin/python scripts/check_tokenizer.py build/release/bin T5_FOLDER

SentencePiece is the reference: spiece.model, tokenizer.json alone and the files that transformers saves must give its tokens,
and so must T5Tokenizer of transformers 4, which uses it. A tokenizer.json without a character map must give those of the
tokenizers library. How often that library, which AutoTokenizer uses, differs from SentencePiece is printed, for information.
"""
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import sentencepiece
import tokenizers
import transformers

COUNT, END = 10000, 1
IS_OLD = int(transformers.__version__.split(".")[0]) < 5
NOUNS = "cat dog horse river mountain castle robot street window lantern forest painter bridge ocean cloud astronaut train teapot".split()
LOOKS = "red small ancient foggy golden quiet broken glossy wooden crowded pale enormous striped neon misty marble frozen".split()
STYLES = ["oil painting", "35mm photo", "watercolour", "low poly render", "4k, highly detailed", "f/1.8", "16:9", "(masterpiece)"]
ODD = ["Fluß", "café", "cafe\u0301", "猫が眠っている", "маленький дом", "Ελληνικό", "ﬁsh", "ＡＢＣ", "½", "™", "…", "“quoted”", "\U0001F600", "\u200d",
       "\u3000", "\u00a0", "\t", "\n", "  ", "\u2581", "naïve", "\u0627\u0644\u0642\u0637", "e\u0323\u0301", "\x07", "#1", "100%", "it's", "\ufdfa"]
KNOWN_TO_DIFFER = "\u0085"  # a letter for SentencePiece, white space for tokenizers


def captions(rng):
    for _ in range(COUNT):
        words = [rng.choice(["a", "the", "two", "A", "an image of a"]), rng.choice(LOOKS), rng.choice(NOUNS), "near the", rng.choice(NOUNS)]
        words += [rng.choice(STYLES + NOUNS + LOOKS) for _ in range(rng.randint(0, 8))]
        for _ in range(rng.choice([0, 0, 1, 4])):
            words.insert(rng.randint(0, len(words)), rng.choice(ODD))
        words += ["".join(chr(rng.choice([rng.randint(32, 126), rng.randint(0xA1, 0x2FFF)])) for _ in range(rng.choice([0, 0, 0, 6])))]
        yield rng.choice([" ", " ", ", ", ""]).join(words)


def ours(binaries, tokenizer, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    result = subprocess.run([binaries / "pixart_tokens", tokenizer], input=lines, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def num_different(what, got, want, texts):
    assert len(got) == len(want) == len(texts), what
    wrong = [i for i in range(len(texts)) if got[i] != want[i]]
    print(f"{what}: {len(wrong)} of {len(texts)} captions differ", *[repr(texts[i]) for i in wrong[:3]])
    return len(wrong)


def must_agree(what, got, want, texts):
    assert num_different(what, got, want, texts) == 0, what


def library(file, texts):
    return [encoding.ids for encoding in tokenizers.Tokenizer.from_file(str(file)).encode_batch(texts)]


def without_map(source, target):
    """The layout of the first versions of transformers 5."""
    content = json.loads(source.read_text())
    content["normalizer"] = None
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}]}
    target.write_text(json.dumps(content))


def saved_by_transformers(folder, temporary):
    """Folders that it saves: of version 5 from tokenizer.json alone, which version 4 cannot open."""
    alone = temporary / "alone"
    alone.mkdir()
    files = ["tokenizer.json", "tokenizer_config.json"] + (["spiece.model"] if IS_OLD else [])
    for name in files:
        shutil.copy(folder / name, alone)
    tokenizer = transformers.AutoTokenizer.from_pretrained(alone)
    tokenizer.save_pretrained(temporary / "fast")
    if not IS_OLD:
        return tokenizer, [temporary / "fast"]
    transformers.T5Tokenizer.from_pretrained(alone).save_pretrained(temporary / "slow")
    return tokenizer, [temporary / "fast", temporary / "slow"]


def main(binaries, folder):
    print("sentencepiece", sentencepiece.__version__, "transformers", transformers.__version__, "tokenizers", tokenizers.__version__)
    texts = list(captions(random.Random(0)))
    assert not any(KNOWN_TO_DIFFER in text for text in texts)
    want = [ids + [END] for ids in sentencepiece.SentencePieceProcessor(str(folder / "spiece.model")).encode(texts)]
    must_agree("spiece.model, ours against SentencePiece", ours(binaries, folder / "spiece.model", texts), want, texts)
    must_agree("tokenizer.json, ours against SentencePiece", ours(binaries, folder / "tokenizer.json", texts), want, texts)
    num_different("tokenizer.json, tokenizers against SentencePiece", library(folder / "tokenizer.json", texts), want, texts)
    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        automatic, folders = saved_by_transformers(folder, temporary)
        num_different("AutoTokenizer against SentencePiece", automatic(texts)["input_ids"], want, texts)
        if IS_OLD:
            must_agree("T5Tokenizer against SentencePiece", transformers.T5Tokenizer.from_pretrained(folder)(texts)["input_ids"], want, texts)
        for saved in folders:
            print(f"transformers saves ({saved.name})", sorted(path.name for path in saved.iterdir()))
            must_agree("saved by transformers, ours against SentencePiece", ours(binaries, saved, texts), want, texts)
        plain = temporary / "plain.json"
        without_map(folder / "tokenizer.json", plain)
        wrong = num_different("no character map, ours against tokenizers", ours(binaries, plain, texts), library(plain, texts), texts)
        assert wrong <= COUNT // 1000  # sums of float, as in SentencePiece, and of double may order near ties differently


main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve())
