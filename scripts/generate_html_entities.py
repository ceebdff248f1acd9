#!/usr/bin/env python3
"""Writes src/text/html_entities.inc from Python's table of HTML 5 character references (html.entities.html5).

Usage: scripts/generate_html_entities.py > src/text/html_entities.inc
An entry is {name, text, legacy}, sorted by name; `legacy` entries are also valid without the semicolon.
"""
import html.entities


def c_string(text):
    out = ""
    for char in text:
        if char in '"\\':
            out += "\\" + char
        elif char == "\n":
            out += "\\n"
        elif char == "\t":
            out += "\\t"
        elif 0x20 <= ord(char) < 0x7F:
            out += char
        elif ord(char) < 0x10000:
            out += f"\\u{ord(char):04X}"
        else:
            out += f"\\U{ord(char):08X}"
    return f'"{out}"'


def main():
    table = html.entities.html5
    names = sorted({name.rstrip(";") for name in table}, key=lambda name: name.encode())
    print("// Written by scripts/generate_html_entities.py; do not edit.")
    line = ""
    for name in names:
        text = table[name + ";"]
        legacy = name in table
        assert not legacy or table[name] == text
        entry = f'{{"{name}", {c_string(text)}, {"true" if legacy else "false"}}},'
        if line and len(line) + 1 + len(entry) > 110:
            print(line)
            line = ""
        line = f"{line} {entry}".strip()
    print(line)


if __name__ == "__main__":
    main()
