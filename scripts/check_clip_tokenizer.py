#!/usr/bin/env python3
"""Compares the tokens of 10,000 prompts with openai/CLIP's tokenizer and with transformers' CLIPTokenizerFast.

Usage: check_clip_tokenizer.py BINARIES [--vocabulary FOLDER] [--number 10000] [--seed 0] [--reference-only]
       (pip install open-clip-torch==3.3.0 ftfy==6.3.1 regex transformers==4.57.6; run by hand, a minute)

    scripts/build.sh release pixart_tokens
    python3 scripts/check_clip_tokenizer.py build/release/bin --vocabulary clip-vit-base-patch32

open-clip-torch holds openai/CLIP's simple tokenizer and its table of merges (bpe_simple_vocab_16e6.txt.gz); only the names of the two special
tokens differ, and are set here. --vocabulary: a folder with vocab.json and merges.txt of a published model, which must be the same
vocabulary; without it the files are made from the package. `pixart_tokens --clip openai` must give the tokens of openai/CLIP, and
`--clip hugging-face` those of transformers, for every prompt. Where these two differ is listed by kind, for information.

The last line is a summary in JSON; the script ends with 1 if any prompt differs.
"""
import argparse
import collections
import gzip
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unicodedata

import open_clip.tokenizer
import regex
import transformers

START, END = "<|startoftext|>", "<|endoftext|>"
# Random characters: ASCII; others of Unicode 3.2, because the tables of the programs are of newer and different versions; emoji.
RANDOM = ([chr(c) for c in range(32, 127)], [chr(c) for c in range(0xA1, 0x3000) if unicodedata.ucd_3_2_0.category(chr(c)) != "Cn"],
          [chr(c) for c in range(0x1F300, 0x1FB00) if unicodedata.category(chr(c)) != "Cn"])
NOUNS = "cat dog horse river mountain castle robot street window lantern forest painter bridge ocean cloud astronaut train teapot".split()
LOOKS = "red small ancient foggy golden quiet broken glossy wooden crowded pale enormous striped neon misty marble frozen".split()
STYLES = ["oil painting", "35mm photo", "watercolour", "low poly render", "4k, highly detailed", "f/1.8", "16:9", "(((masterpiece)))", "trending on artstation", "--ar 16:9 --v 5"]
KINDS = {
    "plain words": ["Unreal Engine", "HDR", "well-lit", "semi-transparent", "Rembrandt's", "3D", "an elephant", "OCTANE"],
    "quotes and contractions": ["it's", "they're", "don't", "we've", "\u201cquoted\u201d", "\u2018single\u2019", "dog's's", "''s", "`tick`", "l\u2019\u00e9t\u00e9", "IT'S"],
    "numbers": ["1920x1080", "3.14", "1,000", "50%", "#1", "\u00bd", "\u00b2", "\u2167", "\u0661\u0662", "2024-01-31"],
    "entities": ["&amp;", "&lt;b&gt;", "&amp;lt;", "&eacute;", "&#39;", "&#x42;", "&nbsp;", "&copy 2024", "&#128;", "&unknown;", "&"],
    "accents": ["caf\u00e9", "cafe\u0301", "na\u00efve", "Flu\u00df", "\u0130stanbul", "\u1e9e", "\u00c5ngstr\u00f6m", "\u03a3\u0391\u03a3", "e\u0323\u0301", "\u212aelvin", "a\u0345b", "+\u0345+"],
    "other scripts": ["\u732b\u304c\u7720\u3063\u3066\u3044\u308b", "\u043c\u0430\u043b\u0435\u043d\u044c\u043a\u0438\u0439", "\u0627\u0644\u0642\u0637", "\ud55c\uad6d\uc5b4", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e41\u0e21\u0e27"],
    "emoji": ["\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "\U0001f1eb\U0001f1f7", "\U0001f44d\U0001f3fd"],
    "compatibility characters": ["\ufb01sh", "\uff21\uff22\uff23", "\u2460", "\u2122", "\u2026", "\ufdfa", "\u1100\u1161\u11a8", "\u0958"],
    "wrongly decoded": ["caf\u00c3\u00a9", "\u00e2\u20ac\u0153quoted\u00e2\u20ac\u009d", "\u00c3\u00bcber", "don\u00e2\u20ac\u2122t"],
    "control characters and white space": ["\x07", "\x1b[0m", "\x00", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\u200b", "\ufeff", "\x85", "\x1c", "\u180e", "  "],
    "special tokens": [START, END, "<|ENDOFTEXT|>", "<|endoftext |>", "<start_of_text>"],
}


def prompts(rng, number):
    """(prompt, kinds in it)"""
    names = list(KINDS)
    for i in range(number):
        words = [rng.choice(["a", "the", "two", "A", "An image of a", "photo of"]), rng.choice(LOOKS), rng.choice(NOUNS), "near the", rng.choice(NOUNS)]
        words += [rng.choice(STYLES + NOUNS + LOOKS) for _ in range(rng.randint(0, 8))]
        kinds = [names[i % len(names)]] if i % 3 else rng.sample(names, rng.randint(0, 3))
        for kind in kinds:
            for _ in range(rng.randint(1, 3)):
                words.insert(rng.randint(0, len(words)), rng.choice(KINDS[kind]))
        if i % 40 == 7:
            words *= rng.choice([5, 40, 200])
            kinds = [*kinds, "very long"]
        if i % 10 == 9:
            words.append("".join(rng.choice(rng.choice(RANDOM)) for _ in range(8)))
            kinds = [*kinds, "random characters"]
        yield rng.choice([" ", " ", " ", ", ", ""]).join(words), kinds or ["nothing of these"]


def openai_tokenizer(merges):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "merges.txt.gz"
        path.write_bytes(gzip.compress("\n".join(["#version", *merges]).encode()))
        tokenizer = open_clip.tokenizer.SimpleTokenizer(str(path))
    for own, published in (("<start_of_text>", START), ("<end_of_text>", END)):
        tokenizer.encoder[published] = tokenizer.encoder.pop(own)
        tokenizer.cache[published] = published
    tokenizer.pat = regex.compile(tokenizer.pat.pattern.replace("<start_of_text>|<end_of_text>", re.escape(START) + "|" + re.escape(END)), regex.IGNORECASE)
    return tokenizer


def packaged_merges():
    """The published merges: of the file's 262,145 lines, those that the vocabulary of 49,408 tokens uses."""
    with gzip.open(pathlib.Path(open_clip.tokenizer.__file__).parent / "bpe_simple_vocab_16e6.txt.gz") as stream:
        return stream.read().decode().split("\n")[1 : 49152 - 256 - 2 + 1]


def write_vocabulary(folder, tokenizer, merges):
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(tokenizer.encoder, ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    return folder


def ours(binaries, mode, vocabulary, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    result = subprocess.run([binaries / "pixart_tokens", "--clip", mode, vocabulary], input=lines, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"pixart_tokens: {result.stderr}")
    return [json.loads(line) for line in result.stdout.splitlines()]


def compare(what, got, want, texts):
    assert len(got) == len(want) == len(texts), (what, len(got), len(want))
    wrong = [i for i in range(len(texts)) if got[i] != want[i]]
    print(f"{'ok    ' if not wrong else 'WRONG '} {what}: {len(wrong)} of {len(texts)} prompts differ", *[ascii(texts[i]) for i in wrong[:5]], flush=True)
    return len(wrong)


def characters(text):
    """What is unusual in a text: names of its characters outside ASCII, and of control characters."""
    return {unicodedata.name(c, f"U+{ord(c):04X}") for c in text if not 32 <= ord(c) < 127}


def list_differences(first, second, given):
    by_kind, total = collections.Counter(), collections.Counter(kind for _, kinds in given for kind in kinds)
    examples = {}
    for a, b, (text, kinds) in zip(first, second, given):
        if a != b:
            for kind in kinds:
                by_kind[kind] += 1
                if kind not in examples or len(text) < len(examples[kind]):
                    examples[kind] = text
    print(f"openai/CLIP and transformers differ in {sum(a != b for a, b in zip(first, second))} of {len(given)} prompts:")
    for kind, count in by_kind.most_common():
        named = sorted(characters(examples[kind]))[:4]
        print(f"       {kind}: {count} of {total[kind]}, e.g. {ascii(examples[kind][:120])} {', '.join(named)}")
    return dict(by_kind)


def parsed():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries", type=pathlib.Path)
    parser.add_argument("--vocabulary", type=pathlib.Path)
    parser.add_argument("--number", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference-only", action="store_true", help="list where openai/CLIP and transformers differ, without pixart_tokens")
    return parser.parse_args()


def main():
    arguments = parsed()
    given = list(prompts(random.Random(arguments.seed), arguments.number))
    texts = [text for text, _ in given]
    merges = packaged_merges()
    openai = openai_tokenizer(merges)
    summary = {"prompts": len(texts), "seed": arguments.seed, "open_clip": open_clip.__version__, "transformers": transformers.__version__}
    with tempfile.TemporaryDirectory() as temporary:
        made = write_vocabulary(pathlib.Path(temporary) / "made", openai, merges)
        vocabulary = arguments.vocabulary or made
        assert json.loads((vocabulary / "vocab.json").read_text()) == openai.encoder, "--vocabulary is not openai/CLIP's"
        assert len(openai.encoder) == 49408, len(openai.encoder)
        fast = transformers.CLIPTokenizerFast(vocab_file=str(vocabulary / "vocab.json"), merges_file=str(vocabulary / "merges.txt"))
        wanted = {"openai": [[openai.encoder[START], *openai.encode(text), openai.encoder[END]] for text in texts],
                  "hugging-face": [fast(text)["input_ids"] for text in texts]}
        summary["references_differ"] = list_differences(*wanted.values(), given)
        if not arguments.reference_only:
            summary["ours_differ"] = {mode: compare(f"pixart as {mode}", ours(arguments.binaries.resolve(), mode, vocabulary, texts), want, texts) for mode, want in wanted.items()}
    print(json.dumps(summary))
    return any(summary.get("ours_differ", {}).values())


if __name__ == "__main__":
    sys.exit(main())
