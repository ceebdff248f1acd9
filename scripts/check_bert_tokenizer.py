#!/usr/bin/env python3
"""Compares the tokens of 20,000 texts with transformers' BertTokenizer, of vocab.txt and of tokenizer.json.

Usage: check_bert_tokenizer.py BINARIES VOCABULARY [--number 20000] [--seed 0]
       (pip install transformers==5.24.0; run by hand, a minute)

    scripts/build.sh release pixart_tokens
    python3 scripts/check_bert_tokenizer.py build/release/bin bert-base-uncased

VOCABULARY: a folder with vocab.txt of bert-base-uncased. `pixart_tokens --bert` must give the tokens of transformers for every text, not cut.
Random characters are those of Unicode 3.2, because the tables of both programs are of different versions.

The last line is a summary in JSON; the script ends with 1 if any text differs.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unicodedata

import transformers

PARTS = [chr(c) for c in range(32, 127)], [chr(c) for c in range(0xA1, 0x3000) if unicodedata.ucd_3_2_0.category(chr(c)) != "Cn"], [chr(c) for c in range(0x1F300, 0x1FB00) if unicodedata.category(chr(c)) != "Cn"]
NOUNS = "cat dog horse river mountain castle robot street window lantern forest painter bridge ocean cloud astronaut train teapot suitcase chandelier".split()
LOOKS = "red small ancient foggy golden quiet broken glossy wooden crowded rectangular enormous striped neon misty marble frozen".split()
UNUSUAL = [
    "it's", "they're", "DON'T", "\u201cquoted\u201d", "l\u2019\u00e9t\u00e9", "dog's's", "1920x1080", "3.14", "50%", "#1", "\u00bd", "\u2167", "caf\u00e9", "cafe\u0301", "na\u00efve", "\u0130stanbul", "\u1e9e",
    "\u00c5ngstr\u00f6m", "\u03a3\u0391\u03a3", "e\u0323\u0301", "\u212aelvin", "a\u0345b", "\u732b\u304c\u7720\u3063\u3066", "\u043c\u0430\u043b\u0435\u043d\u044c\u043a\u0438\u0439", "\u0627\u0644\u0642\u0637", "\ud55c\uad6d\uc5b4",
    "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e41\u0e21\u0e27", "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "\ufb01sh", "\uff21\uff22", "\u2122", "\u2026", "\ufdfa", "\u1100\u1161\u11a8", "\x07",
    "\x00", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\u200b", "\ufeff", "\x85", "\x1c", "\u180e", "\xad", "\ufffd", "[SEP]", "[CLS]", "[MASK]", "[UNK]", "[PAD]", "[sep]", "[ SEP ]", "[[SEP]]", "[unused1]", "##ing",
    "a" * 99, "a" * 100, "a" * 101, "\u00e9" * 100, "\u00e9" * 101, "\u4e00" * 5, "\U00020001", "\U0002b830", "antidisestablishmentarianism", "supercalifragilistic", "$5", "a+b=c", "^_^", "`x`", "~", "\u2014",
]


def texts(rng, number):
    for i in range(number):
        words = [rng.choice(["a", "the", "two", "A", "Is there a", "photo of"]), rng.choice(LOOKS), rng.choice(NOUNS)]
        words += [rng.choice(NOUNS + LOOKS) for _ in range(rng.randint(0, 8))]
        for _ in range(rng.randint(0, 4) if i % 3 else 0):
            words.insert(rng.randint(0, len(words)), rng.choice(UNUSUAL))
        if i % 40 == 7:
            words *= rng.choice([5, 40])
        if i % 5 == 4:
            words.append("".join(rng.choice(rng.choice(PARTS)) for _ in range(8)))
        yield rng.choice([" ", " ", " ", ", ", ""]).join(words) + rng.choice(["", "?"])


def ours(binaries, vocabulary, given):
    lines = "".join(json.dumps(text) + "\n" for text in given)
    result = subprocess.run([binaries / "pixart_tokens", "--bert", vocabulary], input=lines, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"pixart_tokens: {result.stderr}")
    return [json.loads(line) for line in result.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries", type=pathlib.Path)
    parser.add_argument("vocabulary", type=pathlib.Path)
    parser.add_argument("--number", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    given = UNUSUAL + list(texts(random.Random(arguments.seed), arguments.number))
    differ = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "vocab.txt").write_bytes((arguments.vocabulary / "vocab.txt").read_bytes())
        reference = transformers.BertTokenizer.from_pretrained(folder)
        reference.save_pretrained(folder / "fast")
        want = [reference(text)["input_ids"] for text in given]
        for file in folder / "vocab.txt", folder / "fast" / "tokenizer.json":
            got = ours(arguments.binaries.resolve(), file, given)
            assert len(got) == len(want)
            wrong = [i for i in range(len(given)) if got[i] != want[i]]
            print(f"{'ok    ' if not wrong else 'WRONG '} {file.name}: {len(wrong)} of {len(given)} texts differ", *[ascii(given[i]) for i in wrong[:5]], flush=True)
            differ[file.name] = len(wrong)
    print(json.dumps({"texts": len(given), "seed": arguments.seed, "transformers": transformers.__version__, "differ": differ}))
    return any(differ.values())


if __name__ == "__main__":
    sys.exit(main())
