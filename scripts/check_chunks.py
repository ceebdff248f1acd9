#!/usr/bin/env python3
"""Compares the noun chunks of `pixart compbench questions` with those of spaCy, on prompts of the kinds that T2I-CompBench has.

Makes prompts from templates with words that are not the benchmark's, or takes its folder (--prompts). Needs spaCy and en_core_web_sm.
Run:  python scripts/check_chunks.py --pixart build/release/bin/pixart [--prompts FOLDER] [--least 0.93]
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

PLACES = {"top", "the side", "the left", "the right"}
MOST_QUESTIONS = 8

COLORS = "purple, turquoise, crimson, ivory, violet, maroon, teal, navy, olive, lilac, amber, copper".split(", ")
SHAPES = "hexagonal, curved, flat, narrow, wide, slim, thick, thin, pointed, octagonal, hollow, broad".split(", ")
TEXTURES = "ceramic, woolen, velvet, marble, paper, silk, cotton, concrete, golden, furry, iron, bamboo".split(", ")
QUALITIES = "old, shiny, quiet, dirty, clean, ancient, heavy, light, modern, bright, lovely, broken, fresh, huge, tiny, elegant".split(", ")
THINGS = ("violin, ladder, kettle, lantern, pumpkin, teapot, drum, basket, statue, candle, wallet, tractor, helmet, canoe, sofa, mailbox, "
          "camel, wolf, parrot, penguin, goat, squirrel, turtle, peacock, tulip, cactus, umbrella, scooter, stool, jug, barrel, anchor").split(", ")
COMPOUNDS = ("coffee mug, window frame, desk lamp, soccer ball, flower pot, fruit bowl, picture book, street lamp, tea cup, garden chair, phone case, "
             "water bottle, dinner plate, kitchen knife, toy car, bed sheet").split(", ")
MANY = "clouds, gloves, candles, books, towels, boots, stones, shells, leaves, flowers, pencils, blankets".split(", ")
PEOPLE = "man, woman, girl, boy, child, farmer, nurse, dancer, painter, baker".split(", ")
PLACES_OF_SCENES = "garden, kitchen, forest, street, library, market, station, valley, harbor, classroom".split(", ")
RELATIONS = "on the left of, on the right of, next to, on top of, near, in front of, under, behind".split(", ")
PAST = "covered, touched, reflected, surrounded, illuminated, decorated, blocked, framed".split(", ")
MOVES = "glided across, leaned against, fell onto, drifted above, rolled past, stood near, sat beside, hung above, floated over".split(", ")
HOLDS = "holds, carries, wears, watches, paints, repairs, pushes, cleans".split(", ")
FEATURES = "handle, lid, edge, frame, base, pattern, surface, shadow".split(", ")
IDEAS = "beauty, courage, silence, comfort, wisdom, freedom, warmth, mystery".split(", ")


def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def thing(draw):
    return draw.choice(THINGS if draw.random() < 0.7 else COMPOUNDS)


def pair(kinds):
    return lambda draw: f"{article(draw.choice(kinds) + ' ' + thing(draw))} and {article(draw.choice(kinds) + ' ' + thing(draw))}"


TEMPLATES = {
    "color": [pair(COLORS),
              lambda d: f"A {d.choice(COLORS)} {thing(d)} in a {d.choice(PLACES_OF_SCENES)} with a {d.choice(COLORS)} {thing(d)}.",
              lambda d: f"A {d.choice(PEOPLE)} in {article(d.choice(COLORS))} coat {d.choice(HOLDS)} {article(d.choice(COLORS))} {thing(d)} in the {d.choice(PLACES_OF_SCENES)}.",
              lambda d: f"{article(d.choice(COLORS)).capitalize()} and {d.choice(COLORS)} {thing(d)} is parked next to {article(d.choice(COLORS))} {thing(d)}."],
    "shape": [pair(SHAPES),
              lambda d: f"{article(d.choice(SHAPES))} slice of bread and {article(d.choice(SHAPES))} {thing(d)}",
              lambda d: f"The {d.choice(SHAPES)} {thing(d)} and the {d.choice(SHAPES)} {thing(d)} were placed in the {d.choice(PLACES_OF_SCENES)}."],
    "texture": [pair(TEXTURES),
                lambda d: f"{article(d.choice(TEXTURES))} {thing(d)} and {d.choice(TEXTURES)} {d.choice(MANY)}",
                lambda d: f"The {d.choice(TEXTURES)} {thing(d)} {d.choice(MOVES)} the {d.choice(TEXTURES)} {thing(d)} in the {d.choice(PLACES_OF_SCENES)}."],
    "spatial": [lambda d: f"{article(thing(d))} {d.choice(RELATIONS)} {article(thing(d))}"],
    "complex": [lambda d: f"The {d.choice(QUALITIES)} {thing(d)} was {d.choice(RELATIONS)} the {d.choice(COLORS)} {thing(d)}.",
                lambda d: f"The {d.choice(QUALITIES)} {d.choice(COLORS)} {thing(d)} {d.choice(MOVES)} the {d.choice(QUALITIES)} {d.choice(COLORS)} {thing(d)}.",
                lambda d: f"The {d.choice(QUALITIES)} {thing(d)} {d.choice(PAST)} the {d.choice(QUALITIES)} {thing(d)} and the {d.choice(TEXTURES)} {thing(d)}.",
                lambda d: f"The {d.choice(QUALITIES)}, {d.choice(SHAPES)} {d.choice(FEATURES)} of the {thing(d)} {d.choice(MOVES)} the {d.choice(PLACES_OF_SCENES)}, a symbol of {d.choice(IDEAS)} and {d.choice(IDEAS)}."],
}


def made_prompts(count, seed):
    draw = random.Random(seed)
    prompts = {}
    while len(prompts) < count:
        category = draw.choice(list(TEMPLATES))
        prompts.setdefault(draw.choice(TEMPLATES[category])(draw), category)
    return [(category, prompt) for prompt, category in prompts.items()]


def write_folder(folder, prompts):
    for category in TEMPLATES:
        (folder / f"{category}_val.txt").write_text("".join(prompt + "\n" for kind, prompt in prompts if kind == category))
    for part in "spatial", "action":
        (folder / f"complex_val_{part}.txt").write_text("")


def kept(chunks):
    return [chunk for chunk in chunks if chunk not in PLACES][:MOST_QUESTIONS]


def load_spacy(name):
    import importlib
    import spacy
    return importlib.import_module(name).load() if importlib.util.find_spec(name) else spacy.load(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixart", required=True)
    parser.add_argument("--prompts", help="the benchmark's folder examples/dataset")
    parser.add_argument("--model", default="en_core_web_sm")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--least", type=float, default=0.0, help="share of prompts that must agree; otherwise the exit code is 1")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(arguments.prompts or scratch)
        if not arguments.prompts:
            write_folder(folder, made_prompts(arguments.count, arguments.seed))
        ours = subprocess.run([arguments.pixart, "compbench", "questions", "--prompts", str(folder)], check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in ours.splitlines()]
    theirs = load_spacy(arguments.model).pipe(row["prompt"] for row in rows)
    agree = {}
    for row, document in zip(rows, theirs):
        expected = kept([chunk.text for chunk in document.noun_chunks])
        agree.setdefault(row["category"], []).append(expected == row["chunks"])
        if expected != row["chunks"]:
            print(f"{row['prompt']}\n  spaCy {expected}\n  here  {row['chunks']}")
    for category, values in agree.items():
        print(f"{category}: {sum(values)} of {len(values)} prompts")
    share = sum(map(sum, agree.values())) / max(1, len(rows))
    print(f"all: {100 * share:.1f} % of {len(rows)} prompts agree")
    sys.exit(share < arguments.least)


if __name__ == "__main__":
    main()
