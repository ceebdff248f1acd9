#!/usr/bin/env python3
"""Writes src/text/charmaps.inc from Python's codecs: the characters of bytes 0x80..0xFF in each single-byte encoding.

Usage: scripts/generate_charmaps.py > src/text/charmaps.inc
Unassigned bytes of the "sloppy" (Windows) encodings mean the control character of the same number.
"""

ENCODINGS = ["latin-1", "windows-1252", "windows-1251", "windows-1250", "windows-1253", "windows-1254", "windows-1257",
             "iso-8859-2", "macroman", "cp437"]


def main():
    print("// Written by scripts/generate_charmaps.py; do not edit.")
    for encoding in ENCODINGS:
        sloppy = encoding.startswith("windows")
        values = []
        for byte in range(0x80, 0x100):
            text = bytes([byte]).decode(encoding, "replace" if sloppy else "strict")
            values.append(byte if text == "\ufffd" else ord(text))
        assert len(set(values)) == 128
        print(f'{{"{encoding}", {"true" if sloppy else "false"}, {{{{')
        for start in range(0, 128, 16):
            print("  " + ", ".join(f"0x{value:x}" for value in values[start:start + 16]) + ",")
        print("}}},")


if __name__ == "__main__":
    main()
