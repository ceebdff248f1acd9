"""Comments, messages and help texts: one word for one thing, plain English, and no line that was torn by a formatter.

Usage: prose_test.py SOURCE_DIR
"""

import pathlib
import re
import sys

# Not in comments and string literals; the reason is the word that this project uses.
WORDS = {
    r"pictures?": "image", r"moving averages?": "EMA", r"averaged weights": "EMA weights", r"beside": "next to, in addition to",
    r"behind": "after", r"so many": "N", r"lies": "is", r"stands?(?!-in)": "is, means", r"(?<!there )is no(?! longer)": "is not a",
}
STORED = {'"pictures"', '"worst_picture"', '"--pictures"', '".deps/bench/pictures"'}  # in files and options that exist
EXEMPT = {"src/text/function_words.cpp", "src/text/word_classes.cpp", "src/caption/answer_rules.cpp", "src/caption/rule_match.cpp"}  # lists of English words

root = pathlib.Path(sys.argv[1])
problems = []
TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*')
COMMENT = re.compile(r"\s*// (\S.*)")
LITERAL = re.compile(r'\s*"((?:[^"\\]|\\.)*)"')


def check_words(path, lines):
    for number, line in enumerate(lines, 1):
        for text in TEXT.findall(line):
            if text in STORED or line.startswith("#include"):
                continue
            for word, better in WORDS.items():
                if re.search(rf"\b{word}\b", text, re.I):
                    problems.append(f"{path}:{number}: '{word}' in {text.strip()}: write {better}")


def check_torn(path, lines):
    for number in range(1, len(lines) - 1):
        before, line, after = (COMMENT.fullmatch(lines[number + i]) for i in (-1, 0, 1))
        if before and line and after and len(line[1].split()) <= 2 and len(lines[number - 1]) > 92 and not line[1].startswith("-") and not line[1].endswith((".", ":")):
            problems.append(f"{path}:{number + 1}: a comment was torn here: {line[1]}")
        before, line, after = (LITERAL.fullmatch(lines[number + i]) for i in (-1, 0, 1))
        if before and line and after and len(line[1]) < 30 and "\\" not in line[1] and " " in line[1]:
            problems.append(f"{path}:{number + 1}: a literal was torn here: {line[1]}")


paths = [path for folder in ("include", "src", "tools") for path in (root / folder).rglob("*")
         if path.suffix in (".h", ".cpp", ".cu")]
assert len(paths) > 400, f"only {len(paths)} sources found"
for path in sorted(paths):
    name = str(path.relative_to(root))
    lines = path.read_text().split("\n")
    if name not in EXEMPT:
        check_words(name, lines)
    check_torn(name, lines)
if problems:
    sys.exit("\n".join(problems))
