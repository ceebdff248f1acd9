"""Golden cases of kind source_layout: sources in Parquet and MDS as other packages write them, and damaged ones.

Made with pyarrow 26.0.1, datasets 4.x, mosaicml-streaming 0.13.0, Pillow. `rows` in case.json is what these packages were given; pixels are what
Pillow decodes. Every run gives the same bytes with the same versions of the packages.
Run:  python source_layout.py OUT
"""
import hashlib
import io
import json
import pathlib
import shutil
import sys

import datasets
import numpy
import PIL
import pyarrow
import pyarrow.parquet
import streaming
from PIL import Image

KIND = "source_layout"


def picture(i, mode="RGB"):
    shades = numpy.random.default_rng(i).integers(0, 256, (3 + i % 2, 4, 3), dtype=numpy.uint8)
    image = Image.fromarray(shades)
    return image if mode == "RGB" else image.convert(mode)


def encoded(image, kind="PNG"):
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def pixels(image):
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def row(key, image=None, captions=(), label=-1, reason=None):
    result = {"key": key, "captions": list(captions), "label": label}
    if reason:
        result["reason"] = reason
    else:
        result["pixels"] = pixels(image)
    return result


class Case:
    def __init__(self, root, name, config, why):
        self.folder = pathlib.Path(root) / KIND / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.config, self.why = config, why

    def write(self, rows=(), classes=(), error=None):
        versions = {"pyarrow": pyarrow.__version__, "datasets": datasets.__version__, "mosaicml-streaming": streaming.__version__,
                    "Pillow": PIL.__version__}
        case = {"kind": KIND, "config": self.config, "tolerance": {"atol": 0, "rtol": 0}, "provenance": versions, "why": self.why,
                "class_names": list(classes), "rows": list(rows)}
        if error:
            case["error"] = error
        (self.folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")


def write_parquet(path, columns, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path, **options)


def parquet_paths(root):
    case = Case(root, "parquet_paths", {"type": "parquet", "path": "data", "image_column": "img_path", "label_column": "kind",
                                        "captions": [{"name": "long"}, {"name": "short", "column": "brief", "weight": 2}]},
                "Texts, a list of texts, nulls, and labels that are names; one path does not exist, one leads out.")
    images = case.folder / "data"
    images.mkdir()
    for i in range(3):
        (images / f"{i}.png").write_bytes(encoded(picture(i)))
    write_parquet(images / "list.parquet", {
        "img_path": ["0.png", "1.png", "2.png", "3.png", "../4.png", None],
        "long": ["a long one", None, "third, \u00e9", "x", "x", "x"],
        "brief": pyarrow.array([["one", "two"], ["three"], None, [], [], []], pyarrow.list_(pyarrow.string())),
        "kind": pyarrow.array(["cat", "dog", "cat", "dog", "dog", "dog"]).dictionary_encode()})
    case.write([row("0.png", picture(0), ["long: a long one", "short: one", "short: two"], 0), row("1.png", picture(1), ["short: three"], 1),
                row("2.png", picture(2), ["long: third, \u00e9"], 0), row("3.png", reason="missing_file", label=1),
                row("list.parquet#4", reason="path_outside", label=1), row("list.parquet#5", reason="missing_field", label=1)], ["cat", "dog"])


def parquet_merged(root):
    case = Case(root, "parquet_merged", {"type": "parquet", "path": "data", "label_column": "kind"},
                "Rows that name one image, with one label, are captions of one sample; without a caption, or with another label, they are repeated keys.")
    images = case.folder / "data"
    images.mkdir()
    for i in range(2):
        (images / f"{i}.png").write_bytes(encoded(picture(i)))
    write_parquet(images / "list.parquet", {"image": ["0.png", "1.png", "0.png", "0.png", "1.png", "1.png"],
                                            "caption": ["first", "of the other", "second", "first", None, "third"],
                                            "kind": pyarrow.array([0, 1, 0, 0, 1, 0], pyarrow.int32())}, row_group_size=4)
    case.write([row("0.png", picture(0), ["caption: first", "caption: second"], 0), row("1.png", picture(1), ["caption: of the other"], 1),
                row("1.png", reason="duplicate_key", label=1), row("1.png", reason="duplicate_key")], ["0", "1"])


def parquet_joined(root):
    case = Case(root, "parquet_joined", {"type": "parquet", "path": "rows.parquet", "image_column": "jpg", "captions": [
        {"name": "caption"}, {"name": "alt", "from": "more", "column": "alt"}, {"name": "lists", "from": "more/*.parquet", "column": "many"}]},
        "Captions that are joined by key from columns of other .parquet files: texts, nulls, lists, and lists that img2dataset writes as JSON.")
    write_parquet(case.folder / "rows.parquet", {"key": [f"{i:05}" for i in range(4)], "jpg": [encoded(picture(i), "JPEG") for i in range(4)],
                                                 "caption": [f"own {i}" for i in range(4)]})
    write_parquet(case.folder / "more/00000.parquet", {"key": ["00002", "00000", "00009"], "alt": ["alt 2", " alt 0\n", "of no row"],
                                                       "many": ['["a", "b"]', "[\"\u00e9\"]", "x"], "status": ["success"] * 3})
    write_parquet(case.folder / "more/00001.parquet", {"key": ["00003", "00001"], "alt": ["alt 3", None], "many": [None, '["c", " "]'], "status": ["success"] * 2})
    image = [Image.open(io.BytesIO(encoded(picture(i), "JPEG"))) for i in range(4)]
    case.write([row("00000", image[0], ["caption: own 0", "alt: alt 0", "lists: \u00e9"]), row("00001", image[1], ["caption: own 1", "lists: c"]),
                row("00002", image[2], ["caption: own 2", "alt: alt 2", "lists: a", "lists: b"]), row("00003", image[3], ["caption: own 3", "alt: alt 3"])])

    case = Case(root, "parquet_joined_twice", {"type": "parquet", "path": "rows.parquet", "image_column": "jpg",
                                               "captions": [{"name": "alt", "from": "more.parquet"}]}, "A key has two captions.")
    write_parquet(case.folder / "rows.parquet", {"key": ["a"], "jpg": [encoded(picture(0))]})
    write_parquet(case.folder / "more.parquet", {"key": ["a", "b", "a"], "caption": ["1", "2", "3"]})
    case.write(error="1 rows are second captions of a key: a")

    case = Case(root, "parquet_joined_no_column", {"type": "parquet", "path": "rows.parquet", "image_column": "jpg",
                                                   "captions": [{"name": "alt", "from": "rows.parquet", "column": "captoin"}]}, "A column that does not exist.")
    write_parquet(case.folder / "rows.parquet", {"key": ["a"], "jpg": [encoded(picture(0))], "caption": ["x"]})
    case.write(error="there is no column 'captoin'; the columns are caption, jpg, key. Did you mean 'caption'?")


def parquet_huggingface(root):
    case = Case(root, "parquet_huggingface", {"type": "parquet", "path": ".", "label_column": "label"},
                "datasets.Dataset.to_parquet with Image and ClassLabel features, in two files with several row groups.")
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string"),
                                  "label": datasets.ClassLabel(names=["zebra", "ant", "cow"])})
    rows = []
    for part in range(2):
        values = [{"image": {"bytes": encoded(picture(10 * part + i)), "path": f"{i}.png"}, "text": f"caption {part} {i}", "label": (part + i) % 3}
                  for i in range(5)]
        name = f"data/train-{part:05}-of-00002.parquet"
        (case.folder / "data").mkdir(exist_ok=True)
        datasets.Dataset.from_list(values, features=features).to_parquet(case.folder / name, batch_size=2)
        rows += [row(f"{name}#{i}", picture(10 * part + i), [f"caption: caption {part} {i}"], (part + i) % 3) for i in range(5)]
    case.write(rows, ["zebra", "ant", "cow"])


def parquet_pages(root):
    """Pages of a few rows; lists that go on in the next page; a dictionary; a null image."""
    case = Case(root, "parquet_pages", {"type": "parquet", "path": "pages.parquet", "image_column": "png", "captions": [{"name": "many"}, {"name": "same"}]},
                "Binary images, keys, pages of few rows, lists that go over pages, equal texts in a dictionary, compression by zstd.")
    count = 12
    many = [[f"row {i} text {j} " + "x" * (40 * (i % 3)) for j in range(i % 5)] for i in range(count)]
    write_parquet(case.folder / "pages.parquet", {
        "key": [f"k{i:04}" for i in range(count)], "png": [encoded(picture(i)) for i in range(count)],
        "many": pyarrow.array(many, pyarrow.list_(pyarrow.string())), "same": ["even" if i % 2 == 0 else "odd" for i in range(count)]},
                  data_page_size=64, write_batch_size=2, row_group_size=7, compression="zstd", use_dictionary=["same"])
    case.write([row(f"k{i:04}", picture(i), [f"many: {text}".strip() for text in many[i]] + [f"same: {'even' if i % 2 == 0 else 'odd'}"])
                for i in range(count)])


def parquet_types(root):
    """Numbers without a sign, above those with one; a file without rows; a file whose captions are all null, with that type."""
    case = Case(root, "parquet_types", {"type": "parquet", "path": "types-*.parquet", "key_column": "id", "label_column": "kind",
                                        "captions": [{"name": "long"}, {"name": "short"}]},
                "Keys of type uint64 and labels of type uint8; a file without rows and without types; a column of nulls in one file.")
    def write(part, ids, kinds, captions):
        images = [encoded(picture(i % 1000)) for i in ids]
        write_parquet(case.folder / f"types-{part}.parquet", {
            "id": pyarrow.array(ids, pyarrow.uint64()), "image": pyarrow.array(images, pyarrow.large_binary()),
            "kind": pyarrow.array(kinds, pyarrow.uint8()), "long": captions, "short": pyarrow.array([f"s{i % 1000}" for i in ids], pyarrow.large_string())})
    ids = [2**64 - 1, 2**63, 7, 8]
    write_parquet(case.folder / "types-0.parquet", {"id": pyarrow.nulls(0), "nothing": pyarrow.nulls(0)})
    write(1, ids[:2], [1, 0], pyarrow.nulls(2))
    write(2, ids[2:], [0, 1], pyarrow.array(["seven", "eight"]))
    long = [[], [], ["long: seven"], ["long: eight"]]
    case.write([row(str(ids[i]), picture(ids[i] % 1000), long[i] + [f"short: s{ids[i] % 1000}"], [1, 0, 0, 1][i]) for i in range(4)], ["0", "1"])


def parquet_damaged(root):
    case = Case(root, "parquet_cut_off", {"type": "parquet", "path": "cut.parquet"}, "A file without its end.")
    write_parquet(case.folder / "cut.parquet", {"image": [b"x"], "text": ["y"]})
    whole = (case.folder / "cut.parquet").read_bytes()
    (case.folder / "cut.parquet").write_bytes(whole[:-10])
    case.write(error="cut.parquet is not a whole Parquet file")

    case = Case(root, "parquet_damaged_page", {"type": "parquet", "path": "page.parquet", "captions": [{"name": "text"}]},
                "Bytes of one page of captions are changed; its rows are rejected, those of the other row groups are not.")
    count = 9
    write_parquet(case.folder / "page.parquet", {"image": [encoded(picture(i)) for i in range(count)], "text": [f"caption {i}" for i in range(count)]},
                  row_group_size=3, use_dictionary=False, write_page_checksum=True, compression="none")
    data = bytearray((case.folder / "page.parquet").read_bytes())
    at = data.index(b"caption 4")
    data[at:at + 9] = b"damaged!!"
    (case.folder / "page.parquet").write_bytes(data)
    case.write([row(f"page.parquet#{i}", reason="damaged_archive") if 3 <= i < 6 else row(f"page.parquet#{i}", picture(i), [f"text: caption {i}"])
                for i in range(count)])

    case = Case(root, "parquet_wrong_columns", {"type": "parquet", "path": "t.parquet", "label_column": "labl", "captions": [{"name": "score"}]},
                "Columns that are missing, or of other types.")
    write_parquet(case.folder / "t.parquet", {"image": ["a.png"], "score": [0.5], "label": [1]})
    case.write(error="label_column: there is no column 'labl'; the columns are image, label, score. Did you mean 'label'?")


    case = Case(root, "parquet_mixed_images", {"type": "parquet", "path": "*.parquet"}, "Images in one file, paths of images in the other.")
    write_parquet(case.folder / "a.parquet", {"image": [b"x"], "text": ["y"]})
    write_parquet(case.folder / "b.parquet", {"image": ["0.png"], "text": ["y"]})
    case.write(error="the column 'image' holds paths in some files and images in others (byte_array, string)")


def write_mds(folder, columns, samples, **options):
    with streaming.MDSWriter(out=str(folder), columns=columns, **options) as writer:
        for sample in samples:
            writer.write(sample)


def mds(root):
    case = Case(root, "mds_mixed", {"type": "mds", "path": "shards", "label_column": "class", "captions": [{"name": "text"}, {"name": "more"}]},
                "Two shards of MDSWriter: PNG, texts, JSON lists of texts, whole numbers, and a value of fixed size that is not used.")
    samples = [{"image": picture(i), "text": f"caption {i} \u732b", "more": [f"m{i}", "n"] if i % 2 else "one", "class": i % 3,
                "noise": numpy.float32(i)} for i in range(6)]
    write_mds(case.folder / "shards", {"image": "png", "text": "str", "more": "json", "class": "int", "noise": "float32"}, samples, size_limit=500,
              hashes=["sha1"])
    shards = json.loads((case.folder / "shards" / "index.json").read_text())["shards"]
    assert len(shards) > 1
    names = [f"{shard['raw_data']['basename']}#{i}" for shard in shards for i in range(shard["samples"])]
    case.write([row(names[i], picture(i), [f"text: caption {i} \u732b"] + ([f"more: m{i}", "more: n"] if i % 2 else ["more: one"]), i % 3)
                for i in range(6)], ["0", "1", "2"])

    case = Case(root, "mds_pil", {"type": "mds", "path": ".", "key_column": "id"},
                "Sub-folders with an index.json each; pixels of Pillow in the modes RGB and L, and one that is not read; keys in a column.")
    rows = []
    for part, mode in enumerate(["RGB", "L", "CMYK"]):
        write_mds(case.folder / f"part{part}", {"picture": "pil", "id": "str", "caption": "str"},
                  [{"picture": picture(7 + part, mode), "id": f"id-{part}", "caption": f"c{part}"}])
        rows.append(row(f"id-{part}", picture(7 + part, mode), [f"caption: c{part}"]))
    del rows[2]["pixels"]
    rows[2]["fault"] = "unsupported_picture"
    case.write(rows)

    case = Case(root, "mds_damaged", {"type": "mds", "path": "."}, "The size of a value goes beyond its sample; the others are read.")
    write_mds(case.folder, {"image": "png", "caption": "str"}, [{"image": picture(i), "caption": f"caption {i}"} for i in range(3)])
    shard = case.folder / "shard.00000.mds"
    data = bytearray(shard.read_bytes())
    begin = int.from_bytes(data[8:12], "little")
    data[begin:begin + 4] = (1 << 31).to_bytes(4, "little")
    shard.write_bytes(data)
    case.write([row("shard.00000.mds#1", reason="damaged_archive") if i == 1 else row(f"shard.00000.mds#{i}", picture(i), [f"caption: caption {i}"])
                for i in range(3)])

    case = Case(root, "mds_compressed", {"type": "mds", "path": "."}, "A compressed shard is refused with the command that helps.")
    write_mds(case.folder, {"image": "png", "caption": "str"}, [{"image": picture(0), "caption": "c"}], compression="zstd")
    case.write(error="shards are compressed (zstd), which is not read; decompress them once in their folder: for f in *.zstd; do zstd -dc")


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    for make in (parquet_paths, parquet_merged, parquet_joined, parquet_huggingface, parquet_pages, parquet_types, parquet_damaged, mds):
        make(sys.argv[1])
    for path in (pathlib.Path(sys.argv[1]) / KIND).rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    main()
