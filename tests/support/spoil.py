#!/usr/bin/env python3
"""Makes a data set in which one sample of a hundred is spoiled, each in another way.

    spoil.py OUT             OUT/pictures: a folder source (image_folder) of images with .txt captions
    spoil.py OUT --table     OUT/table.jsonl and OUT/images: a table source with captions and labels
    --seed N                 other places for the spoiled samples (default 0)
    --count N                samples in all (default: 100 for each way to spoil one)
    --clean                  the same samples with nothing spoiled, to compare the order of the rest with

Beside it lie OUT/expected.jsonl, a line per spoiled sample by rising row: {"row", "key", "reason", "way"}, where row
and key are those of the source, and OUT/controls.jsonl ({"row", "key", "way"}): odd samples that must be taken.
The same arguments always make the same bytes. Sources need these settings to list all rows:

    missing_caption: skip, missing_caption_share: 0.01, quarantine_budget: 0.02
    for the table also label_column: label
"""
import argparse
import json
import os
import random

from spoil_pictures import CONTROL_WAYS, IMAGE_WAYS, good_image

ENDINGS = ('.png', '.jpg', '.webp', '.gif', '.bmp', '.tif')


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
        file.write(data)


def write_lines(path, lines):
    write(path, b''.join(json.dumps(line).encode() + b'\n' for line in lines))


# --- a folder of images with captions


def fifo(path):
    os.mkfifo(path)


def link(target):
    return lambda path: os.symlink(target, path)


def large_file(path):
    with open(path, 'wb') as file:
        file.truncate((64 << 20) + 1)  # takes no room on the disk


# What stands in the place of the image.
FILE_WAYS = {
    'empty image': (lambda path: write(path, b''), 'empty_file'),
    'folder as image': (os.mkdir, 'unreadable_file'),
    'link to nothing': (link('gone.png'), 'missing_file'),
    'link to itself': (lambda path: os.symlink(os.path.basename(path), path), 'missing_file'),
    'pipe as image': (fifo, 'unreadable_file'),
    'file of more than 64 MiB': (large_file, 'picture_too_large'),
}
# What stands in the caption's file; None: there is none.
CAPTION_WAYS = {
    'no caption': (None, 'missing_caption'),
    'empty caption': (b'', 'missing_caption'),
    'blank caption': (b' \t\r\n \n', 'missing_caption'),
    'caption in Latin-1': ('ein Stück'.encode('latin-1'), 'bad_caption_text'),
    'caption in UTF-16': ('an image'.encode('utf-16'), 'bad_caption_text'),
    'caption with NUL': (b'a \0 image\n', 'bad_caption_text'),
    'caption with escape': (b'a \x1b[1mbold\x1b[0m image\n', 'bad_caption_text'),
    'caption cut in a character': ('ein Stück'.encode()[:-3], 'bad_caption_text'),
    'caption of 2 MiB': (b'word ' * (2 << 20 >> 2), 'caption_too_long'),
}
CAPTION_CONTROLS = {
    'caption with a byte-order mark': b'\xef\xbb\xbfa image\n',
    'caption behind empty lines': b'\r\n\r\n  an image \r\n',
    'caption in other scripts': 'картина, 絵, 🖼\n'.encode(),
}


def make_folder(arguments):
    random_numbers = random.Random(arguments.seed)
    num_ways = len(IMAGE_WAYS) + len(FILE_WAYS) + len(CAPTION_WAYS)
    count = arguments.count or 100 * num_ways
    keys = [f'{i // 1000:03}/{i:06}{ENDINGS[i % len(ENDINGS)]}' for i in range(count)]  # in the order of the source
    free = {ending: [i for i in range(count) if keys[i].endswith(ending)] for ending in ENDINGS}
    for rows in free.values():
        random_numbers.shuffle(rows)

    def take(ending):
        return free[ending].pop()

    images, captions, files, expected, controls = {}, {}, {}, [], []

    def expect(row, way, reason):
        expected.append({'row': row, 'key': keys[row], 'reason': reason, 'way': way})

    for way, (ending, spoil, reason) in IMAGE_WAYS.items():
        row = take(ending)
        images[row] = spoil
        expect(row, way, reason)
    for i, (way, (make, reason)) in enumerate(FILE_WAYS.items()):
        row = take(ENDINGS[i % len(ENDINGS)])
        files[row] = make
        expect(row, way, reason)
    for i, (way, (text, reason)) in enumerate(CAPTION_WAYS.items()):
        row = take(ENDINGS[i % len(ENDINGS)])
        captions[row] = text
        expect(row, way, reason)
    for way, (ending, change) in CONTROL_WAYS.items():
        row = take(ending)
        images[row] = change
        controls.append({'row': row, 'key': keys[row], 'way': way})
    for way, text in CAPTION_CONTROLS.items():
        row = take('.png')
        captions[row] = text
        controls.append({'row': row, 'key': keys[row], 'way': way})

    folder = os.path.join(arguments.out, 'pictures')
    if arguments.clean:
        images, captions, files, expected = {}, {}, {}, []
    for row, key in enumerate(keys):
        path = os.path.join(folder, key)
        ending = os.path.splitext(key)[1]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if row in files:
            files[row](path)
        else:
            write(path, images.get(row, lambda good: good)(good_image(row, ending)))
        text = captions.get(row, f'image number {row}\n'.encode())
        if text is not None:
            write(os.path.splitext(path)[0] + '.txt', text)
    return expected, controls


# --- a table


def without(row, field):
    return {name: value for name, value in row.items() if name != field}


def as_line(row):
    return json.dumps(row).encode()


# Each makes the line of a good row; the reason; whether the sample keeps the image's path as key.
ROW_WAYS = {
    'no JSON': (lambda row: b'this is no JSON', 'bad_row', False),
    'line cut off': (lambda row: as_line(row)[:-9], 'bad_row', False),
    'Python instead of JSON': (lambda row: repr(row).encode(), 'bad_row', False),
    'comma too many': (lambda row: as_line(row)[:-1] + b',}', 'bad_row', False),
    'nan': (lambda row: as_line(row)[:-1] + b', "score": nan}', 'bad_row', False),
    'two objects in a line': (lambda row: as_line(row) + as_line(row), 'bad_row', False),
    'a list': (lambda row: as_line(list(row.values())), 'bad_row', False),
    'a text': (lambda row: as_line(row['image']), 'bad_row', False),
    'null': (lambda row: b'null', 'bad_row', False),
    'no UTF-8': (lambda row: as_line(row)[:-1] + b', "note": "\xff\xfe"}', 'bad_row', False),
    'nested deeply': (lambda row: as_line(row)[:-1] + b', "note": ' + b'[' * 2000 + b']' * 2000 + b'}', 'bad_row', False),
    'nested very deeply': (lambda row: b'[' * 200000, 'bad_row', False),
    'line of 17 MiB': (lambda row: as_line({**row, 'note': 'x' * (17 << 20)}), 'bad_row', False),
    'no path': (lambda row: as_line(without(row, 'image')), 'missing_field', False),
    'path null': (lambda row: as_line({**row, 'image': None}), 'missing_field', False),
    'path empty': (lambda row: as_line({**row, 'image': ''}), 'missing_field', False),
    'path a number': (lambda row: as_line({**row, 'image': 7}), 'bad_row', False),
    'path an object': (lambda row: as_line({**row, 'image': {'path': row['image']}}), 'bad_row', False),
    'path with NUL': (lambda row: as_line({**row, 'image': 'a\0' + row['image']}), 'bad_row', False),
    'path that leads outside': (lambda row: as_line({**row, 'image': 'a/../../b.png'}), 'path_outside', False),
    'path elsewhere': (lambda row: as_line({**row, 'image': '/etc/hostname'}), 'path_outside', False),
    'path of the folder': (lambda row: as_line({**row, 'image': 'images/..'}), 'path_outside', False),
    'web address': (lambda row: as_line({**row, 'image': 'https://example.org/a.png'}), 'missing_file', False),
    'caption a number': (lambda row: as_line({**row, 'caption': 3}), 'bad_row', True),
    'caption a list of numbers': (lambda row: as_line({**row, 'caption': ['a', 3]}), 'bad_row', True),
    'no caption': (lambda row: as_line(without(row, 'caption')), 'missing_caption', True),
    'caption null': (lambda row: as_line({**row, 'caption': None}), 'missing_caption', True),
    'caption blank': (lambda row: as_line({**row, 'caption': ' \n'}), 'missing_caption', True),
    'caption with NUL': (lambda row: as_line({**row, 'caption': 'a\0b'}), 'bad_caption_text', True),
    'half a surrogate pair': (lambda row: as_line({**row, 'caption': 'a\ud83d'}), 'bad_caption_text', True),
    'caption of 2 MiB': (lambda row: as_line({**row, 'caption': 'x' * (2 << 20)}), 'caption_too_long', True),
    'no label': (lambda row: as_line(without(row, 'label')), 'missing_field', True),
    'label null': (lambda row: as_line({**row, 'label': None}), 'missing_field', True),
    'label below 0': (lambda row: as_line({**row, 'label': -1}), 'bad_label', True),
    'label a fraction': (lambda row: as_line({**row, 'label': 1.5}), 'bad_label', True),
    'label a name': (lambda row: as_line({**row, 'label': 'stamp'}), 'bad_label', True),
    'label too large': (lambda row: as_line({**row, 'label': 10**18}), 'bad_label', True),
}
# Ways of FILE_WAYS and IMAGE_WAYS, and no file at all.
TABLE_FILE_WAYS = ('empty image', 'folder as image', 'link to nothing')
TABLE_IMAGE_WAYS = ('html', 'png cut in the pixels', 'jpeg lossless', 'webp bomb')


def make_table(arguments):
    random_numbers = random.Random(arguments.seed)
    ways = ([('row', way) for way in ROW_WAYS] + [('file', way) for way in TABLE_FILE_WAYS] +
            [('picture', way) for way in TABLE_IMAGE_WAYS] + [('other', 'no file'), ('other', 'second time')])
    count = arguments.count or 100 * len(ways)
    rows = random_numbers.sample(range(1, count), len(ways))
    endings = {row: IMAGE_WAYS[way][0] for row, (kind, way) in zip(rows, ways) if kind == 'picture'}
    keys = [f'images/{i:06}{endings.get(i, ENDINGS[i % len(ENDINGS)])}' for i in range(count)]
    at = {} if arguments.clean else dict(zip(rows, ways))
    expected, lines = [], []
    first_key = keys[min(set(range(count)) - set(rows))]
    for row, key in enumerate(keys):
        kind, way = at.get(row, ('', ''))
        path = os.path.join(arguments.out, key)
        fields = {'image': key, 'caption': f'image number {row}', 'label': row % 10}
        line, reason = as_line(fields), ''
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if kind == 'file':
            make, reason = FILE_WAYS[way]
            make(path)
        elif way == 'no file':
            reason = 'missing_file'
        else:
            spoil = IMAGE_WAYS[way][1] if kind == 'picture' else lambda good: good
            write(path, spoil(good_image(row, os.path.splitext(key)[1])))
        if kind == 'picture':
            reason = IMAGE_WAYS[way][2]
        elif way == 'second time':
            key, reason = first_key, 'duplicate_key'
            line = as_line({**fields, 'image': key})
        elif kind == 'row':
            change, reason, has_key = ROW_WAYS[way]
            line = change(fields)
            key = key if has_key else f'table.jsonl line {row + 1}'
        if reason:
            expected.append({'row': row, 'key': key, 'reason': reason, 'way': way})
        lines.append(line + b'\n')
    write(os.path.join(arguments.out, 'table.jsonl'), b''.join(lines))
    return expected, []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', help='a folder that does not exist yet')
    parser.add_argument('--table', '--jsonl', action='store_true')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--count', type=int, default=0)
    parser.add_argument('--clean', action='store_true')
    arguments = parser.parse_args()
    if os.path.exists(arguments.out):
        parser.error(f'{arguments.out} exists')
    expected, controls = (make_table if arguments.table else make_folder)(arguments)
    write_lines(os.path.join(arguments.out, 'expected.jsonl'), sorted(expected, key=lambda line: line['row']))
    write_lines(os.path.join(arguments.out, 'controls.jsonl'), sorted(controls, key=lambda line: line['row']))


if __name__ == '__main__':
    main()
