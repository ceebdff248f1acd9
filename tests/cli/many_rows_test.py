"""The sources of tests/support/many_rows.py: `pixart data stats` and `data check` find the same captions in all of them,
with any number of cores, and say how far they are. Usage: many_rows_test.py SOURCE_DIR PIXART"""
import json
import os
import re
import subprocess
import sys
import tempfile

SOURCE_DIR, PIXART = sys.argv[1:]
ROWS = 1_200


def make(kind, folder, *arguments):
    path = os.path.join(folder, kind + '-'.join(arguments))
    subprocess.run([sys.executable, os.path.join(SOURCE_DIR, 'tests/support/many_rows.py'), '--kind', kind, '--rows', str(ROWS),
                    '--folder', path, *arguments], check=True)
    return os.path.join(path, 'rows.jsonl') if kind == 'table' else path


def one_core():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def run(*arguments, **options):
    done = subprocess.run([PIXART, 'data', *arguments], capture_output=True, text=True, timeout=300, check=False, **options)
    assert done.returncode == 0, (arguments, done.returncode, done.stdout, done.stderr)
    return done


def stats(source, **options):
    result = json.loads(run('stats', source, '--json', '--top', '1000', **options).stdout)
    for row in result['rows']:
        del row['source']
    return result


def without_examples(openings):
    return [{key: value for key, value in opening.items() if key != 'example'} for opening in openings]


def check_kinds(folder):
    """Keys differ, and with them the examples; all else is the same."""
    sources = {kind: make(kind, folder) for kind in ('table', 'webdataset', 'image_folder')}
    counted = {kind: stats(source) for kind, source in sources.items()}
    for kind, result in counted.items():
        assert result['images'] == ROWS and result['not_counted'] == {}, (kind, result['images'], result['not_counted'])
        row, = result['rows']
        assert row['num_captions'] == ROWS and row['valid_nouns'] > 100 and row['unknown_distinct'] > 50, (kind, row)
        row['openings'] = without_examples(row['openings'])
        assert result == counted['table'], (kind, result)
    for kind, source in sources.items():
        found = json.loads(run('check', source, '--json').stdout)[0]
        assert (found['listed'], found['accepted']) == (ROWS, ROWS), (kind, found)
        captions = found['captions']['caption']
        assert captions['distinct'] == ROWS and captions['characters'] == [500, 500, 500], (kind, captions)
        # The images of a table are 1,000.
        assert len(found['duplicates']) == (ROWS - 1_000 if kind == 'table' else 0), (kind, found['duplicates'])
    return sources


def check_cores(source):
    assert stats(source) == stats(source, preexec_fn=one_core)
    assert run('check', source, '--json').stdout == run('check', source, '--json', preexec_fn=one_core).stdout


def check_progress(source):
    for command in ('stats', 'check'):
        messages = run(command, source).stderr
        assert re.search(r'\d+ %  \d+/1200 \w+  [\d.]+/s  \S.* left\n', messages), messages


def check_seed(folder, first):
    other = make('table', folder, '--seed', '2', '--caption-bytes', '80', '--classes', '7')
    with open(other, encoding='ascii') as table, open(first, encoding='ascii') as before:
        rows, before = [json.loads(line) for line in table], [json.loads(line) for line in before]
    assert {len(row['caption']) for row in rows} == {80} and {row['label'] for row in rows} == set(range(7))
    assert rows[0]['caption'] != before[0]['caption'][:80]


with tempfile.TemporaryDirectory() as everything:
    made = check_kinds(everything)
    check_cores(made['webdataset'])
    check_progress(made['webdataset'])
    check_seed(everything, made['table'])
