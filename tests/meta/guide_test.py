"""README.md and the guide: links lead somewhere, names exist, blocks are tested or say why not, the language is plain.

Usage: guide_test.py SOURCE_DIR
"""

import pathlib
import re
import sys

MOST_WORDS = 1300  # of README.md
# Not in README.md and the guide, outside code: another word is the one that this project uses, or plain English.
WORDS = {
    r"pictures?": "image", r"(?:the|their|moving) averages?": "EMA", r"averaged": "EMA", r"beside": "next to",
    r"behind": "after", r"so many": "N", r"lies": "is", r"stands?(?!-in)": "is", r"is no": "is not a",
}

root = pathlib.Path(sys.argv[1])
guide = sorted((root / "tools/guide").glob("*.md"))
pages = [root / "README.md"] + guide
problems = []


def without_code(text):
    """Blocks become empty lines, so that the numbers of lines stay."""
    return re.sub(r"^```.*?^```$", lambda block: "\n" * block[0].count("\n"), text, flags=re.M | re.S)


def anchors(page):
    result = set()
    for title in re.findall(r"^#+ +(.+?) *$", without_code(page.read_text()), re.M):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        while slug in result:
            slug += "-1"
        result.add(slug)
    return result


def check_links(page):
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text()))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            problems.append(f"{page}: the link {link} leads to no file")
        elif anchor and anchor not in anchors(target):
            problems.append(f"{page}: the link {link} leads to no heading; there are: {', '.join(sorted(anchors(target)))}")
    return links


def check_names(page):
    """Paths in `code`, and functions that a file is said to hold."""
    text = without_code(page.read_text())
    for code in re.findall(r"`([^`\n]+)`", text):
        if re.fullmatch(r"(?:src|include|tests|scripts|configs|tools|findings)/[\w./-]+", code) and not (root / code).exists():
            problems.append(f"{page}: there is no {code}")
        if re.fullmatch(r"pixart/\w+/\w+\.h", code) and not (root / "include" / code).exists():
            problems.append(f"{page}: there is no header {code}")
    for function, path in re.findall(r"`(\w+::\w+)` in `([\w./]+)`", text):
        if (root / path).exists() and function + "(" not in (root / path).read_text():
            problems.append(f"{page}: {path} has no {function}")


def check_blocks(page):
    """Each block says in a comment what becomes of it; tests/cli/guide_test.py runs those that say so."""
    for note, language, body in re.findall(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S):
        first = body.splitlines()[0]
        if language == "sh":
            if not re.fullmatch(r"run|run, and this is printed|not run: .+", note):
                problems.append(f"{page}: the block '{first}' says neither <!-- run --> nor <!-- not run: why -->")
            for test in re.findall(r"tests/[\w/.]+\w", note):
                if not (root / test).exists():
                    problems.append(f"{page}: the block '{first}' names {test}, which is not there")
        elif language == "yaml":
            if not re.fullmatch(r"file: [\w-]+\.yaml", note):
                problems.append(f"{page}: the block '{first}' lacks <!-- file: NAME.yaml -->")
        elif language in ("cpp", "cmake"):
            path = root / note.removeprefix("file: ")
            if not path.is_file() or path.read_text() != body:
                problems.append(f"{page}: the block '{first}' is not the file that its comment names ({note})")
        elif language != "text":
            problems.append(f"{page}: the block '{first}' has the unknown language '{language}'")


def check_words(page):
    for number, line in enumerate(without_code(page.read_text()).splitlines(), 1):
        for word, better in WORDS.items():
            for found in re.findall(rf"\b{word}\b", re.sub(r"`[^`]*`|\]\([^)]*\)|<!--.*-->", "", line), re.I):
                problems.append(f"{page}:{number}: '{found}'; say '{better}'")


num_words = len((root / "README.md").read_text().split())
if num_words > MOST_WORDS:
    problems.append(f"README.md has {num_words} words; at most {MOST_WORDS} are allowed: move text into tools/guide")
for page in pages:
    check_names(page)
    check_blocks(page)
    check_words(page)
links = {page: check_links(page) for page in pages + [root / name / "README.md" for name in ("src", "configs", "findings", "scripts/launch")]}
for page in guide:
    if page.name != "README.md" and page.name not in links[root / "tools/guide/README.md"]:
        problems.append(f"tools/guide/README.md does not list {page.name}")
listed = (root / "findings/README.md").read_text()
for script in (root / "findings").glob("*.sh"):
    if f"`{script.name}`" not in listed:
        problems.append(f"findings/README.md does not list {script.name}")
if len(guide) < 10 or sum(len(found) for found in links.values()) < 50:
    problems.append("hardly any page or link was read")
print("\n".join(problems) or f"{num_words} words in README.md, {len(guide)} pages of the guide")
sys.exit(1 if problems else 0)
