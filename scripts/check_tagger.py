#!/usr/bin/env python3
"""Compares words, tags and texts without adjectives of `--tagger` with those of spaCy itself, by the same folder of a pipeline.

Texts are the prompts of T2I-CompBench's folder (--prompts), prompts made as check_chunks.py makes them, and hard lines made here: contractions,
numbers, addresses, emoticons, other alphabets, white space, words cut anywhere. spaCy runs with its parser, without ner, lemmatizer and senter. Needs spaCy.
Run:  scripts/build.sh release pixart_tokens
      python scripts/check_tagger.py --tokens build/release/bin/pixart_tokens --model FOLDER [--prompts FOLDER] [--least 0.99]
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys

import check_chunks

PIECES = ("the, The, an, old, dog's, dogs', isn't, Isn’t, can't, cannot, gonna, y'all, it's, It’s, I'm, I’d've, we'll, o'clock, U.S., U.S.A., a.m., 5pm, 9:30, "
          "$5.50, €20, 50%, 3/4, 1,000,000, -7, +3, 1st, 2nd, x², ½, №5, 100km, 20°C, 5'10\", #1, @home, C++, c#, AT&T, R&B, e.g., i.e., etc., Mr., Dr., St., "
          "Inc., vs., no., well-known, state-of-the-art, half-eaten, dark-red, and/or, w/o, foo.bar, foo..bar, ..., …, ?!, !!!, --, —, –, (red), [blue], {x}, "
          "\"quoted\", 'single', “curly”, ‘curly’, «guillemets», `code`, http://example.com, https://a.b/c?d=e#f, www.example.org, example.com, me@example.com, "
          "192.168.0.1, 10.1.2.3, C:\\\\dir, /usr/bin, ~/x, a_b, __init__, :), :-(, ;D, <3, :'(, ^_^, ¯\\\\_(ツ)_/¯, ಠ_ಠ, 😀, 👍🏽, café, naïve, Straße, ΣΑΣ, İstanbul, ﬁne, "
          "Привет, мир, 你好, 日本語, مرحبا, שלום, हिन्दी, ไทย, 한국어, é, ñ, X, XX, ID, ADJ, number, case, mark, agent, root, meta, num, obj, cc, det, punct, "
          "NASA, iPhone, McDonald's, O'Brien, don’t, DON'T, Dont, colour, grey, gray, favourite, realise, bigger, biggest, golden, running, broken, shiny, "
          "metallic, wooden, striped, rose-gold, _, __, -, *, **bold**, &amp;, <b>, </b>, =, ==, 3x4, 16:9, 1990s, '90s, ’n’, rock'n'roll, ok, OK, lol, nothin', "
          "\u00a0, \u2009, \u200b, \u3000, \t, " + "a" * 105).split(", ")
JOINTS = [" "] * 30 + ["  ", "", ", ", ". ", "; ", ": ", "-", "/", "\n", "\t", "\u00a0", " \n ", "'", "’", "\"", ")", "(", "...", "!"]


def hard_lines(count, seed):
    draw = random.Random(seed)
    plain = check_chunks.COLORS + check_chunks.SHAPES + check_chunks.TEXTURES + check_chunks.QUALITIES + check_chunks.THINGS + check_chunks.COMPOUNDS
    lines = ["", " ", "  ", "\n", " a", "a ", "a  ", " a  b \n c ", "\u00a0", ".", "'s", "X", "I", "A"]
    while len(lines) < count:
        text = draw.choice(["", "", "", " ", "\n"])
        for _ in range(draw.randint(1, 14)):
            word = draw.choice(PIECES if draw.random() < 0.5 else plain)
            if draw.random() < 0.08:
                word = draw.choice([word.upper(), word.capitalize(), word[::-1], word[:draw.randint(0, len(word))], "(" + word + ").", word + "'s", word + "-" + draw.choice(plain)])
            text += word + draw.choice(JOINTS)
        lines.append(text)
    return lines


def benchmark_lines(folder):
    return sorted({line.split("\t")[0].strip() for file in sorted(folder.glob("*.txt")) for line in file.read_text().splitlines() if line.strip()})


def words_here(tokens, model, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    output = subprocess.run([tokens, "--tagger", model], input=lines, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def without_adjectives(words):
    return " ".join(text for text, tag, part, *_ in words if part != "ADJ")


def compare(kind, texts, documents, words, shown):
    """Prints how many texts agree in three ways, and returns the share of those without adjectives that do."""
    agree = {"words": 0, "tags": 0, "parts of speech": 0, "texts without adjectives": 0}
    for text, document, here in zip(texts, documents, words):
        there = [(token.text, token.tag_, token.pos_) for token in document]
        same = {"words": [w[0] for w in here] == [w[0] for w in there] and [w[3] for w in here] == [len(text[:t.idx].encode()) for t in document],
                "tags": [w[:2] for w in here] == [list(w[:2]) for w in there], "parts of speech": [w[2] for w in here] == [w[2] for w in there],
                "texts without adjectives": without_adjectives(here) == without_adjectives(there)}
        for name, value in same.items():
            agree[name] += value
        if not (same["words"] and same["tags"] and same["texts without adjectives"]) and shown > 0:
            shown -= 1
            print(f"{text!r}\n  spaCy {there}\n  here  {here}")
    print(f"{kind}, {len(texts)}: " + ", ".join(f"{100 * count / max(1, len(texts)):.2f} % of {name}" for name, count in agree.items()))
    return agree["texts without adjectives"] / max(1, len(texts))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", required=True, help="the binary pixart_tokens")
    parser.add_argument("--model", required=True, help="the folder of the pipeline")
    parser.add_argument("--prompts", help="the benchmark's folder examples/dataset")
    parser.add_argument("--count", type=int, default=3000, help="of made prompts, and of hard lines")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=20, help="differences that are printed of each kind")
    parser.add_argument("--least", type=float, default=0.99, help="share of texts without adjectives that must agree; otherwise the exit code is 1")
    arguments = parser.parse_args()
    import spacy
    model = pathlib.Path(arguments.model)
    inner = model if (model / "tokenizer").exists() else next(path.parent for path in model.glob("*/tokenizer"))
    nlp = spacy.load(inner, exclude=["ner", "lemmatizer", "senter"])
    kinds = {"made prompts": [prompt for _, prompt in check_chunks.made_prompts(arguments.count, arguments.seed)], "hard lines": hard_lines(arguments.count, arguments.seed)}
    if arguments.prompts:
        kinds["prompts of the benchmark"] = benchmark_lines(pathlib.Path(arguments.prompts))
    shares = [compare(kind, texts, nlp.pipe(texts), words_here(arguments.tokens, arguments.model, texts), arguments.show) for kind, texts in kinds.items()]
    sys.exit(min(shares) < arguments.least)


if __name__ == "__main__":
    main()
