"""Makes sources of samples, most of which are mutated; used by scripts/fuzz_samples.py. Python's standard library only
(with Pillow the images to mutate are of more kinds). Everything follows from the random generator that is passed."""
import base64
import csv
import io
import json
import tarfile

import spoil_pictures

try:
    from PIL import Image
except ImportError:
    Image = None

ENDINGS = ("jpg", "png", "webp", "gif", "tif", "bmp", "avif")
AVIF = base64.b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAOcG"
    "l0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAMAAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAAAABq"
    "aXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAEAAAABAAAAAQcGl4aQAAAAADCAgIAAAADGF2MUOBAAwAAAAAE2NvbHJuY2x4AAEADQAGgAAAAB"
    "dpcG1hAAAAAAAAAAEAAQQBAoMEAAAAOG1kYXQSAAoJGAz/2iAhoNCAMiEdh4eFndxxxwLKwADJYnkCM6Yv+C6qPApJt4mQ/Vpl7SA=")
EXTREMES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0", b"\xff\xff", b"\x7f\xff", b"\xff\x7f", b"\0" * 4, b"\xff" * 4,
            b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x01", b"\x01\0\0\0", b"\xff" * 8)


# --- bytes


def flip_bits(rng, data):
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(rng, data):
    return data[:rng.randrange(len(data))]


def piece(rng, data):
    begin = rng.randrange(len(data))
    return begin, min(len(data), begin + rng.choice((1, 4, 16, 64, 256)))


def cut_out(rng, data):
    begin, end = piece(rng, data)
    return data[:begin] + data[end:]


def duplicate(rng, data):
    begin, end = piece(rng, data)
    return data[:end] + data[begin:end] * rng.choice((1, 1, 1, 30)) + data[end:]


def swap(rng, data):
    one, other = sorted((piece(rng, data), piece(rng, data)))
    if one[1] > other[0]:
        return data[::-1][:8] + data[8:]
    return data[:one[0]] + data[other[0]:other[1]] + data[one[1]:other[0]] + data[one[0]:one[1]] + data[other[1]:]


def extreme(rng, data, reach=64):
    value = rng.choice(EXTREMES)
    at = rng.randrange(max(1, min(reach, len(data))))
    return data[:at] + value + data[at + len(value):]


def append(rng, data):
    return data + rng.choice((b"\0" * 512, b"more", rng.randbytes(99), data))


BYTE_WAYS = (flip_bits, flip_bits, flip_bits, truncate, cut_out, duplicate, swap, extreme, extreme, append)


def mutated(rng, data):
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if data:
            data = rng.choice(BYTE_WAYS)(rng, data)
    return data


# --- images


def with_pillow(rng):
    """Kinds of images that the standard library cannot write."""
    mode = rng.choice(("RGB", "RGB", "L", "RGBA", "P", "1", "CMYK", "I;16", "LA"))
    image = Image.frombytes("RGB", (24, 20), spoil_pictures.png_rows(rng.randrange(9999), 25, 20)[:24 * 20 * 3])
    image = image.convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)
    ways = {"JPEG": dict(progressive=rng.random() < 0.5, quality=rng.choice((30, 95))), "PNG": {},
            "WEBP": dict(lossless=rng.random() < 0.5), "GIF": dict(interlace=rng.randrange(2)), "BMP": {}, "AVIF": {},
            "TIFF": dict(compression=rng.choice(("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg")))}
    kind = rng.choice(sorted(ways))
    out = io.BytesIO()
    try:
        image.save(out, kind, **ways[kind])
    except (OSError, ValueError, KeyError, SystemError):
        return spoil_pictures.png(rng.randrange(9999))
    return out.getvalue()


def whole_image(rng):
    if Image is not None and rng.random() < 0.5:
        return with_pillow(rng)
    ending = rng.choice(ENDINGS)
    return AVIF if ending == "avif" else spoil_pictures.good_image(rng.randrange(9999), "." + ending)


def image(rng):
    good = whole_image(rng)
    fate = rng.random()
    if fate < 0.2:
        return good
    if fate < 0.22:
        return rng.choice((b"", spoil_pictures.HTML, spoil_pictures.TAR, rng.randbytes(300)))
    if fate < 0.26:
        other = whole_image(rng)
        return good[:rng.randrange(len(good))] + other[rng.randrange(len(other)):]
    return mutated(rng, good)


# --- captions

ODD_TEXTS = (
    b"", b" \n\t ", b"\xef\xbb\xbfa red circle", b"\xff\xfea\0 \0r\0e\0d\0", b"a\0b", b"\xc0\x80", b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80", b"\x1b[31mred\x1b[0m", "e\u0301".encode() * 400, "\u202ered\u202c".encode(), b"<" * 3000,
    b"&" * 3000, b"(" * 3000, b"((((((((a|b)*)*)*)*)*)*)*" * 30, b"&amp;" * 900, b"&#1114112;&#xD800;&#x0;", b"<!" * 900,
    b"<![CDATA[" * 300, b"<a href='" * 300, "\u00c3\u00a2\u00e2\u201a\u00ac".encode() * 300, b"http://" * 900,
    b"@" * 3000, b"#123 " * 900, b"IMG_0001.jpg" * 300, b"a b " * 9000, b"</s><pad><unk><extra_id_0>" * 99, b"\n" * 9000,
    "\U0001f9d1\u200d\U0001f33e".encode() * 300, b"x" * ((1 << 20) + 1), b"1.2.3.4:80 " * 500, "\ufdfa".encode() * 2000)


def caption(rng):
    colour = rng.choice(("red", "blue", "gr\u00fcner"))
    good = f"a {colour} circle number {rng.randrange(9999)}, \u732b".encode()
    fate = rng.random()
    if fate < 0.6:
        return good
    return mutated(rng, good) if fate < 0.8 else rng.choice(ODD_TEXTS)


def text(rng):
    return caption(rng).decode("utf-8", "surrogateescape" if rng.random() < 0.3 else "replace")


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


# --- sources; each returns the values of the source's keys


def image_folder(rng, folder, count):
    for number in range(count):
        stem = folder / f"{number % 7}" / f"{number:06}"
        write(stem.with_suffix("." + rng.choice(ENDINGS)), image(rng))
        if rng.random() < 0.97:
            write(stem.with_suffix(".txt"), caption(rng))
    return {"type": "image_folder", "path": folder}


def odd_path(rng):
    return rng.choice(("", ".", "..", "../../etc/passwd", "/etc/passwd", "/dev/zero", "gone.png", "a\0b", "n" * 5000, "a/" * 3000,
                       "http://example.org/a.jpg", "images", "images/\ud800.png", "C:\\a.png", "\u202e.png", 7, None, [], {}))


def nested(rng, depth):
    value = 1
    for _ in range(depth):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def odd_value(rng):
    return rng.choice((float("nan"), float("inf"), -1, 1e300, 2**70, None, True, [], {}, ["a", 1], [["a"]], nested(rng, 20),
                       nested(rng, 40), "\ud800", "\0", "x" * 70000, ["a red circle", "a blue one"], "", " "))


def entry(rng, folder, number, path_field, text_field):
    """A row that names a new image, or one that does not."""
    name = f"images/{number:06}.{rng.choice(ENDINGS)}"
    write(folder / name, image(rng))
    row = {path_field: name, text_field: text(rng), "number": number}
    if rng.random() < 0.1:
        row[path_field] = odd_path(rng)
    if rng.random() < 0.1:
        row[rng.choice((path_field, text_field, "number", "other"))] = odd_value(rng)
    if rng.random() < 0.05:
        del row[rng.choice((path_field, text_field))]
    return row


def line_of(rng, row):
    line = json.dumps(row, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if rng.random() < 0.3:
        line = mutated(rng, line)
    if rng.random() < 0.02:
        line = rng.choice((b"[]", b"7", b"null", b"{", b'{"image":' + b"[" * 60000, b"\0" * 50, b'{"a": 1e999}', b'{"\\ud800": 1}',
                           b'{"image": "images/000001.png", "image": "images/000002.png", "caption": "twice"}'))
    return line.replace(b"\n", b" ")


def json_lines(rng, folder, count):
    first = json.dumps(entry(rng, folder, 0, "image", "caption") | {"image": "images/first.png", "caption": "a"}).encode()
    write(folder / "images" / "first.png", spoil_pictures.png(1))
    lines = [line_of(rng, entry(rng, folder, number, "image", "caption")) for number in range(1, count)]
    write(folder / "table.jsonl", b"\n".join([first, *lines]) + rng.choice((b"", b"\n", b"\r\n\n")))
    return {"type": "table", "path": folder / "table.jsonl"}


def csv_row(rng, row):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([str(row.get(name, "")) for name in ("image", "caption", "number")])
    data = out.getvalue().encode("utf-8", "replace")
    if rng.random() < 0.2:
        data = mutated(rng, data[:-1]) + b"\n"
    if rng.random() < 0.02:
        data = rng.choice((b'"', b'"open,field', b",,,,\n", b"\n\n\n", b"\0\n", b'a"b,c\n', b'"a"b,c,d\n', b'"' * 999 + b"\n"))
    return data


def csv_table(rng, folder, count):
    write(folder / "images" / "first.png", spoil_pictures.png(1))
    rows = [csv_row(rng, entry(rng, folder, number, "image", "caption")) for number in range(1, count)]
    write(folder / "table.csv", b"image,caption,number\nimages/first.png,a,0\n" + b"".join(rows))
    return {"type": "table", "path": folder / "table.csv"}


def json_lists(rng, folder, count):
    """The official layout. A list is one JSON text, so only its entries are odd."""
    entries = [entry(rng, folder, number, "path", "prompt") for number in range(count)]
    entries[count // 3:count // 3] = [rng.choice((7, None, [], "text", nested(rng, 10), nested(rng, 100)))]
    half = len(entries) // 2
    for name, part in (("a.json", entries[:half]), ("b.json", entries[half:])):
        write(folder / "partition" / name, json.dumps(part, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass"))
    return {"type": "pixart", "path": folder}


TAR_BLOCK = 512


def tar_member(archive, name, data, **fields):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(data))


def damaged_tar(rng, data):
    """Mutates blocks after the first; a file that begins in another way is not a tar archive."""
    blocks = [data[at:at + TAR_BLOCK] for at in range(0, len(data), TAR_BLOCK)]
    headers = [at for at, block in enumerate(blocks) if at > 0 and block[257:262] == b"ustar"]
    for _ in range(rng.choice((1, 2, 3))):
        way, at = rng.randrange(7), rng.choice(headers)
        if way == 0:
            blocks[at] = flip_bits(rng, blocks[at])
        elif way == 1:
            blocks[at] = with_size(blocks[at], rng.choice((b"77777777777\0", b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7, b"\xff" * 12,
                                                           b"-0000000001\0", b"00000000000\0", b"\0" * 12, b"00000001000\0")))
        elif way == 2:
            blocks[at] = b"\0" * TAR_BLOCK
        elif way == 3:
            blocks.insert(at, blocks[rng.choice(headers)])
            headers = [place + (place >= at) for place in headers]
        elif way == 4:
            other = rng.choice(headers)
            blocks[at], blocks[other] = blocks[other], blocks[at]
        elif way == 5:
            blocks[at] = with_checksum(blocks[at][:156] + rng.choice((b"1", b"2", b"5", b"L", b"x", b"g", b"S", b"K", b"\xff")) + blocks[at][157:])
        else:
            return b"".join(blocks)[:rng.randrange(TAR_BLOCK * 3, len(data))]
    return b"".join(blocks)


def with_checksum(block):
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


def with_size(block, size):
    return with_checksum(block[:124] + size + block[136:])


def tar_sample(rng, archive, number):
    stem = rng.choice((f"{number:06}", f"deep/{number:06}", f"{number:06}" + "n" * 200, f"gr\u00fc\u00df{number:06}"))
    tar_member(archive, f"{stem}.{rng.choice(ENDINGS)}", image(rng))
    if rng.random() < 0.9:
        tar_member(archive, stem + ".txt", caption(rng))
    if rng.random() < 0.3:
        tar_member(archive, stem + ".json", line_of(rng, {"caption": text(rng), "number": number}))
    if rng.random() < 0.03:
        tar_member(archive, stem + ".txt", b"twice")
    if rng.random() < 0.02:
        tar_member(archive, stem + ".png", b"", type=rng.choice((tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE)), linkname="a")


def shards(rng, folder, count):
    folder.mkdir(parents=True, exist_ok=True)
    per_shard = 25
    for begin in range(0, count, per_shard):
        out = io.BytesIO()
        layout = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
        with tarfile.open(fileobj=out, mode="w", format=layout) as archive:
            for number in range(begin, min(count, begin + per_shard)):
                state = out.tell()
                try:
                    tar_sample(rng, archive, number)
                except ValueError:  # a name that is too long for ustar
                    out.seek(state)
                    out.truncate()
                    archive.offset = state
        data = out.getvalue()
        write(folder / f"shard-{begin // per_shard:05}.tar", damaged_tar(rng, data) if rng.random() < 0.6 else data)
    return {"type": "webdataset", "path": folder}


SOURCES = {"folder": image_folder, "lines": json_lines, "csv": csv_table, "shards": shards, "lists": json_lists}
