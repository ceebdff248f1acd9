"""scripts/check_drawing.py: a small suite, killed on one rank and on two, keeps its promises; a program that leaves another
file is found. Usage: drawing_test.py SOURCE_DIR PIXART"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE_DIR, PIXART = sys.argv[1:]
# After a success it changes a file of the disturbed suite, so that the suite can still be continued.
SPOILED = """#!/bin/sh
'{pixart}' "$@"
code=$?
[ "$code" -ne 0 ] || [ ! -f on-1/sample.json ] || echo >> on-1/sample.json
exit "$code"
"""


def drawing(binaries, ranks):
    command = [os.path.join(SOURCE_DIR, 'scripts/check_drawing.py'), binaries, '--quick', '--ranks', ranks]
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=600, check=False)


def check_promises():
    done = drawing(os.path.dirname(PIXART), '1,2')
    assert done.returncode == 0, (done.stdout, done.stderr)
    summary = json.loads(done.stdout)
    for name, files in (('suite', 61), ('both_weights', 42), ('classes_with_npz', 22)):
        assert [trial['ranks'] for trial in summary[name]] == [1, 2], summary
        for trial in summary[name]:
            assert trial['files'] == files and trial['files_that_differ'] == 0, summary
        assert sum(trial['kills'] for trial in summary[name]) > 0, summary


def check_that_it_notices():
    with tempfile.TemporaryDirectory() as folder:
        spoiled = pathlib.Path(folder, 'pixart')
        spoiled.write_text(SPOILED.format(pixart=PIXART))
        spoiled.chmod(0o755)
        done = drawing(folder, '1')
    assert done.returncode == 1 and 'on-1: 1 files differ: sample.json' in done.stdout, (done.stdout, done.stderr)


check_promises()
check_that_it_notices()
