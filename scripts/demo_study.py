#!/usr/bin/env python3
"""Compares models of the demo by a user study with simulated people, and by `pixart judge`. The scene judge of the demo
(`pixart demo read`) takes the place of people's eyes and of the vision-language model.

Usage: demo_study.py PIXART --prompts PROMPTS.jsonl --out FOLDER NAME=IMAGES NAME=IMAGES ... [--people N] [--seed N]

PROMPTS.jsonl has the captions of scenes, by whose ids the images of each model are called. FOLDER, which must be new, gets
`study/` (the scores of the study, which `pixart report` shows if FOLDER is in RUN/scores) and `judge-NAME/` of each model.
A simulated person prefers the image with more properties that a scene has at all (quality) or that the caption names
(alignment), each worth one logit, and makes errors accordingly; one of ten people answers at random.

Exit codes: 0 done, 1 a command failed, 78 an argument is wrong.
"""
import argparse
import base64
import http.server
import json
import math
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading

PROPERTIES = ("shape", "color", "background")
CAPTION = re.compile(r"a (?P<color>\w+) (?P<shape>\w+) on a (?P<background>\w+) background")
QUESTION = re.compile(r"Is the (?P<property>\w+) of the picture's scene (?P<value>\w+)\?")
RANDOM_PEOPLE = 10  # each tenth
PEOPLE_OF_A_SCREEN = 4
EXIT_BAD_INPUT = 78


def call(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"demo_study: {' '.join(str(word) for word in words)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def scenes_in(program, images):
    """{path below `images`: {shape, color, background}}, as the scene judge sees them"""
    lines = [json.loads(line) for line in call(program, "demo", "read", images).splitlines()]
    return {line.pop("image"): line for line in lines}


def wanted_by(caption):
    match = CAPTION.fullmatch(caption)
    if match is None:
        sys.exit(f"demo_study: '{caption}' is not the caption of a scene.")
    return match.groupdict()


def num_right(scene, wanted):
    return sum(scene[name] == wanted[name] for name in PROPERTIES)


def num_seen(scene):
    return sum(scene[name] is not None for name in PROPERTIES)


class Rater:
    """What one simulated person answers."""

    def __init__(self, generator, at_random, worth):
        self.generator, self.at_random, self.worth = generator, at_random, worth

    def order(self, screen):
        drawn = []
        for position, model in enumerate(screen["models"]):
            value = 0.0 if self.at_random else self.worth(screen["question"], model, screen["prompt"])
            if screen["check"] == "degraded" and screen["of"] == position and not self.at_random:
                value = -1e6
            drawn.append((value - math.log(-math.log(max(self.generator.random(), 1e-300))), position))
        return [[position] for _, position in sorted(drawn, reverse=True)]


def answers(key, worth, seed):
    generator = random.Random(seed)
    for number, person in enumerate(key["people"]):
        rater = Rater(generator, number % RANDOM_PEOPLE == RANDOM_PEOPLE - 1, worth)
        for trial, screen in enumerate(person["screens"]):
            yield json.dumps({"study": key["study"], "person": person["name"], "trial": trial, "order": rater.order(screen), "ms": 3000,
                              "seq": trial + 1})


def make_study(arguments, prompts, models, scratch):
    scenes = {name: scenes_in(arguments.pixart, folder) for name, folder in models.items()}
    call(arguments.pixart, "study", "make", *(f"{name}={folder}" for name, folder in models.items()), "--prompts", arguments.prompts,
         "--people", arguments.people, "--seen", min(PEOPLE_OF_A_SCREEN, arguments.people), "--seed", arguments.seed,
         "--title", "Simulated people, who see what the scene judge sees", "--out", scratch / "study")
    key = json.loads((scratch / "study.key.json").read_text())
    names = list(key["models"])

    def worth(question, model, prompt):
        scene = scenes[names[model]][f"{prompts[prompt]['id']}.png"]
        return num_right(scene, wanted_by(prompts[prompt]["prompt"])) if question == "alignment" else num_seen(scene)

    (scratch / "answers.jsonl").write_text("\n".join(answers(key, worth, arguments.seed)) + "\n")
    print(call(arguments.pixart, "study", "score", scratch / "answers.jsonl", "--key", scratch / "study.key.json", "--out",
               arguments.out / "study"), end="")


class SceneModel(http.server.BaseHTTPRequestHandler):
    """A vision-language model that knows scenes only, with the endpoint of one."""
    protocol_version = "HTTP/1.1"
    program, known, lock = None, {}, threading.Lock()

    def scene_of(self, address):
        data = base64.b64decode(address.partition(",")[2])
        with self.lock:
            if data not in self.known:
                with tempfile.TemporaryDirectory() as folder:
                    pathlib.Path(folder, "image.jpg" if data[:2] == b"\xff\xd8" else "image.png").write_bytes(data)
                    self.known[data] = next(iter(scenes_in(self.program, folder).values()))
            return self.known[data]

    def answer(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer({"data": [{"id": "scene-judge"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        parts = body["messages"][-1]["content"]
        text = " ".join(part["text"] for part in parts if part["type"] == "text")
        image = next(part["image_url"]["url"] for part in parts if part["type"] == "image_url")
        asked = QUESTION.search(text)
        is_so = asked is not None and self.scene_of(image)[asked["property"]] == asked["value"]
        chances = [{"token": word, "logprob": math.log(0.95 if (word == "Yes") == is_so else 0.05)} for word in ("Yes", "No")]
        chances.sort(key=lambda chance: -chance["logprob"])
        place = {**chances[0], "top_logprobs": chances}
        self.answer({"model": "scene-judge", "choices": [{"index": 0, "finish_reason": "stop", "logprobs": {"content": [place]},
                                                          "message": {"role": "assistant", "content": place["token"]}}],
                     "usage": {"prompt_tokens": 1, "completion_tokens": 1}})

    def log_message(self, *_):
        pass


def judge(arguments, prompts, models, scratch):
    questions = [{"image": f"{prompt['id']}.png", "id": name, "category": name, "group": str(prompt["id"]),
                  "question": f"Is the {name} of the picture's scene {value}?"}
                 for prompt in prompts for name, value in wanted_by(prompt["prompt"]).items()]
    (scratch / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in questions))
    SceneModel.program = arguments.pixart
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SceneModel)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, folder in models.items():
        out = arguments.out / f"judge-{name}"
        call(arguments.pixart, "judge", folder, "--protocol", "questions", "--questions", scratch / "questions.jsonl", "--endpoint",
             f"http://127.0.0.1:{server.server_port}/v1", "--model", "scene-judge", "--out", out)
        scores = json.loads((out / "summary.json").read_text())["scores"]
        print(f"  {name:16}" + "  ".join(f"{key} {value['percent']:.1f} %" for key, value in scores.items()), flush=True)
    server.shutdown()


def check(arguments):
    """Ends with all that is wrong; otherwise returns {name: folder of images} and the prompts."""
    problems, models, prompts = [], {}, []
    for model in arguments.models:
        name, equals, folder = model.partition("=")
        if not (name and equals):
            problems.append(f"'{model}': give a name and a folder of images, as NAME=IMAGES")
        elif not pathlib.Path(folder).is_dir():
            problems.append(f"{folder} is not a folder")
        models[name] = folder
    try:
        prompts = [json.loads(line) for line in arguments.prompts.read_text().splitlines()]
        if not all(isinstance(prompt, dict) and {"id", "prompt"} <= prompt.keys() for prompt in prompts):
            problems.append(f"{arguments.prompts}: each line needs id and prompt")
    except (OSError, ValueError) as error:
        problems.append(f"--prompts: {arguments.prompts} cannot be read: {error}")
    if arguments.out.exists():
        problems.append(f"--out: {arguments.out} exists already; name a new folder")
    if problems:
        print("\n".join(f"demo_study: {problem}" for problem in problems), file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    return models, prompts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pixart", metavar="PIXART", type=pathlib.Path)
    parser.add_argument("models", metavar="NAME=IMAGES", nargs="+")
    parser.add_argument("--prompts", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    models, prompts = check(arguments)
    arguments.out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        print(f"a study of {len(models)} models, {arguments.people} simulated people")
        make_study(arguments, prompts, models, pathlib.Path(scratch))
        print("what pixart judge says")
        judge(arguments, prompts, models, pathlib.Path(scratch))


main()
