"""Golden cases of kind clip_tokenizer: a small byte-pair vocabulary in the layouts of Hugging Face, and the ids of CLIP's real one, as openai/CLIP
and transformers' CLIPTokenizerFast cut texts.

Made with open-clip-torch 3.3.0 (its SimpleTokenizer is that of openai/CLIP but for the names of the two special tokens, which are set here), ftfy 6.3.1,
transformers 4.57.6, tokenizers 0.22.2.
Run:  python clip_tokenizer.py OUT [--real FOLDER] [--seed N]      (FOLDER: vocab.json and merges.txt of a published model)
"""
import argparse
import collections
import gzip
import json
import pathlib
import random
import re
import tempfile

import open_clip.tokenizer
import regex
from case_io import fresh_folder, provenance, write_case
from tokenizer import FIXED, corpus, drawn
from transformers import CLIPTokenizerFast

LIMIT, START, END = 77, "<|startoftext|>", "<|endoftext|>"
OWN = [
    "a photo of a cat", "A Photo Of A CAT.", "it's we're I've I'm you'll he'd don't", "IT'S WE'RE", "'s 't 're", "''s", "dog's's", "!'s", "\u2019s a cat\u2019s", "'\u017f \u212aelvin",
    "\u03a3\u0391\u03a3 \u039f\u0394\u039f\u03a3", "\u0130stanbul", "\u1e9e", "&amp;amp; &lt;b&gt;", "&amp;lt;", "&eacute; &EACUTE;", "caf\u00c3\u00a9", "\u00e2\u20ac\u0153quoted\u00e2\u20ac\u009d",
    "\u00bd \u00b2\u00b3 \u2460\u2167", "2024-01-31", "3,141.59", "x86 64bit", "\u0661\u0662\u0663", f"{START} a cat", f"a cat {END}", f"a{END}cat", f"!{END}!", "<|ENDOFTEXT|>", f"{END}{START}{END}",
    "<|endoftext |>", "<start_of_text>", "\x1c \x1d\x1e\x1f", "a\x1ccat", "a\x85cat", "\u180ea cat", "a\u2028cat\u2029", "\ufb01sh", "\uff21\uff22\uff23", "e\u0301 \u00e9", "\u1100\u1161\u11a8", "\u0958",
    "\U0001f600\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "(((masterpiece))), [best], {quality}", "--ar 16:9 --v 5", "#art @artist", "\u00a9 \u2122 \u00ae", "a.b.c", "www.example.org/a?b=c",
    "a " * 74, "a " * 75, "a " * 76, "a " * 200, "cat" * 100, "\u732b\u304c\u7a93" * 30, "&#65;&#x42;&#28;&#128;", "&nbsp;cat&nbsp;", "<b>bold</b> &copy 2024", "\\n \\t", "\u02bcn", "l\u2018\u00e9t\u00e9",
]


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


def learn_merges(texts, count):
    """Byte-pair encoding in its textbook form: the most frequent pair of neighbours, the first in the alphabet of equal ones."""
    symbols = open_clip.tokenizer.bytes_to_unicode()
    words = collections.Counter()
    for text in texts:
        for word in re.findall(r"[^\W\d_]+|\d|[^\w\s]+", text.lower()):
            inner = [symbols[b] for b in word.encode()]
            words[(*inner[:-1], inner[-1] + "</w>")] += 1
    merges = []
    while len(merges) < count:
        pairs = collections.Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(" ".join(best))
        joined = collections.Counter()
        for word, times in words.items():
            result, i = [], 0
            while i < len(word):
                fits = word[i : i + 2] == best
                result.append("".join(best) if fits else word[i])
                i += 2 if fits else 1
            joined[tuple(result)] += times
        words = joined
    return merges


def line_of(text, openai, fast):
    ends = [openai.encoder[START]], [openai.encoder[END]]
    line = {"text": text}
    for name, ids in (("openai", ends[0] + openai.encode(text) + ends[1]), ("hf", fast(text)["input_ids"])):
        cut = ids if len(ids) <= LIMIT else ids[: LIMIT - 1] + ends[1]
        if name == "hf":
            assert cut == fast(text, truncation=True, max_length=LIMIT)["input_ids"], text
            if cut == line["ids"] and len(ids) == line["uncut"]:
                continue
            line |= {"hf_ids": cut, "hf_uncut": len(ids)}
        else:
            line |= {"ids": cut, "uncut": len(ids)}
    return line


def write_lines(folder, strings, openai, fast, config, seed, why):
    lines = [line_of(text, openai, fast) for text in strings]
    (folder / "cases.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_case(folder, config={**config, "cases": "cases.jsonl", "max_length": LIMIT, "vocab_size": len(openai.encoder)}, tolerance={"exact": True},
               provenance=provenance(seed, "open-clip-torch", "ftfy", "transformers", "tokenizers"), why=why, differ=sum("hf_ids" in line for line in lines))


def make_tiny(root, seed, strings):
    folder = fresh_folder(root, "clip_tokenizer", "tiny")
    openai = openai_tokenizer(learn_merges(corpus(random.Random(seed), 2000), 400))
    merges = [" ".join(pair) for pair in openai.bpe_ranks]
    for name in ("vocabulary", "fast"):
        (folder / name).mkdir()
    (folder / "vocabulary" / "vocab.json").write_text(json.dumps(openai.encoder, ensure_ascii=False))
    (folder / "vocabulary" / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    fast = CLIPTokenizerFast(vocab_file=str(folder / "vocabulary" / "vocab.json"), merges_file=str(folder / "vocabulary" / "merges.txt"))
    fast.backend_tokenizer.save(str(folder / "fast" / "tokenizer.json"))
    write_lines(folder, strings, openai, fast, {"vocabulary": "vocabulary", "fast": "fast"}, seed, "Ids and truncation of awkward strings, cleaned as openai/CLIP and as transformers do.")


def make_real(root, real, seed, strings):
    merges = (real / "merges.txt").read_text().splitlines()[1:]
    openai = openai_tokenizer(merges)
    assert openai.encoder == json.loads((real / "vocab.json").read_text())
    write_lines(fresh_folder(root, "clip_tokenizer", "real"), strings, openai, CLIPTokenizerFast.from_pretrained(real), {"real": "clip_tokenizer"}, seed,
                "The same with the published vocabulary, which is not kept here.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--real", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=24)
    args = parser.parse_args()
    strings = OWN + [text for text in FIXED if "extra_id" not in text] + list(drawn(random.Random(args.seed), 90))
    make_tiny(args.out, args.seed, strings)
    if args.real:
        make_real(args.out, args.real, args.seed, strings)
