#!/usr/bin/env python3
"""Zero, less and far too much for every number: each key of the run file, each option of the commands. None is a crash.

Usage: numbers_test.py SOURCE_DIR PIXART [TEST...]
"""
import concurrent.futures
import functools
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE, PIXART = pathlib.Path(sys.argv[1]), sys.argv[2]
DONE, BAD_INPUT = 0, 78
VALUES = {"integer": ("0", "-1", "9223372036854775807"), "number": ("0", "-1", "1e300")}
AT_ONCE = 40  # wrong keys; the program names at most fifty
# Where a key of a section is set; %s is "KEY: VALUE" or, without braces, KEY=VALUE.
SECTIONS = {"": "%s", "sources[]": "sources.scenes.%s", "stages[]": "stages.text.%s",
            "sources[].captions[]": "sources.scenes.captions=[{name: a, %s}]",
            "sources[].scores.limits[]": "sources.scenes.scores={file: scores.jsonl, limits: [{name: a, %s}]}",
            "stages[].mix[]": "stages.text.mix=[{source: scenes, %s}]",
            "stages[].resolutions[]": "stages.text.resolutions=[{%s}]",
            "evaluation.bars[]": "evaluation={bars: [{metric: stage2.all, %s}]}"}
# Commands with what they need before their options. The weights are not there, which is said after wrong options.
COMMANDS = (("plan", "run.yaml"), ("train", "run.yaml", "--check", "--file-only"), ("sample", "nowhere", "a"), ("convert", "nowhere", "out"),
            ("caption", "nowhere"), ("report", "nowhere"))


def pixart(*arguments):
    try:
        result = subprocess.run([PIXART, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        return None, "it had not ended after five minutes"
    return result.returncode, result.stdout


def number_keys(reference):
    """(section, key, integer or number, whether it is a list, what is allowed in words)"""
    section = ""
    for line in reference.splitlines():
        if heading := re.match(r"## `(.*)`", line):
            section = heading[1]
        row = re.match(r"\| `(\w+)` \| (list of )?(integer|number)s?( or null)? \|[^|]*\|([^|]*)\|", line)
        if row:
            yield section, row[1], row[3], row[2] is not None, row[5].strip()


def is_refused(allowed, value):
    """By the words of the reference; without words nothing is."""
    if limits := re.match(r"more than (\S+), at most (\S+)", allowed):
        return not float(limits[1]) < value <= float(limits[2])
    if limits := re.match(r"(\S+) to ([^\s,;]+)", allowed):
        return not float(limits[1]) <= value <= float(limits[2])
    if limits := re.match(r"at least (\S+)", allowed):
        return value < float(limits[1])
    return False


def setting(section, key, value):
    if section.startswith("stages[].") and section not in SECTIONS:
        place = "stages.text." + section.removeprefix("stages[].") + ".%s"
    else:
        place = SECTIONS.get(section, section + ".%s")
    return place % (f"{key}: {value}" if "{" in place else f"{key}={value}")


def number_options(help_text):
    """(option, integer or number, the lowest and highest value of its range, if help says them)"""
    for option, kind, low, high in re.findall(r"^  (?:-\w,)?(--[\w-]+) (U?INT|FLOAT)(?::\w+ in \[(\S+) - ([^\s\]]+)\])?", help_text, re.M):
        yield option, "number" if kind == "FLOAT" else "integer", (float(low), float(high)) if low else None


@functools.cache
def help_of(*command):
    code, text = pixart(*command, "--help")
    assert code == DONE, text
    return text


def commands(*parents):
    """Every command, as the words that name it."""
    for name in re.findall(r"^  ([a-z][a-z-]*)  ", help_of(*parents).partition("Subcommands:")[2], re.M):
        yield (*parents, name)
        yield from commands(*parents, name)


def whole_numbers(help_text):
    """(option, whether it is unsigned)"""
    for option, kind in re.findall(r"^  (?:-\w,)?(--[\w-]+) (U?INT)\b", help_text, re.M):
        yield option, kind == "UINT"


def in_groups(settings):
    """At most AT_ONCE settings, each of another key: of two of one key the last would count."""
    groups = []
    for changed in settings:
        key = changed.partition("=")[0]
        fitting = (group for group in groups if len(group) < AT_ONCE and all(other.partition("=")[0] != key for other in group))
        group = next(fitting, None)
        if group is None:
            groups.append(group := [])
        group.append(changed)
    return groups


class Numbers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        text = (SOURCE / "tests/cli/process.cpp").read_text()
        run = re.search(r'tiny_run_yaml\(\) \{\s*return R"\((.*?)\)";', text, re.S)[1]
        cls.file = pathlib.Path(cls.scratch.name) / "run.yaml"
        cls.file.write_text(run)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def in_place(self, arguments):
        return [str(self.file) if argument == "run.yaml" else str(self.file.parent / argument) if argument in ("nowhere", "out") else argument
                for argument in arguments]

    def all_of(self, check, cases):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            wrong = [problem for problem in pool.map(lambda case: check(*case), cases) if problem]
        self.assertEqual(wrong, [], "\n".join(wrong))

    def check_key(self, changed, key):
        """A value that the reference allows is refused with the key's name, or the file is good; then it can be planned."""
        code, output = pixart("train", str(self.file), "--check", "--file-only", "--set", changed)
        if code == BAD_INPUT and re.search(rf"\b{key}\b", output.replace(changed, "", 1)):
            return ""
        if code != DONE:
            return f"train --check --set '{changed}': {code}: {output}"
        code, output = pixart("plan", str(self.file), "--set", changed)
        return "" if code in (DONE, BAD_INPUT) else f"plan --set '{changed}': {code}: {output}"

    def test_every_number_key(self):
        code, reference = pixart("config-reference")
        self.assertEqual(code, DONE)
        refused, others = {}, []  # refused: by value, so that each key is there once
        for section, key, kind, is_list, allowed in number_keys(reference):
            for value in VALUES[kind]:
                changed = setting(section, key, f"[{value}]" if is_list else value)
                if is_refused(allowed, float(value)):
                    refused.setdefault(value, []).append(changed)
                else:
                    others.append((changed, key))
        self.assertGreater(sum(map(len, refused.values())), 120)
        for group in (group for values in refused.values() for group in in_groups(values)):
            code, output = pixart("train", str(self.file), "--check", "--file-only", *(part for changed in group for part in ("--set", changed)))
            self.assertEqual(code, BAD_INPUT, output)
            self.assertEqual([changed for changed in group if f"--set {changed}: " not in output], [], output)
        self.all_of(self.check_key, others)

    def check_option(self, command, option, value, limits):
        """Outside its range, the option is named; otherwise the command does what it can."""
        code, output = pixart(*self.in_place(command), f"{option}={value}")
        if code not in (DONE, BAD_INPUT):
            return f"{command} {option}={value}: {code}: {output}"
        is_outside = limits is not None and not limits[0] <= float(value) <= limits[1]
        is_named = code == BAD_INPUT and option in output
        return f"{command} {option}={value} is not refused: {output}" if is_outside and not is_named else ""

    def test_every_number_option(self):
        cases = []
        for command in COMMANDS:
            options = list(number_options(help_of(command[0])))
            self.assertGreater(len(options), 0, command)
            cases += [(command, option, value, limits) for option, kind, limits in options for value in VALUES[kind]]
        self.assertGreater(len(cases), 100)
        self.all_of(self.check_option, cases)

    def check_64_bits(self, command, option, value):
        code, output = pixart(*self.in_place(command), f"{option}={value}")
        return "" if code == BAD_INPUT and option in output else f"{command} {option}={value}: {code}: {output}"

    def test_numbers_that_are_not_finite_are_refused(self):
        """In every command; "nan" is in each range."""
        cases = []
        for command in commands():
            for option, kind, _ in number_options(help_of(*command)):
                if kind == "number":
                    cases += [(command, option, value) for value in ("nan", "inf", "1e999")]
        self.assertGreater(len(cases), 30)
        self.all_of(self.check_64_bits, cases)

    def test_numbers_beyond_64_bits_are_refused(self):
        """In every command; a parser that gives the largest number instead would change the seed without a word."""
        cases, unsigned = [], 0
        for command in commands():
            for option, is_unsigned in whole_numbers(help_of(*command)):
                cases.append((command, option, "99999999999999999999999"))
                unsigned += is_unsigned
                if is_unsigned:
                    cases += [(command, option, "-1"), (command, option, " -1")]
        self.assertGreater(unsigned, 2)
        self.all_of(self.check_64_bits, cases)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
