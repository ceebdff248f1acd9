"""Small images and prompts for studies, some of them hostile."""
import pathlib
import struct
import zlib

EVIL = '</script><script>alert(1)</script><img src=x onerror=alert(2)> & "quotes" \u2028 \u202e {{7*7}}'


def png(path, width, height, colour):
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(value for x in range(width) for value in colour(x, y)) for y in range(height))
    path.parent.mkdir(parents=True, exist_ok=True)
    text = chunk(b"tEXt", b"prompt\0made by secret-model")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + text
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def make_models(folder, names, num_prompts, size=48):
    """Folders of images as `pixart sample --suite` names them, and prompts.txt, of which the second one is hostile."""
    folder = pathlib.Path(folder)
    for m, name in enumerate(names):
        for i in range(num_prompts):
            width, height = [(size, size), (size * 3 // 2, size), (size, size * 3 // 2)][i % 3]
            radius = size * (3 + m) // 14
            inside = lambda x, y: (x - width / 2) ** 2 + (y - height / 2) ** 2 < radius ** 2
            png(folder / name / f"{i:04}.png", width, height,
                lambda x, y: (210, 60 * m % 256, 80) if inside(x, y) else (i * 70 % 256, 255 * x // width, 255 * y // height))
    prompts = [f"a red disc on ground {i}" + (" " + EVIL if i == 1 else "") for i in range(num_prompts)]
    (folder / "prompts.txt").write_text("\n".join(prompts) + "\n", encoding="utf-8")
    return prompts
