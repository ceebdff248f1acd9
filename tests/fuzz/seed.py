#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets: seed.py GOLDEN_DIR CORPUS_DIR makes CORPUS_DIR/<target>/*.

The golden files, good and bad, as far as they are small; pickles are cut out of them; NumPy files, tar archives and
weight indexes, of which there are none, are written here."""
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
        "weight_index": weight_indexes(),
    }
    for target, contents in seeds.items():
        (corpus / target).mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(contents):
            (corpus / target / f"seed-{number:03}").write_bytes(content)


if __name__ == "__main__":
    main()
