"""Golden case image_transform/kinds: small image files of every format and kind, and the pixels that Pillow gives, upright and on white.

Made with pillow 13.0.0, torch 2.11.0, numpy 2.4.6.
Run:  python image_kinds.py OUT [--seed N]
scripts/check_images.py compares all files of all_files(), of several sizes, with Pillow.
"""
import argparse
import hashlib
import io
import struct
import zlib

import numpy as np
import torch
from PIL import Image, ImageOps, TiffImagePlugin

from case_io import fresh_folder, provenance, write_case

ORIENTATION = 0x0112
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>'


# ---- what is drawn --------------------------------------------------------------------------------------------------------------
def photo(rng, width, height):
    """Gradients, soft discs and a little grain."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    image = np.stack([80 + 120 * x / width, 60 + 100 * y / height, 150 - 70 * (x + y) / (width + height)], -1)
    for _ in range(4):
        cx, cy, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.1, 0.4) * min(width, height)
        image += (1 / (1 + np.exp((np.hypot(x - cx, y - cy) - r) / 1.5)))[..., None] * rng.uniform(-90, 90, 3)
    return Image.fromarray((image + rng.normal(0, 3, image.shape)).clip(0, 255).round().astype(np.uint8))


def ramp(width, height):
    """Alpha: from nothing to all."""
    return Image.fromarray((np.mgrid[0:height, 0:width][1] * 255 // max(1, width - 1)).astype(np.uint8))


def saved(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def exif_of(orientation, byte_order="<"):
    exif = Image.Exif()
    exif.endian = byte_order
    exif[ORIENTATION] = orientation
    return exif.tobytes()


# ---- files that Pillow reads and does not write -----------------------------------------------------------------------------------
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, color, depth, before=b"", interlaced=False):
    """`samples`: (H,W,C), of 16 bits for depth 16. `before`: chunks before the pixels."""
    height, width = samples.shape[:2]
    starts = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)] if interlaced else [(0, 0, 1, 1)]
    rows = b""
    for top, left, down, across in starts:
        part = samples[top::down, left::across]
        if part.shape[1]:
            rows += b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in part)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))) + before +
            chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def with_chunk(file, kind, data, before=b"IDAT"):
    at = file.index(before) - 4
    return file[:at] + chunk(kind, data) + file[at:]


def bitmap(pixels, width, height, bits, compression, palette=b"", masks=b""):
    offset = 14 + 40 + len(masks) + len(palette)
    return (b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) +
            struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 2835, 2835, len(palette) // 4, 0) + masks + palette + pixels)


def rows_of_bitmap(array):
    return b"".join(row.tobytes() + b"\0" * (-len(row.tobytes()) % 4) for row in array)


def bitmaps(base):
    """Forms of BMP that Pillow does not write."""
    rgb, width, height = np.asarray(base), *base.size
    blue_first = np.ascontiguousarray(rgb[..., ::-1])
    five = rgb.astype(np.uint16)
    indexed = base.quantize(16, dither=Image.Dither.NONE)
    palette = b"".join(bytes(indexed.palette.palette[3 * i:3 * i + 3][::-1]).ljust(3, b"\0") + b"\0" for i in range(16))
    runs = b"".join(b"".join(bytes([1, int(index)]) for index in row) + b"\0\0" for row in np.asarray(indexed)[::-1]) + b"\0\1"
    yield "bmp", "from the top", bitmap(rows_of_bitmap(blue_first), width, -height, 24, 0)
    yield "bmp", "16 bits, 555", bitmap(rows_of_bitmap((five[::-1, :, 0] >> 3 << 10) | (five[::-1, :, 1] >> 3 << 5) | five[::-1, :, 2] >> 3), width, height, 16, 0)
    yield "bmp", "16 bits, 565", bitmap(rows_of_bitmap((five[::-1, :, 0] >> 3 << 11) | (five[::-1, :, 1] >> 2 << 5) | five[::-1, :, 2] >> 3), width, height, 16, 3,
                                       masks=struct.pack("<III", 0xF800, 0x07E0, 0x001F))
    yield "bmp", "run-length coded", bitmap(runs, width, height, 8, 1, palette)
    old = b"BM" + struct.pack("<IHHI", 26 + len(rows_of_bitmap(blue_first)), 0, 0, 26) + struct.pack("<IHHHH", 12, width, height, 1, 24)
    yield "bmp", "header of OS/2", old + rows_of_bitmap(blue_first[::-1])


def segment(marker, data):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def without_segment(jpeg, marker):
    at = jpeg.index(b"\xff" + bytes([marker]))
    return jpeg[:at] + jpeg[at + 2 + struct.unpack(">H", jpeg[at + 2:at + 4])[0]:]


# ---- every format -----------------------------------------------------------------------------------------------------------------
def jpegs(base):
    gray, plain = base.convert("L"), saved(base, "JPEG", quality=90)
    for name, options in (("4:4:4", {"subsampling": 0}), ("4:2:2", {"subsampling": 1}), ("4:2:0", {"subsampling": 2}), ("progressive", {"progressive": True}),
                          ("progressive 4:4:4", {"progressive": True, "subsampling": 0}), ("quality 30", {"quality": 30}), ("quality 100", {"quality": 100}),
                          ("optimised", {"optimize": True}), ("restart marks", {"restart_marker_blocks": 2}), ("stored as RGB", {"keep_rgb": True}),
                          ("comment", {"comment": "a comment"}), ("density", {"dpi": (300, 300)}), ("profile", {"icc_profile": b"\0" * 300})):
        yield "jpeg", name, saved(base, "JPEG", **{"quality": 90, **options})
    yield "jpeg", "grey", saved(gray, "JPEG", quality=90)
    yield "jpeg", "grey, progressive", saved(gray, "JPEG", quality=90, progressive=True)
    ink = saved(base.convert("CMYK"), "JPEG", quality=92)
    yield "jpeg", "CMYK", ink
    yield "jpeg", "CMYK without Adobe's mark", without_segment(ink, 0xEE)
    yield "jpeg", "two images, MPO", saved(base, "MPO", save_all=True, append_images=[gray.convert("RGB")])
    # What libjpeg or other readers may warn of, though every pixel is there.
    yield "jpeg, odd", "JFIF of another version", plain.replace(b"JFIF\0\1\1", b"JFIF\0\3\1", 1)
    yield "jpeg, odd", "bytes after the end", plain + b"\0" * 100 + b"more"
    yield "jpeg, odd", "second image after the end", plain + plain
    yield "jpeg, odd", "filling before a marker", plain[:2] + b"\xff" * 5 + plain[2:]
    yield "jpeg, odd", "filling before the scan", plain.replace(b"\xff\xda", b"\xff\xff\xff\xda", 1)
    yield "jpeg, odd", "broken colour profile", plain[:2] + segment(0xE2, b"ICC_PROFILE\0\7\3abc") + plain[2:]
    yield "jpeg, odd", "empty comment", plain[:2] + segment(0xFE, b"") + plain[2:]
    yield "jpeg, odd", "unknown segment", plain[:2] + segment(0xEF, b"x" * 999) + plain[2:]
    yield "jpeg, odd", "two EXIF segments", plain[:2] + segment(0xE1, b"Exif\0\0" + exif_of(6)[6:]) + segment(0xE1, b"http://x\0y") + plain[2:]
    yield "jpeg, odd", "EXIF with other content", plain[:2] + segment(0xE1, b"Exif\0\0garbage") + plain[2:]


def pngs(base, rng):
    gray, alpha = base.convert("L"), ramp(*base.size)
    palette = base.quantize(16, dither=Image.Dither.NONE)
    rgb, deep = np.asarray(base), (np.asarray(base).astype(np.uint16) << 8) + rng.integers(0, 256, (*base.size[::-1], 3)).astype(np.uint16)
    alpha16 = np.asarray(alpha)[..., None].astype(np.uint16) * 257
    plain = saved(base, "PNG")
    yield "png", "RGB", plain
    yield "png", "RGBA", saved(Image.merge("RGBA", (*base.split(), alpha)), "PNG")
    yield "png", "grey", saved(gray, "PNG")
    yield "png", "grey and alpha", saved(Image.merge("LA", (gray, alpha)), "PNG")
    yield "png", "1 bit", saved(gray.point(lambda v: 255 * (v > 120), "1"), "PNG")
    for bits in (1, 2, 4, 8):
        yield "png", f"palette, {bits} bits", saved(base.quantize(2**bits, dither=Image.Dither.NONE), "PNG", bits=bits)
    yield "png", "palette, one transparent colour", saved(palette, "PNG", transparency=3)
    yield "png", "palette with alphas", saved(palette, "PNG", transparency=bytes(range(0, 256, 16)))
    yield "png", "RGB, one transparent colour", saved(base, "PNG", transparency=base.getpixel((0, 0)))
    yield "png", "grey, one transparent value", saved(gray, "PNG", transparency=gray.getpixel((0, 0)))
    yield "png", "grey, 16 bits", png(deep[..., :1], 0, 16)
    yield "png", "RGB, 16 bits", png(deep, 2, 16)
    yield "png", "RGBA, 16 bits", png(np.concatenate([deep, alpha16], -1), 6, 16)
    yield "png", "grey and alpha, 16 bits", png(np.concatenate([deep[..., :1], alpha16], -1), 4, 16)
    yield "png", "interlaced", png(rgb, 2, 8, interlaced=True)
    yield "png", "interlaced, grey", png(rgb[..., :1], 0, 8, interlaced=True)
    yield "png", "interlaced, RGBA, 16 bits", png(np.concatenate([deep, alpha16], -1), 6, 16, interlaced=True)
    yield "png", "gamma, white point and background", png(rgb, 2, 8, chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"cHRM", struct.pack(">8I", *[30000] * 8)) +
                                                          chunk(b"bKGD", struct.pack(">3H", 1, 2, 3)))
    yield "png", "profile and text", saved(base, "PNG", icc_profile=b"\0" * 200, dpi=(72, 72))
    yield "png", "unknown chunk", with_chunk(plain, b"abCd", b"x" * 50)
    yield "png, odd", "bytes after the end", plain + b"more"
    yield "png, odd", "text after the pixels", with_chunk(plain, b"tEXt", b"key\0value", b"IEND")
    yield "png, odd", "still image with the chunk of an animation", with_chunk(plain, b"acTL", struct.pack(">II", 1, 0))
    start = plain.index(b"IDAT")
    middle = start + 4 + struct.unpack(">I", plain[start - 4:start])[0] // 2
    yield "damaged", "PNG, a byte of the pixels changed", plain[:middle] + bytes([plain[middle] ^ 0x55]) + plain[middle + 1:]
    yield "animated", "PNG", saved(base, "PNG", save_all=True, append_images=[gray.convert("RGB")])


def webps(base):
    alpha = Image.merge("RGBA", (*base.split(), ramp(*base.size)))
    plain = saved(base, "WEBP", quality=85)
    yield "webp", "lossy", plain
    yield "webp", "lossy, quality 20", saved(base, "WEBP", quality=20)
    yield "webp", "lossless", saved(base, "WEBP", lossless=True)
    yield "webp", "lossy and alpha", saved(alpha, "WEBP", quality=85, exact=True)
    yield "webp", "lossless and alpha", saved(alpha, "WEBP", lossless=True, exact=True)
    yield "webp", "profile", saved(base, "WEBP", lossless=True, icc_profile=b"\0" * 64)
    yield "webp", "one frame of an animation", saved(base, "WEBP", save_all=True, lossless=True)
    yield "webp", "one frame of an animation, alpha", saved(alpha, "WEBP", save_all=True, lossless=True, exact=True)
    yield "animated", "WebP", saved(base, "WEBP", save_all=True, append_images=[base.convert("L").convert("RGB")], lossless=True)


def gifs(base):
    palette, gray = base.quantize(64, dither=Image.Dither.NONE), base.convert("L")
    plain = saved(palette, "GIF")
    yield "gif", "palette", plain
    yield "gif", "palette of 4", saved(base.quantize(4, dither=Image.Dither.NONE), "GIF")
    yield "gif", "grey", saved(gray, "GIF")
    yield "gif", "not interlaced", saved(palette, "GIF", interlace=False)
    yield "gif", "one transparent colour", saved(palette, "GIF", transparency=2)
    yield "gif", "comment", saved(palette, "GIF", comment=b"a comment")
    yield "gif", "animated: the first image", saved(palette, "GIF", save_all=True, append_images=[gray.convert("P")], duration=100)
    yield "gif", "bytes after the end", plain + b"more"
    yield "gif", "87a", b"GIF87a" + plain[6:]


def tiffs(base):
    gray, alpha = base.convert("L"), ramp(*base.size)
    one_bit = gray.point(lambda v: 255 * (v > 120), "1")
    deep = Image.fromarray((np.asarray(gray).astype(np.uint16) << 8) + 77)
    for packing in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma"):
        yield "tiff", f"RGB, {packing}", saved(base, "TIFF", compression=packing)
    for packing in ("raw", "group3", "group4", "tiff_ccitt", "packbits"):
        yield "tiff", f"1 bit, {packing}", saved(one_bit, "TIFF", compression=packing)
    for name, image in (("grey", gray), ("grey and alpha", Image.merge("LA", (gray, alpha))), ("RGBA", Image.merge("RGBA", (*base.split(), alpha))),
                        ("palette", base.quantize(64, dither=Image.Dither.NONE)), ("CMYK", base.convert("CMYK")), ("YCbCr", base.convert("YCbCr")),
                        ("grey, 16 bits", deep)):
        yield "tiff", name, saved(image, "TIFF")
        yield "tiff", f"{name}, LZW", saved(image, "TIFF", compression="tiff_lzw")
    yield "tiff", "grey, 16 bits, big-endian", saved(Image.frombytes("I;16B", deep.size, np.asarray(deep).astype(">u2").tobytes()), "TIFF")
    yield "tiff", "difference coding", saved(base, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield "tiff", "strips of one row", saved(base, "TIFF", strip_size=1)
    yield "tiff", "64 bits (BigTIFF)", saved(base, "TIFF", big_tiff=True)
    yield "tiff", "two pages: the first", saved(base, "TIFF", save_all=True, append_images=[gray.convert("RGB")])


def avifs(base):
    alpha, plain = Image.merge("RGBA", (*base.split(), ramp(*base.size))), saved(base, "AVIF", quality=90)
    yield "avif", "RGB", plain
    for name in ("4:4:4", "4:2:2", "4:2:0", "4:0:0"):
        yield "avif", name, saved(base, "AVIF", quality=90, subsampling=name)
    yield "avif", "quality 30", saved(base, "AVIF", quality=30)
    yield "avif", "alpha", saved(alpha, "AVIF", quality=90)
    yield "avif", "limited range", saved(base, "AVIF", quality=90, range="limited")
    yield "animated", "AVIF", saved(base, "AVIF", save_all=True, append_images=[base.convert("L").convert("RGB")], quality=90)


def plain_bitmaps(base):
    gray = base.convert("L")
    yield "bmp", "RGB", saved(base, "BMP")
    yield "bmp", "RGBA", saved(Image.merge("RGBA", (*base.split(), ramp(*base.size))), "BMP")
    yield "bmp", "grey", saved(gray, "BMP")
    yield "bmp", "1 bit", saved(gray.point(lambda v: 255 * (v > 120), "1"), "BMP")
    yield "bmp", "palette", saved(base.quantize(64, dither=Image.Dither.NONE), "BMP")


def turned(base):
    """The same orientation in every place where a format has room for it."""
    jpeg, png_file = saved(base, "JPEG", quality=92, subsampling=0), saved(base, "PNG")
    for value in range(1, 9):
        for order, name in (("<", "little-endian"), (">", "big-endian")):
            yield "orientation", f"JPEG, EXIF, {name}, {value}", saved(base, "JPEG", quality=92, subsampling=0, exif=exif_of(value, order))
        xmp = (XMP % value).encode()
        yield "orientation", f"JPEG, XMP, {value}", jpeg[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp) + jpeg[2:]
        yield "orientation", f"JPEG, grey, EXIF, {value}", saved(base.convert("L"), "JPEG", quality=92, exif=exif_of(value))
        yield "orientation", f"PNG, EXIF, {value}", saved(base, "PNG", exif=exif_of(value))
        yield "orientation", f"PNG, XMP, {value}", with_chunk(png_file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
        yield "orientation", f"WebP, EXIF, {value}", saved(base, "WEBP", lossless=True, exif=exif_of(value))
        yield "orientation", f"WebP, XMP, {value}", saved(base, "WEBP", lossless=True, xmp=xmp)
        yield "orientation", f"TIFF, {value}", saved(base, "TIFF", tiffinfo={ORIENTATION: value})
        yield "orientation", f"TIFF, deflate, {value}", saved(base, "TIFF", compression="tiff_adobe_deflate", tiffinfo={ORIENTATION: value})
        yield "orientation", f"AVIF, EXIF, {value}", saved(base, "AVIF", quality=90, exif=exif_of(value))
    for value in (0, 9, 255):
        yield "orientation", f"JPEG, {value}, which is none", saved(base, "JPEG", quality=92, exif=exif_of(value))


def cut(base):
    """Files of which the end is missing: a part, or the last bytes."""
    for name, data in (("JPEG", saved(base, "JPEG", quality=90)), ("progressive JPEG", saved(base, "JPEG", quality=90, progressive=True)),
                       ("PNG", saved(base, "PNG")), ("WebP", saved(base, "WEBP", quality=85)), ("lossless WebP", saved(base, "WEBP", lossless=True)),
                       ("WebP with EXIF", saved(base, "WEBP", exif=exif_of(1))), ("GIF", saved(base.quantize(64), "GIF")), ("TIFF", saved(base, "TIFF")),
                       ("TIFF, LZW", saved(base, "TIFF", compression="tiff_lzw")), ("AVIF", saved(base, "AVIF", quality=90)), ("BMP", saved(base, "BMP"))):
        for part in (25, 50, 75, 90):
            yield "cut", f"{name}, {part} %", data[:len(data) * part // 100]
        for missing in (1, 2, 4, 12):
            yield "cut", f"{name}, without its last {missing} bytes", data[:-missing]


def others(base):
    """What Pillow reads and this project does not."""
    yield "other formats", "JPEG 2000", saved(base, "JPEG2000")
    for form in ("PPM", "TGA", "ICO", "PCX", "SGI", "DDS", "QOI"):
        yield "other formats", form, saved(base, form)
    yield "other formats", "TIFF of floats", saved(Image.fromarray(np.asarray(base.convert("L")).astype(np.float32)), "TIFF")
    yield "other formats", "TIFF, 32 bits", saved(base.convert("I"), "TIFF")
    yield "other formats", "TIFF, Lab", saved(Image.merge("LAB", base.split()), "TIFF")


def all_files(rng, width, height):
    """(kind, name, bytes)"""
    base = photo(rng, width, height)
    for files in (jpegs(base), pngs(base, rng), webps(base), gifs(base), tiffs(base), avifs(base), plain_bitmaps(base), bitmaps(base), turned(base), cut(base),
                  others(base)):
        yield from files


# ---- the reference ------------------------------------------------------------------------------------------------------------------
def reference(data):
    """What Pillow gives: upright RGB, alpha on white, 16 bits reduced to the high byte. Throws what Pillow throws."""
    image = Image.open(io.BytesIO(data))
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


GOLDEN = {"jpeg", "jpeg, odd", "png", "png, odd", "webp", "gif", "tiff", "avif", "bmp", "orientation"}
GOLDEN_TURNS = (" 2", " 6", " 7")  # ends of names; the others are checked by hand
EXACT = {"png", "png, odd", "gif", "bmp"}


def file_name(number, kind, data):
    return f"{number:03}." + next((ending for start, ending in ((b"\xff\xd8", "jpg"), (b"\x89PNG", "png"), (b"RIFF", "webp"), (b"GIF8", "gif"), (b"BM", "bmp"),
                                                               (b"II", "tif"), (b"MM", "tif")) if data.startswith(start)), "avif" if data[4:8] == b"ftyp" else "bin")


def main(root, seed):
    folder = fresh_folder(root, "image_transform", "kinds")
    tensors, listed, seen = {}, [], set()
    for number, (kind, name, data) in enumerate(all_files(np.random.default_rng(seed), 13, 9)):
        digest = hashlib.sha256(data).digest()
        if kind not in GOLDEN or digest in seen or (kind == "orientation" and not name.endswith(GOLDEN_TURNS)):
            continue
        seen.add(digest)
        file = file_name(number, kind, data)
        (folder / file).write_bytes(data)
        tensors[f"out.{file}"] = torch.from_numpy(reference(data))
        listed.append({"file": file, "out_on_white": f"out.{file}", "what": f"{kind}: {name}", "exact": kind in EXACT})
    write_case(folder, config={"files": listed, "orientation": "applied"}, tensors=tensors,
               tolerance={"exact": {"uint8_max": 1}, "not_exact": {"uint8_max": 4, "uint8_mean": 1.5}},
               provenance=provenance(seed, "pillow", "numpy"), why="Every format and kind of image file must decode to Pillow's pixels, upright and on white.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    main(args.out, args.seed)
