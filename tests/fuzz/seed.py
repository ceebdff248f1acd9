#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets: seed.py GOLDEN_DIR CORPUS_DIR makes CORPUS_DIR/<target>/*.

The golden files, good and bad, as far as they are small; pickles are cut out of them; images are those of
tests/support; NumPy files, tar archives, weight indexes, tables, configs and small tokenizers are written here."""
import base64
import io
import json
import pathlib
import re
import struct
import sys
import tarfile
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import mutated_samples  # noqa: E402
import spoil_pictures  # noqa: E402

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


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def proto(field, value):
    """A field of a protobuf message: a number, bytes, or a float."""
    if isinstance(value, float):
        return varint(field << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(field << 3) + varint(value % (1 << 64))
    return varint(field << 3 | 2) + varint(len(value)) + value


def spiece_models():
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", "\u2581red", "castle", "a", "fi", "f", "\u00e9"]
    kinds = {0: 3, 1: 3, 2: 2}
    body = b"".join(proto(1, proto(1, piece.encode()) + proto(2, -0.5 * number) + proto(3, kinds.get(number, 1)))
                    for number, piece in enumerate(pieces))
    trainer = proto(2, proto(3, 1) + proto(40, 2) + proto(41, -1) + proto(42, 1) + proto(43, 0))
    maps = (b"", character_map({"\u3000": " ", "\ufb01": "fi"}))
    return [body + trainer + proto(3, proto(2, one) + proto(3, 1) + proto(4, 1) + proto(5, 1)) for one in maps]


def images():
    ways = [*spoil_pictures.IMAGE_WAYS.values(), *spoil_pictures.CONTROL_WAYS.values()]
    good = [spoil_pictures.good_image(1, ending) for ending in (".png", ".jpg", ".webp", ".gif", ".bmp", ".tif")]
    return good + [mutated_samples.AVIF] + [way[1](spoil_pictures.good_image(1, way[0])) for way in ways]


def tables():
    rows = [{"image": "a/1.png", "caption": "a red circle", "score": float("nan"), "more": [{"a": [1, None, "\u00e9\\\""]}]},
            {"image": "2.png", "caption": ["one", "two"]}]
    lines = "\n".join(json.dumps(row) for row in rows).encode()
    return [lines, json.dumps(rows).encode(), b"\xef\xbb\xbf" + lines + b"\r\n\n", b"image,caption\n1.png,\"a \"\"b\"\"\nc\"\r\n2.png,x",
            b"sep=;\nimage;caption\n1.png;a\n", b"image\tcaption\n1.png\ta\n", b"\xff\xfea\0", b"[", b"[7, [], \"]\", {]}]"]


def model_configs():
    vae = {"_class_name": "AutoencoderKL", "act_fn": "silu", "in_channels": 3, "out_channels": 3, "latent_channels": 4,
           "block_out_channels": [8, 16], "down_block_types": ["DownEncoderBlock2D"] * 2,
           "up_block_types": ["UpDecoderBlock2D"] * 2, "layers_per_block": 1, "norm_num_groups": 4, "scaling_factor": 0.18,
           "latents_mean": None, "latents_std": [1, 2, 3, 4]}
    t5 = {"model_type": "t5", "vocab_size": 256, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4,
          "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6,
          "feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu_new", "is_gated_act": True, "torch_dtype": "float32"}
    pixart = {"num_attention_heads": 4, "attention_head_dim": 6, "num_layers": 2, "sample_size": 8, "patch_size": 2,
              "in_channels": 4, "out_channels": 8, "attention_bias": True, "activation_fn": "gelu-approximate",
              "norm_elementwise_affine": False, "norm_type": "ada_norm_single", "caption_channels": 32}
    dit = {**pixart, "norm_type": "ada_norm_zero", "num_embeds_ada_norm": 10}
    large = {**t5, "vocab_size": 1 << 24, "d_model": 65536, "d_ff": 1 << 20}
    return [json.dumps(config).encode() for config in (vae, t5, pixart, dit, large, {}, [])]


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
        "image": images(),
        "model_config": model_configs(),
        "spiece_model": spiece_models(),
        "table_rows": tables(),
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
