#!/usr/bin/env python3
"""Simulated studies: people with known strengths answer studies that `pixart study make` made, some of them at random;
`pixart study score` must hold the strengths in its intervals and exclude who answers at random.

Usage: simulate_studies.py PIXART [--studies N] [--people N] [--random N] [--design pairs|ranking] [--seed N]

Exit codes: 0 the strengths of all models were held in at least 95 % of the studies and at least 95 % of the random people were
excluded; 1 otherwise.
"""
import argparse
import json
import math
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import zlib

STRENGTHS = {"a": 0.9, "b": 0.3, "c": 0.0, "d": -0.4, "e": -0.8}  # natural logarithms, mean 0
PROMPTS = 30


def png(path):
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = zlib.compress((b"\0" + b"\x80" * 48) * 16)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def answers(key, generator, num_random):
    for number, person in enumerate(key["people"]):
        for trial, screen in enumerate(person["screens"]):
            drawn = []
            for position, model in enumerate(screen["models"]):
                strength = STRENGTHS[key["models"][model]]
                if screen["check"] == "degraded" and screen["of"] == position:
                    strength = -1e6
                if number < num_random:
                    strength = 0
                drawn.append((strength - math.log(-math.log(max(generator.random(), 1e-300))), position))
            order = [[position] for _, position in sorted(drawn, reverse=True)]
            yield json.dumps({"study": key["study"], "person": person["name"], "trial": trial, "order": order, "ms": 3000, "seq": trial + 1})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pixart", metavar="PIXART")
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--random", type=int, default=20, help="people who answer at random")
    parser.add_argument("--design", choices=("pairs", "ranking"), default="pairs")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    generator = random.Random(asked.seed)
    held = excluded = wrongly = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        (folder / "prompts.txt").write_text("".join(f"prompt {i}\n" for i in range(PROMPTS)))
        for name in STRENGTHS:
            for i in range(PROMPTS):
                png(folder / name / f"{i:04}.png")
        for number in range(asked.studies):
            seen = 20 if asked.design == "pairs" else 100
            subprocess.run([asked.pixart, "study", "make", *(f"{n}={folder / n}" for n in STRENGTHS), "--prompts", folder / "prompts.txt", "--design", asked.design,
                            "--people", str(asked.people), "--seen", str(seen), "--questions", "quality", "--degraded", "8", "--seed", str(number),
                            "--out", folder / f"study{number}"], check=True, capture_output=True)
            key = folder / f"study{number}.key.json"
            (folder / "answers.jsonl").write_text("\n".join(answers(json.loads(key.read_text()), generator, asked.random)) + "\n")
            result = subprocess.run([asked.pixart, "study", "score", folder / "answers.jsonl", "--key", key, "--json"], check=True, capture_output=True, text=True)
            scores = json.loads(result.stdout)
            inside = [m["strength_interval"][0] <= STRENGTHS[m["name"]] <= m["strength_interval"][1] for m in scores["questions"][0]["models"]]
            held += all(inside)
            who = {int(one["person"][1:]) for one in scores["excluded"]}
            excluded += sum(p <= asked.random for p in who)
            wrongly += sum(p > asked.random for p in who)
            print(f"study {number}: {sum(inside)} of {len(inside)} strengths held, {len(who)} people excluded", flush=True)
    attentive = (asked.people - asked.random) * asked.studies
    print(f"all strengths held in {held} of {asked.studies} studies; excluded: {excluded} of {asked.random * asked.studies} random people, "
          f"{wrongly} of {attentive} others")
    sys.exit(held < 0.95 * asked.studies or excluded < 0.95 * asked.random * asked.studies)


main()
