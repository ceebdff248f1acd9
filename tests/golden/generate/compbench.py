"""Golden case of kind compbench: the arithmetic of T2I-CompBench's scripts on random answers, boxes and scores.

Written from the facts that the scripts state (BLIP_vqa.py, 2D_spatial_eval.py, 3_in_1.py of the benchmark's repository), in numpy and without their code.
`--official REPOSITORY` also runs the scripts' own functions on the same input, and compares.

Run:  python compbench.py OUT [--official T2I-CompBench]
"""
import argparse
import ast
import json
import pathlib
import random

import numpy as np
from case_io import fresh_folder, provenance

SEED = 27
RELATIONS = ["on side of", "next to", "near", "on the left of", "on the right of", "on the bottom of", "on the top of", "on top of"]
NEAR = RELATIONS[:3]
DIRECTIONS = {"on the left of": (0, 1), "on the right of": (0, -1), "on the top of": (1, 1), "on the bottom of": (1, -1)}


def four_digits(value):
    return "%.4f" % value


def attribute_score(answers):
    """Answers are written with four digits and read again; their product is one of float32."""
    product = np.float32(1)
    for answer in answers:
        product = np.float32(product * np.float32(float(four_digits(answer))))
    return float(four_digits(float(product)))


def kept(relation, first, second):
    """1 where the relation holds; less where boxes overlap by more than a tenth, or are farther apart than 150 pixels."""
    distance = [(second[axis] + second[axis + 2]) / 2 - (first[axis] + first[axis + 2]) / 2 for axis in (0, 1)]
    if relation in NEAR:
        return 1 if min(map(abs, distance)) < 150 else 150 / max(map(abs, distance))
    if relation not in DIRECTIONS:
        return 0
    axis, sign = DIRECTIONS[relation]
    if distance[axis] * sign <= 0 or abs(distance[axis]) <= abs(distance[1 - axis]):
        return 0
    sides = [max(0, min(first[a + 2], second[a + 2]) - max(first[a], second[a])) for a in (0, 1)]
    both = sides[0] * sides[1]
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    overlap = both / (area(first) + area(second) - both)
    return 1 if overlap < 0.1 else 0.1 / overlap


def spatial_score(relation, objects, boxes):
    found = [next((box for box in boxes if box["label"] == name), None) for name in objects]
    score = sum(0.25 * box["score"] for box in found if box)
    if all(found):
        score += kept(relation, found[0]["box"], found[1]["box"]) / 2
    return score if score >= 0.5 else 0


def random_box(draw, label):
    x, y = draw.uniform(0, 400), draw.uniform(0, 400)
    return {"label": label, "score": draw.uniform(0.3, 1), "box": [x, y, x + draw.uniform(20, 300), y + draw.uniform(20, 300)]}


def spatial_rows(draw, count):
    rows = []
    for i in range(count):
        relation = RELATIONS[i % len(RELATIONS)]
        labels = draw.choice([["dog", "cup"], ["cup", "dog"], ["dog"], ["cup"], [], ["dog", "cup", "dog", "cup"]])
        boxes = [random_box(draw, label) for label in labels]
        rows.append({"prompt": f"a dog {relation} a cup", "boxes": boxes, "score": spatial_score(relation, ["dog", "cup"], boxes)})
    return rows


def complex_rows(draw, count):
    rows = []
    for i in range(count):
        attributes, spatial, action = float(four_digits(draw.random())), draw.choice([0, draw.uniform(0.5, 1)]), draw.uniform(0.1, 0.4)
        kind = ["spatial", "action", "both"][i % 3]
        score = {"spatial": np.float64(spatial + attributes) * 0.5, "action": np.float64(action + attributes) * 0.5,
                 "both": np.float64(attributes + spatial + action) / 3}[kind]
        rows.append({"kind": kind, "attributes": attributes, "spatial": spatial, "action": action, "score": float(score)})
    return rows


def compare_with_official(repository, config):
    """Runs the benchmark's own rule of positions on all pairs of boxes of the case."""
    source = (pathlib.Path(repository) / "UniDet_eval/2D_spatial_eval.py").read_text()
    rule = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "determine_position")
    names = {}
    exec(compile(ast.Module([rule], []), "2D_spatial_eval.py", "exec"), names)
    count = 0
    for row in config["spatial"]:
        for first in row["boxes"]:
            for second in row["boxes"]:
                relation = next(word for word in RELATIONS if word in row["prompt"])
                corners = lambda box: dict(zip(("x_min", "y_min", "x_max", "y_max"), box["box"]))
                theirs = names["determine_position"](relation, corners(first), corners(second))
                assert theirs == kept(relation, first["box"], second["box"]), (relation, first, second)
                count += 1
    print(f"{count} positions equal the benchmark's")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--official")
    arguments = parser.parse_args()
    draw = random.Random(SEED)
    answers = [[draw.random() ** 0.3 for _ in range(i % 9)] for i in range(36)]
    attributes = [{"answers": row, "score": attribute_score(row)} for row in answers]
    mean = lambda rows: sum(row["score"] for row in rows) / len(rows)
    config = {"attributes": attributes, "spatial": spatial_rows(draw, 64), "complex": complex_rows(draw, 24)}
    config["means"] = {name: mean(rows) for name, rows in list(config.items())}
    folder = fresh_folder(arguments.out, "compbench", "recorded")
    case = {"kind": "compbench", "config": config, "tolerance": {"atol": 0}, "provenance": provenance(SEED, "numpy"),
            "why": "the sums of T2I-CompBench's scripts: products of rounded answers, positions of boxes, means of complex prompts"}
    (folder / "case.json").write_text(json.dumps(case, ensure_ascii=True, separators=(",", ":")).replace('},{', '},\n{') + "\n")
    if arguments.official:
        compare_with_official(arguments.official, config)


if __name__ == "__main__":
    main()
