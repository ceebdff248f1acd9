#!/usr/bin/env python3
"""`pixart study` from images to scores: what is made, what answers say, what the server gives and stores, and hostile prompts,
names, plans and answers.

Usage: study_test.py SOURCE_DIR PIXART [TEST...]
"""
import concurrent.futures
import html.parser
import http.client
import json
import pathlib
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE, PIXART = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
sys.path.insert(0, str(SOURCE / "tests/support"))
import study_images

DONE, STORAGE, BAD_INPUT = 0, 74, 78
SECRET = "secret-model"
MODELS, PROMPTS = [SECRET, "b", "c"], 4
REQUESTS = 1000
SECONDS_TO_ASK, SLOW = 10, 100  # src/study/serve.cpp; more connections than it has threads


def pixart(*arguments, folder, code=DONE):
    result = subprocess.run([PIXART, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == code, f"{arguments}: {result.returncode} in place of {code}\n{result.stdout}{result.stderr}"
    return result.stdout if code == DONE else result.stdout + result.stderr


def make(folder, *options, models=MODELS, out="study", seed=7, code=DONE):
    return pixart("study", "make", *(f"{m}={m}" for m in models), "--prompts", "prompts.txt", "--people", "6",
                  *([] if "--seen" in options else ["--seen", "3"]), "--seed", seed, "--out", out,
                  *options, folder=folder, code=code)


class Scratch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.prompts = study_images.make_models(cls.folder, MODELS, PROMPTS)
        make(cls.folder)
        cls.key = json.loads((cls.folder / "study.key.json").read_text())
        cls.plan = json.loads((cls.folder / "study/plan.json").read_text())

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def answers(self, at_random=(), quick=()):
        """Everybody prefers the first models, three times out of four."""
        draw = random.Random(3)
        for person in self.key["people"]:
            for trial, screen in enumerate(person["screens"]):
                guesses = person["name"] in at_random
                worth = [-9 if screen["check"] == "degraded" and screen["of"] == i else -m for i, m in enumerate(screen["models"])]
                order = sorted(range(len(worth)), key=lambda i: -worth[i])
                is_check = screen["check"] != "none"
                if draw.random() < (0.5 if guesses else 0 if is_check else 0.25):
                    order.reverse()
                yield {"study": self.key["study"], "person": person["name"], "trial": trial, "order": [[i] for i in order],
                       "ms": 200 if person["name"] in quick else 4000, "seq": trial + 1}

    def score(self, lines, *options, code=DONE, key="study.key.json"):
        (self.folder / "answers.jsonl").write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
        printed = pixart("study", "score", "answers.jsonl", *(["--key", key] if key else []), *options, folder=self.folder, code=code)
        return printed


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.scripts and self.tags[-1][0] == "script":
            self.scripts[-1] += data


class Make(Scratch):
    def test_nothing_that_people_get_names_a_model(self):
        for file in (self.folder / "study").rglob("*"):
            self.assertNotIn(SECRET, file.name)
            if file.is_file():
                self.assertNotIn(SECRET.encode(), file.read_bytes(), file)
        self.assertIn(SECRET, (self.folder / "study.key.json").read_text())

    def test_the_images_are_those_of_the_key(self):
        names = {f.name for f in (self.folder / "study/images").iterdir()}
        self.assertEqual(names, set(self.plan["images"]))
        self.assertEqual(names, set(self.key["images"]))

    def test_the_page_needs_no_network_and_runs_one_script(self):
        page = Page((self.folder / "study/index.html").read_text())
        self.assertEqual(len(page.scripts), 2)  # the plan, which is data, and the script
        self.assertEqual(json.loads(page.scripts[0])["study"], self.key["study"])
        policy = next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
        self.assertRegex(policy, r"^default-src 'none'; .*script-src 'sha256-[A-Za-z0-9+/=]{44}'; connect-src 'self'$")
        for tag, attributes in page.tags:
            self.assertFalse({"src", "href", "onclick", "onerror"} & set(attributes) and tag != "img", (tag, attributes))

    def test_hostile_prompts_stay_data(self):
        prompts = {s["prompt"] for p in json.loads(Page((self.folder / "study/index.html").read_text()).scripts[0])["people"] for s in p["screens"] if "prompt" in s}
        self.assertEqual(prompts, set(self.prompts))
        self.assertEqual(sum(study_images.EVIL in p for p in prompts), 1)

    def test_the_address_is_in_the_policy(self):
        make(self.folder, "--post", "https://example.org:8443/answers?x=1", out="posting")
        policy = re.search(r'content="(default-src[^"]*)"', (self.folder / "posting/index.html").read_text())[1]
        self.assertTrue(policy.endswith("connect-src 'self' https://example.org:8443/answers?x=1"), policy)
        for wrong in "http://a; script-src *", 'http://a" onload="x', "javascript:alert(1)", "http://*", "http://a'b":
            self.assertIn("cannot be named in the policy", make(self.folder, "--post", wrong, out="wrong", code=BAD_INPUT))
        self.assertFalse((self.folder / "wrong").exists())

    def test_missing_and_damaged_images_are_named_at_once(self):
        study_images.make_models(self.folder / "other", ["x", "y"], PROMPTS)
        (self.folder / "other/x/0001.png").unlink()
        (self.folder / "other/y/0003.png").write_bytes(b"<html>")
        output = pixart("study", "make", "x=other/x", "y=other/y", "--prompts", "prompts.txt", "--out", "none", folder=self.folder, code=BAD_INPUT)
        self.assertIn("x has no image other/x/0001.png for prompt 1", output)
        self.assertIn("0003.png", output)
        self.assertFalse((self.folder / "none").exists() or (self.folder / "none.key.json").exists())

    def test_layouts_of_several_images_and_other_endings(self):
        for name in "p", "q":
            study_images.make_models(self.folder / "several", [name], PROMPTS)
            for i in range(PROMPTS):
                file = self.folder / f"several/{name}/{i:04}.png"
                file.rename(file.with_name(f"{i:04}_1.png" if name == "p" else f"{i:04}.jpg"))  # told by content
        asked = ["study", "make", "p=several/p", "q=several/q", "--prompts", "prompts.txt", "--people", "2", "--seen", "1", "--image", "1"]
        pixart(*asked, "--out", "from-several", folder=self.folder)
        self.assertIn("3 images of each", pixart(*asked[:-1], "5", "--count", "3", "--out", "x", folder=self.folder, code=BAD_INPUT))

    def test_what_cannot_be(self):
        for options, text in ((("--seen", "7"), "nobody sees a comparison twice"), (("--design", "trio"), "unknown --design 'trio'"),
                              (("--questions", "beauty"), "unknown question 'beauty'"), (("--questions", "quality,alignment,quality"), "one question twice"),
                              (("--title", "t" * 100_001), "has more than 100,000 bytes"), (("--key", "new/key.json"), "outside of it"), ((), "a new folder")):
            out = "study" if not options else "new"
            self.assertIn(text, make(self.folder, *options, out=out, code=BAD_INPUT), options)
        output = pixart("study", "make", "a", "b=missing", "--prompts", "no-prompts.txt", "--out", "x", folder=self.folder, code=BAD_INPUT)
        for text in "NAME=FOLDER", "missing is not a folder", "no-prompts.txt":  # all at once
            self.assertIn(text, output)

    def test_the_same_seed_gives_the_same_study(self):
        make(self.folder, out="again")
        for name in "plan.json", "index.html":
            self.assertEqual((self.folder / "again" / name).read_bytes(), (self.folder / "study" / name).read_bytes())
        make(self.folder, seed=8, out="else")
        self.assertFalse(set(self.plan["images"]) & set(json.loads((self.folder / "else/plan.json").read_text())["images"]))


class Score(Scratch):
    def test_scores_exclusions_and_pages(self):
        printed = self.score(self.answers(at_random={"p02"}, quick={"p05"}), "--out", "scores")
        self.assertIn("4 of 6 people are used", printed)
        scores = json.loads((self.folder / "scores/study.json").read_text())
        self.assertEqual({e["person"] for e in scores["excluded"]}, {"p02", "p05"})
        self.assertIn("attention", str(scores["excluded"][0]["reasons"]))
        self.assertIn("too fast", str(scores["excluded"][1]["reasons"]))
        for question in scores["questions"]:
            strengths = [m["strength"] for m in question["models"]]
            self.assertEqual(strengths, sorted(strengths, reverse=True))
            for model in question["models"]:
                low, high = model["preferred_interval"]
                self.assertTrue(0 <= low <= model["preferred"] <= high <= 1)
            self.assertEqual(len(question["pairs"]), 3)
        page = (self.folder / "scores/study.html").read_text()
        self.assertIn("<svg", page)
        self.assertNotIn("<script", page)
        self.score(self.answers(), "--out", "scores")  # replaces its own files
        for name in "study.json", "study.html":
            (self.folder / "thesis").mkdir(exist_ok=True)
            (self.folder / "thesis" / name).write_text("mine")
            self.assertIn(f"{name} is there and is not a", self.score(self.answers(), "--out", "thesis", code=BAD_INPUT))
            self.assertEqual([file.read_text() for file in (self.folder / "thesis").iterdir()], ["mine"])
            (self.folder / "thesis" / name).unlink()

    def test_report_shows_the_study(self):
        subprocess.run([sys.executable, SOURCE / "tests/support/make_run.py", self.folder / "run"], check=True)
        self.score(self.answers(), "--out", "run/scores/people")
        (self.folder / "run/scores/damaged").mkdir()
        (self.folder / "run/scores/damaged/study.json").write_text('{"kind": "pixart study scores", "questions": ' + "[" * 9000)
        pixart("report", "run", folder=self.folder)
        page = (self.folder / "run/report.html").read_text()
        self.assertIn("Study: Which image is better?", page)
        self.assertIn("scores/damaged/study.json is not a file of pixart study score", page)

    def test_hostile_answers_change_nothing(self):
        good = list(self.answers())
        clean = self.score(good, "--json")
        first = good[0]
        evil = ["[" * 100_000, "{" * 1000, "\0\0\0", "\x1b[31m", '{"study": 1}', json.dumps({**first, "order": [[0], [0]]}), json.dumps({**first, "trial": 10**30}),
                json.dumps({**first, "person": "../../x"}), json.dumps({**first, "ms": "1"}), json.dumps({**first, "study": "other"}), "a" * 3_000_000,
                json.dumps({**first, "seq": -5}), json.dumps({**first, "order": [[0, 1], []]}), '{"__proto__": 1}', "NaN", "\u2028"]
        self.assertEqual(self.score(evil[:8] + good + evil[8:], "--json"), clean)

    def test_a_later_answer_replaces_an_earlier_one_and_copies_count_once(self):
        good = list(self.answers())
        clean = self.score(good, "--json")
        earlier = [{**line, "order": line["order"][::-1], "seq": 0} for line in good]
        self.assertEqual(self.score(earlier + good + good, "--json"), clean)

    def test_what_cannot_be(self):
        self.assertIn("not one answer", self.score(["{}"], code=BAD_INPUT))
        self.assertIn("is not a file of the kind", pixart("study", "score", "answers.jsonl", "--key", "study/plan.json", folder=self.folder, code=BAD_INPUT))
        self.assertIn("none.jsonl", pixart("study", "score", "none.jsonl", "--key", "study.key.json", folder=self.folder, code=BAD_INPUT))

    def test_a_changed_key_is_refused(self):
        def everywhere(name, value):
            return lambda key: [screen.update({name: value}) for person in key["people"] for screen in person["screens"]]

        def of_one_name(key):  # with screens of several numbers of images
            key["people"][1]["name"] = key["people"][0]["name"]
            for screen in key["people"][0]["screens"]:
                screen["models"] = [0, 1, 2] * 4

        answers = list(self.answers())
        changes = [(lambda key: key["people"][1].update(name="p01"), "'p01', which is given twice"), (of_one_name, "it has 12 images"),
                   (everywhere("models", [0, 1, 2] * 4), "it has 12 images"), (everywhere("models", [4294967296, 1]), "a model is not a whole number from 0 to 2"),
                   (everywhere("models", [0, 99999999999]), "a model is not a whole number"), (lambda key: key.update(questions=["quality"] * 300), "is asked twice"),
                   (lambda key: key.update(questions=[]), "no question is asked"), (lambda key: key.update(models=["a"] * 3), "'a', which is given twice"),
                   (lambda key: key["people"][0].update(screens=[]), "p01 has no screens"),
                   (lambda key: (key.update(design="ranking", models=["a", "b"]), everywhere("models", [0, 1] * 6)(key)), "it has 12 images")]
        for change, text in changes:
            key = json.loads(json.dumps(self.key))
            change(key)
            (self.folder / "changed.key.json").write_text(json.dumps(key))
            output = self.score(answers, "--key", "changed.key.json", code=BAD_INPUT, key=None)
            self.assertIn("changed.key.json was changed or is damaged", output)
            self.assertIn(text, output)


class Serve(Scratch):
    def setUp(self):
        self.server = None
        self.port = 0
        self.start()

    def tearDown(self):
        self.stop()
        for file in self.folder.glob("study.answers.sqlite*"):
            file.unlink()

    def start(self):
        self.server = subprocess.Popen([PIXART, "study", "serve", "study", "--port", str(self.port), "--collect", "collect123"], cwd=self.folder,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.links = {}
        while "pages" not in self.links:
            line = self.server.stdout.readline()
            self.assertTrue(line, "the server ended")
            word, _, rest = line.strip().partition(" ")
            self.links[word] = re.sub(r".*(http://[^/]*)?(/(s|collect)/.*)", r"\2", rest)
            self.port = int(re.search(r":(\d+)/", line)[1])

    def stop(self):
        self.server.send_signal(signal.SIGKILL)
        self.server.wait()
        self.server.stdout.close()

    def ask(self, method, path, body=None, headers={}):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def raw(self, text):
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            try:
                connection.sendall(text)
                return connection.recv(65536)
            except ConnectionError:
                return b""

    def line(self, person="p01", trial=0, seq=1, **changed):
        return json.dumps({"study": self.key["study"], "person": person, "trial": trial, "order": [[1], [0]], "ms": 5, "seq": seq, **changed}) + "\n"

    def exported(self):
        pixart("study", "export", "study.answers.sqlite", "out.jsonl", folder=self.folder)
        return [json.loads(line) for line in (self.folder / "out.jsonl").read_text().splitlines()]

    def test_a_link_gives_the_page_images_and_session(self):
        home = self.links["p01"]
        status, page, headers = self.ask("GET", home)
        self.assertEqual((status, page), (200, (self.folder / "study/index.html").read_bytes()))
        self.assertEqual((headers["Referrer-Policy"], headers["X-Content-Type-Options"]), ("no-referrer", "nosniff"))
        image = self.plan["images"][0]
        self.assertEqual(self.ask("GET", f"{home}images/{image}")[1], (self.folder / "study/images" / image).read_bytes())
        self.assertEqual(json.loads(self.ask("GET", home + "session")[1]), {"person": "p01", "answers": []})
        self.assertEqual(self.ask("GET", home[:-1])[0], 301)

    def test_nothing_else_is_reachable(self):
        home = self.links["p01"]
        (self.folder / "study/images/more.png").write_bytes(b"not of the plan")
        paths = ["/", "/study", "/s/", "/s/x/", "/s/" + "A" * 22 + "/", home + "plan.json", home + "images/", home + "images/more.png", home + "../study.key.json",
                 home + "images/../plan.json", home + "images/..%2f..%2fstudy.key.json", home + "images/%2e%2e/%2e%2e/study.key.json", home + "%00", home + "/etc/passwd",
                 "//etc/passwd", "/collect/collect123", "/collect/other", home + "answers", home + "images/" + "a" * 5000, "/s/" + "%41" * 1000]
        for path in paths:
            status, body, _ = self.ask("GET", path)
            self.assertEqual((status, body), (404, b"not found"), path)
        self.assertEqual(self.ask("GET", "/" + "a" * 20000)[0], 414)
        self.assertEqual(self.ask("POST", "/collect/other", self.line())[0], 404)
        self.assertEqual(self.ask("POST", "/s/" + "A" * 22 + "/answers", self.line())[0], 404)
        for method in "PUT", "DELETE", "PATCH":
            self.assertEqual(self.ask(method, home + "answers", self.line())[0], 405)

    def test_sizes_are_limited(self):
        home = self.links["p01"].encode()
        start = b"POST " + home + b"answers HTTP/1.1\r\nHost: x\r\n"
        for headers, status in ((b"Content-Length: 999999999999\r\n\r\n", b"413"), (b"Transfer-Encoding: chunked\r\n\r\nffffff\r\n", b"400"), (b"\r\n", b"411"),
                                (b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", b"400"), (b"Content-Length: -1\r\n\r\n", b"411"),
                                (b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", b"400")):
            self.assertIn(status, self.raw(start + headers).split(b"\r\n")[0], headers)
        self.assertEqual(self.ask("POST", self.links["p01"] + "answers", "\n" * 5000)[0], 400)
        self.raw(b"\0\1\2garbage\r\n\r\n")
        self.assertEqual(self.ask("GET", self.links["p01"])[0], 200)

    def test_slow_connections_are_closed_and_others_are_answered(self):
        def slow():
            connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
            return connection

        def is_open(connection):
            try:
                connection.sendall(b"a\r\nX: ")
                return True
            except OSError:
                connection.close()
                return False

        connections, asked = [slow() for _ in range(SLOW)], time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            honest = pool.submit(self.ask, "GET", self.links["p01"])
            while connections and time.monotonic() < asked + 3 * SECONDS_TO_ASK:
                connections = [one for one in connections if is_open(one)]
                time.sleep(0.5)
            self.assertEqual(honest.result()[0], 200)
        self.assertEqual(connections, [])
        self.assertLess(time.monotonic() - asked, 2 * SECONDS_TO_ASK)

    def test_headers_and_ranges_are_limited(self):
        home = self.links["p01"].encode()
        for line in b"X-a: " + b"b" * 4000 + b"\r\n", b"a:\r\n" * 1000, b"c" * 4000:
            with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
                connection.sendall(b"GET " + home + b" HTTP/1.1\r\n")
                with self.assertRaises(ConnectionError):
                    for _ in range(10_000):
                        connection.sendall(line)
        page = (self.folder / "study/index.html").read_bytes()
        self.assertEqual(self.ask("GET", self.links["p01"], headers={"Range": "bytes=" + ",".join(["0-"] * 1000)})[:2], (200, page))
        self.assertEqual(self.ask("GET", self.links["p01"], headers={"X-a": "b" * 8000})[:2], (200, page))

    def test_answers_are_checked_and_stored_whole(self):
        answers = self.links["p01"] + "answers"
        for body in ("", "hello", "[" * 5000, self.line(person="p02"), self.line(study="x"), self.line(trial=999), self.line(order=[[0]]),
                     self.line() + self.line(trial=1, ms=-1)):
            self.assertEqual(self.ask("POST", answers, body)[0], 400, body)
        self.assertEqual(self.exported(), [])
        body = self.line() + self.line(trial=1)
        for _ in range(2):  # a page that heard no answer sends again
            status, text, headers = self.ask("POST", answers, body, {"Content-Type": "text/plain"})
            self.assertEqual((status, json.loads(text)), (200, {"stored": 2}))
        self.assertEqual([line["trial"] for line in self.exported()], [0, 1])
        self.ask("POST", answers, self.line(seq=9, order=[[0, 1]], more="<script>"))
        session = json.loads(self.ask("GET", self.links["p01"] + "session")[1])
        self.assertEqual(session["answers"][0], {"trial": 0, "answer": {"order": [[0, 1]], "ms": 5, "seq": 9}})
        self.assertEqual(json.loads(self.ask("GET", self.links["p02"] + "session")[1])["answers"], [])

    def test_pages_from_a_disk_may_send(self):
        status, _, headers = self.ask("OPTIONS", "/collect/collect123", headers={"Origin": "null", "Access-Control-Request-Method": "POST"})
        self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (200, "*"))
        status, _, headers = self.ask("POST", "/collect/collect123", self.line(person="p03"), {"Origin": "null"})
        self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (200, "*"))
        self.assertEqual([line["person"] for line in self.exported()], ["p03"])

    def test_kills_lose_no_acknowledged_answer(self):
        """A thousand requests from ten people's browsers; the server is killed ten times meanwhile."""
        kills, acknowledged = 10, set()
        screens = len(self.key["people"][0]["screens"])
        per_round = REQUESTS // kills

        def send(number):
            person = f"p{number % 6 + 1:02}"
            try:
                status, _, _ = self.ask("POST", self.links[person] + "answers", self.line(person=person, trial=number % screens, seq=number))
            except (OSError, http.client.HTTPException):
                return None
            return (person, number) if status == 200 else None

        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            for kill in range(kills):
                sent = [pool.submit(send, kill * per_round + i) for i in range(per_round)]
                sent[per_round // 2].result()  # in the middle of the requests
                self.stop()
                acknowledged |= {done.result() for done in sent} - {None}
                links = self.links
                self.start()
                self.assertEqual(self.links, links)
        stored = {(line["person"], line["seq"]) for line in self.exported()}
        self.assertGreater(len(acknowledged), REQUESTS // 4)
        self.assertLessEqual(acknowledged, stored)
        database = sqlite3.connect(self.folder / "study.answers.sqlite")
        self.assertEqual(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
        database.close()

    def test_whole_studies_go_from_the_server_to_scores(self):
        by_person = {}
        for line in self.answers():
            by_person.setdefault(line["person"], []).append(json.dumps(line))
        for person, lines in by_person.items():
            self.assertEqual(self.ask("POST", self.links[person] + "answers", "\n".join(lines))[0], 200)
        self.exported()
        self.assertIn("6 of 6 people are used", pixart("study", "score", "out.jsonl", "--key", "study.key.json", folder=self.folder))

    def test_a_port_in_use_and_another_study_are_refused(self):
        output = pixart("study", "serve", "study", "--port", self.port, folder=self.folder, code=BAD_INPUT)
        self.assertIn("in use", output)
        if not (self.folder / "second").exists():
            make(self.folder, seed=9, out="second")
        self.assertIn("another study", pixart("study", "serve", "second", "--answers", "study.answers.sqlite", "--port", "0", folder=self.folder, code=BAD_INPUT))
        plan = json.loads((self.folder / "second/plan.json").read_text())
        plan["images"][0] = "../../study.key.json"
        (self.folder / "second/plan.json").write_text(json.dumps(plan))
        self.assertIn("not a name of", pixart("study", "serve", "second", "--port", "0", folder=self.folder, code=BAD_INPUT))
        plan = json.loads((self.folder / "study/plan.json").read_text())
        plan["people"][1]["name"] = "p01"
        (self.folder / "second/plan.json").write_text(json.dumps(plan))
        self.assertIn("'p01', which is given twice", pixart("study", "serve", "second", "--port", "0", folder=self.folder, code=BAD_INPUT))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
