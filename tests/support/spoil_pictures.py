"""Small images, and ways to spoil them. Used by spoil.py; Python's standard library only.

IMAGE_WAYS maps a name to (file ending, function of the good image's bytes, reason); CONTROL_WAYS, which must be
taken as they are, has no reason. The reasons are those of include/pixart/data/rejection.h.
"""
import base64
import struct
import zlib

# 32 x 24 pixels: a baseline JPEG with tables of its own, the same as a progressive one, lossy and lossless WebP.
BASELINE_JPEG = base64.b64decode(
    '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19i'
    'Z2hnPk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2Nj'
    'Y2NjY2NjY2P/wAARCAAYACADASIAAhEBAxEB/8QAGQAAAgMBAAAAAAAAAAAAAAAAAAQCAwUG/8QAHxAAAQQCAwEBAAAAAAAAAAAA'
    'AQACAwQRYQUSIUFR/8QAGAEAAgMAAAAAAAAAAAAAAAAABAUCAwb/xAAeEQABBAIDAQAAAAAAAAAAAAABAAIDEQQSBRMhMf/aAAwD'
    'AQACEQMRAD8A5OOtpNxVCRnGBtOR1tKzHXz8U5sggeK/jKncbPxLsrYPxNR1tKK2Y62kN3kj1PC7qIpVR1tKUnGCY9g4tP3zKEIZ'
    '7ysDhZMsTtmGiravDhkge95eQcgAYWtHW0hCFe8p9HkySnZ5tf/Z')
PROGRESSIVE_JPEG = base64.b64decode(
    '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19i'
    'Z2hnPk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2Nj'
    'Y2NjY2NjY2P/wgARCAAYACADASIAAhEBAxEB/8QAGQAAAgMBAAAAAAAAAAAAAAAAAAMBAgQF/8QAGAEAAgMAAAAAAAAAAAAAAAAA'
    'AwQBAgX/2gAMAwEAAhADEAAAAeS11putsbRvUkBYF9YCf//EABsQAAMAAgMAAAAAAAAAAAAAAAABAgMQERIh/9oACAEBAAEFAlIp'
    'OopFO1IpHj5Jw+qT/8QAHBEAAgICAwAAAAAAAAAAAAAAAAIBAwQREiEi/9oACAEDAQE/Acb3JviU2Ms7gWxm7k//xAAYEQEBAAMA'
    'AAAAAAAAAAAAAAAAAQIDEv/aAAgBAgEBPwHPY7WrX//EABQQAQAAAAAAAAAAAAAAAAAAADD/2gAIAQEABj8CT//EABkQAAIDAQAA'
    'AAAAAAAAAAAAAAERABAxIP/aAAgBAQABPyGhFgzgNbUUxLo//9oADAMBAAIAAwAAABB/n8P/xAAXEQEBAQEAAAAAAAAAAAAAAAAR'
    'AQAx/9oACAEDAQE/EDZvNVhnyXVVd//EABcRAQEBAQAAAAAAAAAAAAAAAAEAIRH/2gAIAQIBAT8QQMu02ee//8QAHBABAAMAAgMA'
    'AAAAAAAAAAAAAQARYRBBITFR/9oACAEBAAE/EMY6XVGyt6mMxlenzjGYwVRLvxcAnsbAKmM//9k=')
LOSSY_WEBP = base64.b64decode(
    'UklGRqwAAABXRUJQVlA4IKAAAADwBQCdASogABgAPu1oq1AppaOiqA1RMB2JbACdMoR+MKt1oIUAMfE3VNZal57U2FpIoEIKdICA'
    'AAD+7tV/5/aTrO6frFgBP1K/RO7eknYivVAQwCIbW0j6gJH+iALPqk4qBGQ86/7XxAbyZ9CUwT/HL63tPy2/yf/GDrb/8STfRI+l'
    'SbYZPczLVPv3gLkjAIdgX/SjV0s/uSc7DxCkcAAA')
LOSSLESS_WEBP = base64.b64decode(
    'UklGRiwBAABXRUJQVlA4TB8BAAAvH8AFAAmASGp/7hki+p+6EAgk/pZjJLCDWDCZP2l3BNH/5C4sbmrbjqpXRzEiqFM/WYigjoDx'
    'XhwkocXAH+4ChWxbefgXEoZhGIZhGH78GIZhGIZhGIZh2GKYBgCQhkal8RKdxlOSbVuzE9z9FU0eQmHbto3VlaS7vcLAjOAyukrZ'
    'zvTAfQSgAFDRmQnug9wMbN3Xul62X7AZk9x4sFRanCzU5hdzLW2nkqXcj5pk82QGzj5rO3qcuqTs0ee+YfUeLQU6VEwMGAhgU8I2'
    'LvDEjF508VD4Y3AGqDbmQNsXyCaqAAztzC6kq/15AZD6GDHTWNZG8dh4I4n8d14vb6f334f0aX0p3770EfnvMtJHH0mMfVd8VPHh'
    'v3Xdkpp93AA=')


# --- PNG by hand


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
PNG_END = chunk(b'IEND', b'')


def png_header(width, height, depth=8, colour=2):
    return chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0))


def png_rows(number, width=32, height=24):
    """Pixels that differ from number to number, with the filter byte of each row."""
    rows = b''
    for y in range(height):
        rows += b'\0' + b''.join(
            bytes(((8 * x + number) % 256, (10 * y + number // 256) % 256, (x * y) % 256)) for x in range(width))
    return rows


def png(number, before=b'', rows=None, header=png_header(32, 24)):
    data = zlib.compress(png_rows(number) if rows is None else rows)
    return PNG_SIGNATURE + header + before + chunk(b'IDAT', data) + PNG_END


def with_data(good, change):
    """The PNG with other bytes as its pixels' zlib stream, and the right checksum of the chunk."""
    at = good.index(b'IDAT')
    length, = struct.unpack('>I', good[at - 4:at])
    data = change(good[at + 4:at + 4 + length])
    return good[:at - 4] + chunk(b'IDAT', data) + PNG_END


def flipped(data, at, bits=0x55):
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1:]


def without_chunk(good, kind):
    at = good.index(kind) - 4
    length, = struct.unpack('>I', good[at:at + 4])
    return good[:at] + good[at + 12 + length:]


def header_only(width, height):
    return lambda good: PNG_SIGNATURE + png_header(width, height) + good[33:]


def before_pixels(good, inserted):
    return good[:33] + inserted + good[33:]


def animation(frames):
    return chunk(b'acTL', struct.pack('>II', frames, 0))


# --- JPEG


def segment(jpeg, marker):
    """Where the first segment with this marker begins and ends."""
    at = 2
    while jpeg[at + 1] != marker:
        at += 2 + struct.unpack('>H', jpeg[at + 2:at + 4])[0]
    return at, at + 2 + struct.unpack('>H', jpeg[at + 2:at + 4])[0]


def without_segment(jpeg, marker):
    begin, end = segment(jpeg, marker)
    return jpeg[:begin] + jpeg[end:]


def frame_changed(jpeg, at, value):
    begin, _ = segment(jpeg, 0xC0)
    return jpeg[:begin + at] + bytes([value]) + jpeg[begin + at + 1:]


def garbage_pixels(jpeg):
    _, end = segment(jpeg, 0xDA)
    return jpeg[:end + 4] + b'\xab\x54' * 20 + jpeg[end + 44:]


def many_scans(_):
    """A progressive image whose last scan is repeated until there are more than 500."""
    body = PROGRESSIVE_JPEG[:-2]
    return body + body[body.rindex(b'\xff\xda'):] * 501 + b'\xff\xd9'


def with_exif(jpeg, exif):
    data = b'Exif\0\0' + exif
    return jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(data) + 2) + data + jpeg[2:]


# --- WebP


def riff(*chunks):
    body = b'WEBP' + b''.join(kind + struct.pack('<I', len(data)) + data + b'\0' * (len(data) % 2)
                              for kind, data in chunks)
    return b'RIFF' + struct.pack('<I', len(body)) + body


def animated_webp(_):
    size = b'\x1f\0\0\x17\0\0'  # 32 x 24, each less 1
    frame = b'\0' * 6 + size + b'\x64\0\0\0' + LOSSY_WEBP[12:]
    return riff((b'VP8X', b'\x02\0\0\0' + size), (b'ANIM', b'\0' * 6), (b'ANMF', frame), (b'ANMF', frame))


def one_frame_webp(_):
    size = b'\x1f\0\0\x17\0\0'
    frame = b'\0' * 6 + size + b'\x64\0\0\0' + LOSSY_WEBP[12:]
    return riff((b'VP8X', b'\x02\0\0\0' + size), (b'ANIM', b'\0' * 6), (b'ANMF', frame))


# --- GIF, BMP, TIFF by hand: 2 x 1 pixels


def gif(number):
    palette = bytes((number % 256, number // 256 % 256, 7)) + b'\xff\0\0'
    # three bits a code: clear, 0, 1, end
    return b'GIF89a\x02\0\x01\0\x80\0\0' + palette + b',\0\0\0\0\x02\0\x01\0\0\x02\x02\x44\x0a\0;'


def bmp(number):
    pixels = bytes((7, number // 256 % 256, number % 256, 0, 0, 255, 0, 0))
    header = struct.pack('<IiiHHIIiiII', 40, 2, 1, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    return b'BM' + struct.pack('<IHHI', 54 + len(pixels), 0, 0, 54) + header + pixels


def tiff(number):
    pixels = bytes((number % 256, number // 256 % 256, 7)) * 64
    tags = ((256, 64), (257, 1), (258, 8), (259, 1), (262, 2), (273, 8 + 2 + 9 * 12 + 4), (277, 3), (278, 1), (279, len(pixels)))
    entries = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags)
    return b'II*\0' + struct.pack('<IH', 8, len(tags)) + entries + b'\0' * 4 + pixels


def other(content):
    return lambda _: content


HTML = b'<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>nothing here</body></html>\n'
TAR = b'a.txt' + b'\0' * 252 + b'ustar\x0000' + b'\0' * 248 + b'\0' * 1024
IMAGE_WAYS = {
    # other content
    'html': ('.jpg', other(HTML), 'not_a_picture'),
    'zip': ('.png', other(b'PK\x03\x04\x0a' + b'\0' * 40), 'not_a_picture'),
    'tar': ('.webp', other(TAR), 'not_a_picture'),
    'heic': ('.jpg', other(b'\0\0\0\x18ftypheic\0\0\0\0mif1heic' + b'\0' * 99), 'not_a_picture'),
    'Photoshop': ('.png', other(b'8BPS\0\x01' + b'\0' * 99), 'not_a_picture'),
    'JPEG XL': ('.jpg', other(b'\xff\x0a' + b'\x55' * 99), 'not_a_picture'),
    'svg': ('.png', other(b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>\n'), 'not_a_picture'),
    'json': ('.jpg', other(b'{"error": "rate limit"}\n'), 'not_a_picture'),
    'text': ('.png', other(b'This is no image.\n'), 'not_a_picture'),
    'zero bytes': ('.jpg', other(b'\0' * 4096), 'not_a_picture'),
    'random bytes': ('.png', other(bytes((i * i * 7 + 131) % 251 for i in range(2000))), 'not_a_picture'),
    # PNG
    'png cut in the signature': ('.png', lambda p: p[:5], 'damaged_picture'),
    'png cut in the header': ('.png', lambda p: p[:20], 'damaged_picture'),
    'png cut in the pixels': ('.png', lambda p: p[:len(p) * 2 // 3], 'damaged_picture'),
    'png sent as text': ('.png', lambda p: p.replace(b'\r\n', b'\n'), 'damaged_picture'),
    'png checksum of the header': ('.png', lambda p: flipped(p, 30), 'damaged_picture'),
    'png checksum of the pixels': ('.png', lambda p: flipped(p, len(p) - 13), 'damaged_picture'),
    'png bad zlib stream': ('.png', lambda p: with_data(p, lambda d: d[:20] + b'\xff' * 20 + d[40:]), 'damaged_picture'),
    'png wrong checksum in zlib': ('.png', lambda p: with_data(p, lambda d: flipped(d, -1 % len(d))), 'damaged_picture'),
    'png too few rows': ('.png', lambda p: png(0, rows=png_rows(0, height=20)), 'damaged_picture'),
    'png without pixels': ('.png', lambda p: without_chunk(p, b'IDAT'), 'damaged_picture'),
    'png of width 0': ('.png', header_only(0, 24), 'damaged_picture'),
    'png of width 2^31': ('.png', header_only(1 << 31, 24), 'picture_too_large'),
    'png with a long side': ('.png', header_only(40000, 24), 'picture_too_large'),
    'png bomb': ('.png', header_only(30000, 30000), 'picture_too_large'),
    'png animated': ('.png', lambda p: before_pixels(p, animation(2)), 'unsupported_picture'),
    # JPEG
    'jpeg cut in the signature': ('.jpg', lambda p: p[:2], 'damaged_picture'),
    'jpeg cut in the tables': ('.jpg', lambda p: p[:100], 'damaged_picture'),
    'jpeg cut in the pixels': ('.jpg', lambda p: p[:-40], 'damaged_picture'),
    'jpeg with garbage pixels': ('.jpg', garbage_pixels, 'damaged_picture'),
    'jpeg without frame': ('.jpg', lambda p: without_segment(p, 0xC0), 'damaged_picture'),
    'jpeg without quantisation': ('.jpg', lambda p: without_segment(without_segment(p, 0xDB), 0xDB), 'damaged_picture'),
    'jpeg without Huffman tables': ('.jpg', lambda p: without_segment(p, 0xC4), 'damaged_picture'),
    'jpeg without scan': ('.jpg', lambda p: p[:segment(p, 0xDA)[0]] + b'\xff\xd9', 'damaged_picture'),
    'jpeg of 12 bits': ('.jpg', lambda p: frame_changed(p, 4, 12), 'unsupported_picture'),
    'jpeg lossless': ('.jpg', lambda p: frame_changed(p, 1, 0xC3), 'unsupported_picture'),
    'jpeg with a long side': ('.jpg', lambda p: frame_changed(p, 7, 0x9c), 'picture_too_large'),
    'jpeg with many scans': ('.jpg', many_scans, 'picture_too_large'),
    # WebP
    'webp cut in the header': ('.webp', lambda p: p[:10], 'damaged_picture'),
    'webp cut in the pixels': ('.webp', lambda p: p[:len(p) // 2], 'damaged_picture'),
    'webp lossless, cut': ('.webp', lambda p: LOSSLESS_WEBP[:200], 'damaged_picture'),
    'webp with a wrong start code': ('.webp', lambda p: flipped(p, 24), 'damaged_picture'),
    'webp animated': ('.webp', animated_webp, 'unsupported_picture'),
    # GIF, BMP, TIFF, AVIF
    'gif cut': ('.gif', lambda p: p[:-8], 'damaged_picture'),
    'gif without image': ('.gif', lambda p: p[:19] + b';', 'damaged_picture'),
    'gif bomb': ('.gif', lambda p: p[:6] + b'\xff\xff\xff\xff' + p[10:], 'picture_too_large'),
    'bmp cut': ('.bmp', lambda p: p[:-8], 'damaged_picture'),
    'bmp with a JPEG inside': ('.bmp', lambda p: p[:30] + b'\x04' + p[31:], 'unsupported_picture'),
    'bmp bomb': ('.bmp', lambda p: p[:18] + b'\x30\x75\0\0\x30\x75\0\0' + p[26:], 'picture_too_large'),
    'tiff without tags': ('.tif', lambda p: p[:8] + b'\0' * 6, 'damaged_picture'),
    'tiff cut': ('.tif', lambda p: p[:-8], 'damaged_picture'),
    'avif without image': ('.webp', other(b'\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf'), 'damaged_picture'),
    'webp bomb': ('.webp', lambda p: p[:26] + b'\xff\x3f\xff\x3f' + p[30:], 'picture_too_large'),
}
CONTROL_WAYS = {
    'jpeg with rubbish as EXIF': ('.jpg', lambda p: with_exif(p, b'MM\0*\xff\xff\xff\xff rubbish')),
    'jpeg with more behind it': ('.jpg', lambda p: p + b'what some cameras add' * 9),
    'jpeg progressive': ('.jpg', other(PROGRESSIVE_JPEG)),
    'jpeg called png': ('.png', other(BASELINE_JPEG)),
    'png with a bad profile': ('.png', lambda p: before_pixels(p, chunk(b'iCCP', b'x\0\0rubbish'))),
    'png with a wrong checksum of a text': ('.png', lambda p: before_pixels(p, flipped(chunk(b'tEXt', b'a\0b'), -1 % 15))),
    'png with one frame': ('.png', lambda p: before_pixels(p, animation(1))),
    'png grey of 16 bits': ('.png', lambda p: png(0, rows=b'\0\x12\x34\x56\x78' * 2, header=png_header(2, 2, 16, 0))),
    'png with more behind it': ('.png', lambda p: p + b'more'),
    'png without end': ('.png', lambda p: p[:-12]),
    'png without end and checksums': ('.png', lambda p: p[:-20]),
    'png with a wrong checksum of its end': ('.png', lambda p: flipped(p, len(p) - 1)),
    'gif without end': ('.gif', lambda p: p[:-2]),
    'webp lossless': ('.webp', other(LOSSLESS_WEBP)),
    'webp animated, one frame': ('.webp', one_frame_webp),
    'jpeg with bytes between its segments': (
        '.jpg', lambda p: p[:segment(p, 0xDB)[0]] + b'\x11\x22' + p[segment(p, 0xDB)[0]:]),
    'jpeg of another revision of JFIF': ('.jpg', lambda p: p[:11] + b'\x05' + p[12:]),
    'jpeg with zeros before its end': ('.jpg', lambda p: p[:-2] + b'\0' * 100 + p[-2:]),
    'jpeg called gif': ('.gif', other(BASELINE_JPEG)),
    'gif called png': ('.png', lambda p: gif(0)),
    'gif': ('.gif', lambda p: p),
    'bmp': ('.bmp', lambda p: p),
    'tiff': ('.tif', lambda p: p),
}


def good_image(number, ending):
    good = {'.png': lambda: png(number), '.jpg': lambda: BASELINE_JPEG, '.webp': lambda: LOSSY_WEBP,
            '.gif': lambda: gif(number), '.bmp': lambda: bmp(number), '.tif': lambda: tiff(number)}
    return good[ending]()
