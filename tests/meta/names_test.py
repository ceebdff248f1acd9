#!/usr/bin/env python3
"""Sources of a target that uses LibTorch are compiled as one (cmake/pixart_module.cmake), so a constant, type or function of an
anonymous namespace has a name of its own in its target; otherwise the build breaks when a source is added and the groups move.

Usage: names_test.py SOURCE_DIR
"""
import collections
import pathlib
import re
import sys
import tempfile

TARGET = re.compile(r"pixart_(?:module|test|executable)\(([^)]*)\)")
WORDS = ("TORCH", "SOURCES", "PLAIN", "DEPENDS", "LIBRARIES", "LABELS")
ANONYMOUS = re.compile(r"^namespace \{$(.*?)^\}  // namespace$", re.M | re.S)
CONSTANT = re.compile(r"^(?:static |inline |thread_local )*constexpr (?:[^=;{(]*[ &*])?(k\w+)(?=[\[ ={])", re.M)
TYPE = re.compile(r"^(?:template <[^>]*>\n)?(?:struct|class|enum class|enum) (\w+)(?: final)?(?: :[^;{]*)? \{", re.M)
FUNCTION = re.compile(r"^(?!return|using|struct|class|enum|constexpr k|//|  )[\w:<>,&* \[\]]+[ &*](\w+)\(([^)]*)\) \{", re.M)


def types_of(parameters):
    """Overloads differ in them; names and defaults do not count."""
    return ", ".join(re.sub(r" ?\b\w+$", "", part.split("=")[0].strip()) for part in parameters.replace("\n", " ").split(",") if part.strip())


def names_in(text):
    for space in ANONYMOUS.findall(text):
        yield from CONSTANT.findall(space)
        yield from TYPE.findall(space)
        for name, parameters in FUNCTION.findall(space):
            yield f"{name}({types_of(parameters)})"


def unity_sources(arguments):
    words, section, sources = arguments.split(), "", []
    for word in words:
        section = word if word in WORDS else section
        if section == "SOURCES" and word.endswith(".cpp") and "$" not in word:
            sources.append(word)
    return sources if "TORCH" in words else []


def repeated(folder):
    """[(name, the sources that define it)] of each target in the CMakeLists.txt of `folder`"""
    found = []
    for arguments in TARGET.findall((folder / "CMakeLists.txt").read_text()):
        by_name = collections.defaultdict(list)
        for source in unity_sources(re.sub(r"#.*", "", arguments)):
            for name in set(names_in((folder / source).read_text())):
                by_name[name].append(source)
        found += [(name, sources) for name, sources in by_name.items() if len(sources) > 1]
    return found


def test_itself():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "CMakeLists.txt").write_text("pixart_module(x TORCH\n  SOURCES a.cpp b.cpp\n  PLAIN c.cpp)\n")
        body = "namespace {\nconstexpr int kSide = 3;\nstruct Row {\n};\nint half(int x) {\n}\nint half(double x) {\n}\n}  // namespace\nint half(int y) {\n}\n"
        (folder / "a.cpp").write_text(body)
        (folder / "c.cpp").write_text(body)
        (folder / "b.cpp").write_text("namespace {\nint half(float x) {\n}\n}  // namespace\n")
        assert not repeated(folder), repeated(folder)
        (folder / "b.cpp").write_text(body)
        assert sorted(name for name, _ in repeated(folder)) == ["Row", "half(double)", "half(int)", "kSide"], repeated(folder)


def main():
    test_itself()
    root = pathlib.Path(sys.argv[1])
    folders = sorted(path.parent for part in ("src", "tools", "tests") for path in (root / part).rglob("CMakeLists.txt"))
    problems = [f"{folder.relative_to(root)}: {name} is in {' and '.join(sources)}" for folder in folders for name, sources in repeated(folder)]
    print("\n".join(problems) or f"names_test: {len(folders)} folders, each name once in its target")
    sys.exit(1 if problems else 0)


main()
