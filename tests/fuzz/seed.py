#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets: seed.py GOLDEN_DIR CORPUS_DIR makes CORPUS_DIR/<target>/*.

The golden files, good and bad, as far as they are small; pickles are cut out of them; NumPy files, tar archives and
weight indexes and small tokenizers, of which there are none, are written here."""
import base64
import io
import json
import pathlib
import re
import struct
import sys
import tarfile
import zipfile

LARGEST_BYTES = 32768


def pickles(pth):
    """Whatever may be a pickle in a PyTorch file of either layout, however damaged."""
    for start in re.finditer(rb"\x80[\x02-\x05]", pth):
        yield pth[start.start():].split(b"PK\x03\x04")[0]


def npy(descr, shape, data, fortran=False, version=1):
    header = str({"descr": descr, "fortran_order": fortran, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY" + struct.pack("<BB" + ("H" if version == 1 else "I"), version, 0, len(header)) + header + data


def npz(method, arrays):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, array in arrays.items():
            with archive.open(name + ".npy", "w", force_zip64=True) as record:  # as numpy does
                record.write(array)
    return out.getvalue()


def numpy_files():
    arrays = [npy(f"<{kind}", (2, 3), bytes(6 * int(kind[1])), fortran)
              for kind in ("f4", "f2", "i8", "u2", "c8") for fortran in (False, True)]
    arrays += [npy("|b1", (3,), b"\1\0\1", version=2), npy("<f8", (), bytes(8), version=3), npy("<f4", (0, 4), b""),
               npy(">f4", (1,), bytes(4)), npy("|O", (1,), bytes(4)), npy([("a", "<f4")], (1,), bytes(4))]
    named = {"caption_feature": npy("<f2", (30, 40), bytes(2400)), "attention_mask": npy("<i8", (1, 3), bytes(24))}
    return arrays + [npz(zipfile.ZIP_STORED, named), npz(zipfile.ZIP_DEFLATED, named), npz(zipfile.ZIP_STORED, {})]


def weight_indexes():
    good = {"metadata": {"total_size": 8}, "weight_map": {"a.weight": "x-1.safetensors", "b\u00e9": "x-2.bin"}}
    bad = [{}, [], {"weight_map": {}}, {"weight_map": {"a": "../b"}}, {"weight_map": {"a": [[1.5, None, {"b": "c"}]]}}]
    return [json.dumps(index).encode() for index in [good, *bad]] + [
        b'{"weight_map": {"a": "b", "a": "c"}}', b'{"weight_map": {"a": ' + b"[" * 10000 + b"]" * 10000 + b"}}"]


def character_map(replacements):
    """A precompiled character map of SentencePiece: a double array in which each inner node has a block of its own, and all
    keys with one replacement share a value. No key begins with another one."""
    texts = sorted(set(replacements.values()))
    place = {text: 256 * (number + 1) for number, text in enumerate(texts)}
    units = [0] * 256 * (len(texts) + 1)
    for number, text in enumerate(texts):
        units[place[text]] = 1 << 31 | sum(len(other.encode()) + 1 for other in texts[:number])
    keys = {key.encode(): text for key, text in replacements.items()}

    def fill(node, label, prefix):
        if prefix in keys:
            units[node] = (node ^ place[keys[prefix]]) << 10 | 1 << 8 | label
            return
        children = len(units)
        units.extend([0] * 256)
        units[node] = (node ^ children) << 10 | label
        for byte in sorted({key[len(prefix)] for key in keys if key.startswith(prefix)}):
            fill(children ^ byte, byte, prefix + bytes([byte]))

    fill(0, 0, b"")
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + b"".join(text.encode() + b"\0" for text in texts)


def tokenizers():
    blanks = "\t\n\v\f\r\u00a0\u1680\u2028\u2029\u202f\u205f\u3000\u2581" + "".join(map(chr, range(0x2000, 0x200b)))
    precompiled = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(
        character_map({**dict.fromkeys(blanks, " "), "\ufb01": "fi"})).decode()}
    spaces = [{"type": "Strip", "strip_left": False, "strip_right": True},
              {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}]
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    words = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {
        "type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}]}
    end = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}],
           "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}}
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", "\u2581red", "castle", "a", "fi", "f", "\u00e9", "<extra_id_1>", "<extra_id_0>"]
    added = [{"id": number, "content": piece} for number, piece in enumerate(pieces) if piece.startswith("<")]
    model = {"type": "Unigram", "unk_id": 2, "vocab": [[piece, -0.5 * number] for number, piece in enumerate(pieces)]}
    good = {"added_tokens": added, "normalizer": {"type": "Sequence", "normalizers": [precompiled, *spaces]},
            "pre_tokenizer": metaspace, "post_processor": end, "model": model}
    other = [{}, {"normalizer": precompiled, "pre_tokenizer": words}, {"normalizer": None, "pre_tokenizer": words},
             {"normalizer": {"type": "NFKC"}}, {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}},
             {"added_tokens": added[:3]}, {"model": {**model, "vocab": [["a", -1], ["a", -1]]}}]
    return [json.dumps({**good, **change}).encode() for change in other]


def tars():
    out = []
    for layout in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w", format=layout) as archive:
            long_name = "n" * (90 if layout == tarfile.USTAR_FORMAT else 200)
            for name in ("a.jpg", f"f/{long_name}.txt", "gr\u00fc\u00df.json"):
                entry = tarfile.TarInfo(name)
                entry.size = 700
                archive.addfile(entry, io.BytesIO(bytes(700)))
            for kind in (tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.GNUTYPE_SPARSE):
                entry = tarfile.TarInfo("other")
                entry.type, entry.linkname = kind, "a.jpg"
                archive.addfile(entry)
        members = content.getvalue().rstrip(b"\0")
        members += bytes(-len(members) % 512)
        out += [members, members + bytes(1024)]
    return out


def main():
    golden, corpus = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    small = [path.read_bytes() for kind in ("safetensors", "pth") for path in sorted((golden / kind).rglob("*.*"))
             if path.suffix != ".json" and path.stat().st_size <= LARGEST_BYTES]
    zips = [content for content in small if content.startswith(b"PK")]
    archives = [content for content in numpy_files() if content.startswith(b"PK")]
    seeds = {
        "safetensors_header": [content for content in small if content[8:9] == b"{" or len(content) < 16],
        "pickle": [piece for content in small for piece in pickles(content)],
        "zip": zips + archives,
        "npy": numpy_files(),
        "tar": tars(),
        "tokenizer_json": tokenizers(),
        "weight_index": weight_indexes(),
    }
    for target, contents in seeds.items():
        (corpus / target).mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(contents):
            (corpus / target / f"seed-{number:03}").write_bytes(content)


if __name__ == "__main__":
    main()
