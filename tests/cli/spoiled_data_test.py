"""Spoiled data sets (tests/support/spoil.py): `pixart data check` finds each spoiled sample, with its reason, and no
other one. Usage: spoiled_data_test.py SOURCE_DIR PIXART"""
import json
import os
import subprocess
import sys
import tempfile

SOURCE_DIR, PIXART = sys.argv[1:]
SETTINGS = ('missing_caption=skip', 'missing_caption_share=0.01')
OF_THE_LINE = ('bad_row', 'missing_field', 'path_outside', 'bad_label', 'missing_file')  # have the line's place


def lines_of(path):
    with open(path, encoding='utf-8') as file:
        return [json.loads(line) for line in file]


def check(source, code, *settings):
    ledger = os.path.join(os.path.dirname(source), 'ledger.jsonl')
    command = [PIXART, 'data', 'check', source, '--quarantine', ledger]
    for setting in (*SETTINGS, *settings):
        command += ['--set', setting]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return lines_of(ledger)


def spoil(*arguments):
    subprocess.run([sys.executable, os.path.join(SOURCE_DIR, 'tests/support/spoil.py'), *arguments], check=True)


def shown(lines):
    return [(line['row'], line['key'], line['reason']) for line in lines]


def compare(out, source, *settings):
    expected = lines_of(os.path.join(out, 'expected.jsonl'))
    assert len({line['way'] for line in expected}) == len(expected) >= 40
    found = check(source, 0, 'quarantine_budget=0.02', *settings)
    for want, got in zip(expected, found):
        assert shown([want]) == shown([got]), (want, got)
    assert len(found) == len(expected)
    check(source, 78, *settings)  # 1 % is more than the budget that is set by default
    return found


with tempfile.TemporaryDirectory() as folder:
    for seed in ('1', '2'):
        out = os.path.join(folder, 'pictures' + seed)
        spoil(out, '--seed', seed)
        compare(out, os.path.join(out, 'pictures'))
        assert lines_of(os.path.join(out, 'controls.jsonl'))

        out = os.path.join(folder, 'table' + seed)
        spoil(out, '--seed', seed, '--table')
        table = os.path.join(out, 'table.jsonl')
        with open(table, 'rb') as file:
            begins = [0]
            for line in file:
                begins.append(begins[-1] + len(line))
        for got in compare(out, table, 'label_column=label'):
            assert got['reason'] not in OF_THE_LINE or got['offset'] == begins[got['row']], got

    clean = os.path.join(folder, 'clean')
    spoil(clean, '--seed', '1', '--clean')
    assert not check(os.path.join(clean, 'pictures'), 0)
    assert not lines_of(os.path.join(clean, 'expected.jsonl'))
