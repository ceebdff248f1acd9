#!/usr/bin/env python3
"""Makes a source of many rows, quickly: tiny images with long captions of common words.

    many_rows.py --kind KIND --rows N --folder F
    --kind            table:        F/rows.jsonl, whose rows name F/images/00000/000.png, ...: each of
                                    these folders is a link to one with 1,000 images
                      webdataset:   F/rows-000000.tar, ... of 10,000 samples, a .png and a .txt each
                      image_folder: F/00000/00000000.png with a .txt next to it
                      parquet:      F/rows-00000.parquet, ... of 100,000 rows with the columns
                                    image {bytes, path} and caption (needs pyarrow)
    --caption-bytes   length of a caption (default 500)
    --classes         also write a label from 0 to this number less one (default 0: none): the column label, or
                      a .cls in a shard; not for image_folder
    --seed            other captions

The same arguments always make the same bytes, and the first rows do not depend on their number. Images of
all kinds but table differ from each other. 2,000,000 rows of a table need about 20 seconds of a processor and 1.2 GB.
"""
import argparse
import os
import random
import re
import struct
import zlib

SHARD_ROWS, PARQUET_ROWS, FOLDER_ROWS = 10_000, 100_000, 1_000
BLOCK_ROWS = 1_000  # rows of one generator

NOUNS = '''man woman person street building table tree water sky wall dog car window room chair people child
house road grass hand shirt door light field plate cat boat flower horse bird beach mountain train bridge lamp
floor ceiling kitchen bottle cup book shelf bed curtain mirror fence garden river lake cloud sun shadow roof
tower church clock sign bus truck bicycle wheel helmet hat coat dress shoe bag umbrella phone screen keyboard
desk paper box basket fruit apple orange banana bread cake pizza soup bowl spoon fork knife glass wine coffee
tea candle vase leaf branch forest path stone rock sand wave ocean ship harbor pier sail crowd market shop
counter shelf poster painting statue museum stage guitar piano drum microphone ball bat racket net court
stadium player team uniform skateboard ramp snow ski slope jacket glove goose sheep cow elephant giraffe zebra
bear lion monkey rabbit mouse fish shark turtle frog butterfly bee spider web farm barn tractor hay corn wheat
vegetable carrot tomato potato onion pepper salad sandwich cheese egg meat chicken rice noodle plane airport
runway wing engine pilot station platform rail tunnel traffic crosswalk sidewalk bench park fountain playground
swing slide kite balloon toy doll robot computer cable camera tripod lens photograph portrait landscape texture
pattern line circle square triangle corner edge center background foreground scene atmosphere detail color
shade contrast'''.split()
ADJECTIVES = '''large small white black red blue green yellow brown gray old young bright dark long short tall
wooden metal round colorful quiet busy clear cloudy sunny wet dry soft smooth rough shiny dusty modern ancient
beautiful simple elegant crowded empty open narrow wide deep shallow warm cold golden silver striped spotted
decorative rustic vibrant serene cozy distant lush steep curved flat thick thin heavy delicate'''.split()
VERBS = '''sitting standing walking holding looking running riding eating playing reading waiting smiling
leaning sleeping carrying watching driving flying swimming climbing cooking painting working talking jumping
resting hanging growing shining reaching pointing wearing'''.split()
PREPOSITIONS = 'in on near under over beside along across through against above below between around'.split()
SYLLABLES = '''ba be bo da de do ka ke ko la le lo ma me mo na ne no ra re ro sa se so ta te to va ve vo wa we
wo za ze zo lin mar vel ster'''.split()
FORMS = (
    'The image {s} a {a} {n} that is {v} {p} a {a} {n}.',
    'A {a} {n} is {v} {p} the {n}, while two {n}s are {v} {p} the {a} {n}.',
    'In the background there are several {a} {n}s and a {n} {p} the {n}.',
    "The {n}'s {n} is {a}, and its {n} looks {a} {p} the {n}.",
    'There is a {a}-{a} {n} {p} the {n}; it adds {n} and {n} to the {n}.',
    'To the left, {n}s and {n}s surround a {a} {n}, creating a {a} {n}.',
    'Overall, the {n} has a {a} and {a} {n} {p} the {n}.',
    'Photo of a {a} {n} {v} {p} {n}s.')
NAMED = ('A sign reads {0}. ', 'The {0} logo is visible. ', 'It was taken in {0}. ', 'The words {0} are written there. ')


class Words:
    """Draws words, the first ones of a list more often."""

    def __init__(self, seed):
        self.rng = random.Random(f'words {seed}')
        self.lists = {'a': ADJECTIVES, 'n': NOUNS, 'v': VERBS, 'p': PREPOSITIONS,
                      's': ['shows', 'depicts', 'features', 'captures']}

    def draw(self, kind):
        words = self.lists[kind]
        return words[int(len(words) ** self.rng.random()) - 1 if self.rng.random() < 0.5
                     else self.rng.randrange(len(words))]

    def sentence(self):
        return re.sub(r'[a-z](?=\})|\{|\}', lambda found: self.draw(found[0]) if found[0].isalpha() else '',
                      self.rng.choice(FORMS))


def name(number):
    """One of 64,000 words that are in no dictionary."""
    count = len(SYLLABLES)
    parts = number % count, number // count % count, number // count ** 2 % count
    return ''.join(SYLLABLES[part] for part in parts).capitalize()


class Captions:
    """Captions of exactly `length` characters, all ASCII and without quotes or backslashes."""

    def __init__(self, length, seed):
        words = Words(seed)
        self.length, self.seed = length, seed
        self.sentences = [words.sentence() + ' ' for _ in range(1 << 14)]

    def block(self, number):
        """Of BLOCK_ROWS rows."""
        rng = random.Random(f'captions {self.seed} {number}')
        for _ in range(BLOCK_ROWS):
            text, bits = '', rng.getrandbits(64)
            if bits & 3 == 0:  # the more frequent names first
                text = NAMED[bits >> 2 & 3].format(name(int(64_000 ** rng.random())))
            while len(text) < self.length:
                text += self.sentences[rng.getrandbits(14)]
            yield text[:self.length - 1].rstrip().ljust(self.length, '.')


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


class Images:
    """PNGs of 16 x 12 to 23 x 19 pixels; a comment makes each one different."""

    def __init__(self):
        self.heads, self.bodies = [], []
        for k in range(64):
            width, height = 16 + k % 8, 12 + k // 8
            rows = b''.join(b'\0' + bytes((k * 3, y * 9, k * 4)[c] for _ in range(width) for c in range(3))
                            for y in range(height))
            self.heads.append(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)))
            self.bodies.append(chunk(b'IDAT', zlib.compress(rows, 9)) + chunk(b'IEND', b''))

    def png(self, number):
        k = (number * 2_654_435_761 >> 16) % 64
        return self.heads[k] + chunk(b'tEXt', b'Comment\0row %d' % number) + self.bodies[k]


class Rows:
    def __init__(self, arguments):
        self.count, self.classes = arguments.rows, arguments.classes
        self.captions, self.images = Captions(arguments.caption_bytes, arguments.seed), Images()

    def __iter__(self):
        """(number, caption)"""
        for first in range(0, self.count, BLOCK_ROWS):
            yield from zip(range(first, min(first + BLOCK_ROWS, self.count)), self.captions.block(first // BLOCK_ROWS))

    def label(self, number):
        return number * 7_919 % self.classes


def write_table(rows, folder):
    images = os.path.join(folder, 'images')
    os.makedirs(os.path.join(images, '00000'))
    for number in range(FOLDER_ROWS):
        with open(os.path.join(images, '00000', f'{number:03}.png'), 'wb') as file:
            file.write(rows.images.png(number))
    for number in range(1, -(-rows.count // FOLDER_ROWS)):
        os.symlink('00000', os.path.join(images, f'{number:05}'))
    with open(os.path.join(folder, 'rows.jsonl'), 'w', encoding='ascii', newline='\n') as table:
        for number, caption in rows:
            label = f', "label": {rows.label(number)}' if rows.classes else ''
            table.write(f'{{"image": "images/{number // FOLDER_ROWS:05}/{number % FOLDER_ROWS:03}.png", '
                        f'"caption": "{caption}"{label}}}\n')


class Tar:
    """Writes ustar members; Python's tarfile takes ten times as long."""

    def __init__(self, path):
        self.file = open(path, 'wb')

    def add(self, member, data):
        begin = member.encode().ljust(100, b'\0') + b'0000644\0' b'0000000\0' b'0000000\0' + \
            b'%011o\0' b'00000000000\0' % len(data)
        end = b'0' + b'\0' * 100 + b'ustar\00000'
        total = sum(begin) + sum(end) + 8 * 32
        self.file.write((begin + b'%06o\0 ' % total + end).ljust(512, b'\0'))
        self.file.write(data + b'\0' * (-len(data) % 512))

    def close(self):
        self.file.write(b'\0' * 1024)
        self.file.close()


def write_webdataset(rows, folder):
    tar = None
    for number, caption in rows:
        if number % SHARD_ROWS == 0:
            if tar:
                tar.close()
            tar = Tar(os.path.join(folder, f'rows-{number // SHARD_ROWS:06}.tar'))
        tar.add(f'{number:08}.png', rows.images.png(number))
        tar.add(f'{number:08}.txt', caption.encode())
        if rows.classes:
            tar.add(f'{number:08}.cls', b'%d' % rows.label(number))
    tar.close()


def write_image_folder(rows, folder):
    for number, caption in rows:
        stem = os.path.join(folder, f'{number // FOLDER_ROWS:05}', f'{number:08}')
        if number % FOLDER_ROWS == 0:
            os.makedirs(os.path.dirname(stem))
        with open(stem + '.png', 'wb') as file:
            file.write(rows.images.png(number))
        with open(stem + '.txt', 'wb') as file:
            file.write(caption.encode())


def write_parquet(rows, folder):
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise SystemExit('many_rows: --kind parquet needs pyarrow; install it with pip.')
    columns = {'image': [], 'caption': []}

    def write(last):
        path = os.path.join(folder, f'rows-{last // PARQUET_ROWS:05}.parquet')
        pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=10_000)

    for number, caption in rows:
        columns['image'].append({'bytes': rows.images.png(number), 'path': f'{number:08}.png'})
        columns['caption'].append(caption)
        if rows.classes:
            columns.setdefault('label', []).append(rows.label(number))
        if number % PARQUET_ROWS == PARQUET_ROWS - 1 or number == rows.count - 1:
            write(number)
            columns = {'image': [], 'caption': []}


WRITERS = {'table': write_table, 'webdataset': write_webdataset, 'image_folder': write_image_folder,
           'parquet': write_parquet}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kind', choices=sorted(WRITERS), required=True)
    parser.add_argument('--rows', type=int, required=True)
    parser.add_argument('--folder', required=True)
    parser.add_argument('--caption-bytes', type=int, default=500)
    parser.add_argument('--classes', type=int, default=0)
    parser.add_argument('--seed', type=int, default=1)
    arguments = parser.parse_args()
    if arguments.rows < 1 or arguments.caption_bytes < 1 or arguments.classes < 0:
        parser.error('--rows and --caption-bytes must be at least 1, --classes at least 0')
    if arguments.classes and arguments.kind == 'image_folder':
        parser.error('--classes is not for image_folder')
    os.makedirs(arguments.folder, exist_ok=True)
    if os.listdir(arguments.folder):
        parser.error(f'{arguments.folder} is not empty')
    WRITERS[arguments.kind](Rows(arguments), arguments.folder)


if __name__ == '__main__':
    main()
