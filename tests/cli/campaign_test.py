"""scripts/campaign.sh: one trial of each drill, of some more; a program that breaks its promises is found and the trial can be replayed;
known trials are not made again; the table has one commit only. Usage: campaign_test.py SOURCE_DIR PIXART"""
import json
import os
import subprocess
import sys
import tempfile

SOURCE_DIR, PIXART = sys.argv[1:]
SMALL = ('--interval', '0.2', '--scale', '0.05')
# By seed: drills of one call share the results of undisturbed commands.
TRIALS = {0: ('kills', 'flips', 'clocks', 'chaos', 'soak', 'poison'), 6: ('signals',), 2: ('hangs',), 3: ('storage',)}
CAPTIONING = '5'  # the trial of `clocks` that starts `pixart caption`
# What a program does after a success, and what is said of it.
SPOILED = {
    'the result differs in captions.jsonl': 'date +%N >> out/captions.jsonl',
    'processes are left': 'sleep 20 >/dev/null 2>&1 &',
    'the foreign file notes.txt was deleted': 'rm -f out/notes.txt',
}


def campaign(*arguments):
    command = [os.path.join(SOURCE_DIR, 'scripts/campaign.sh'), '--work', work, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)


def expect(code, done, *parts):
    text = done.stdout + done.stderr
    assert done.returncode == code and all(part in text for part in parts), (done.args, done.returncode, parts, text)


def lines_of(path):
    with open(path, encoding='utf-8') as file:
        return [json.loads(line) for line in file]


def check_drills(out):
    for seed, drills in TRIALS.items():
        named = [word for drill in drills for word in ('--drill', drill)]
        done = campaign('--binary', PIXART, *named, '--seed', str(seed), '--out', out, *SMALL)
        expect(0, done, *(f'{drill}: ' for drill in drills))
        assert done.stdout.count(' 0 lost') == len(drills), done.stdout
    lines = lines_of(out)
    assert [(line['seed'], line['drill']) for line in lines] == [(seed, drill) for seed, drills in TRIALS.items() for drill in drills], lines
    for line in lines:
        assert line['tried'] > 0 and line['lost'] == 0, line
        assert line['replay'].startswith(f'scripts/campaign.sh --drill {line["drill"]} --seed {line["seed"]}'), line
    expect(0, campaign('--table', '--out', out), *(f'| `{drill}` | ' for drills in TRIALS.values() for drill in drills))


def check_poison_on_ranks():
    """Two ranks that are killed after a roll-back; and roll-backs up to a limit, and none."""
    for seed in ('1', '6'):
        expect(0, campaign('--binary', PIXART, '--drill', 'poison', '--seed', seed), 'poison: ', ' 0 lost')


def check_resume(out):
    known = len(lines_of(out))
    done = campaign('--binary', PIXART, '--drill', 'poison', '--count', '1', '--out', out)
    expect(0, done, 'poison: 0 tried in 0 trials, 0 lost')
    assert len(lines_of(out)) == known


def check_that_drills_notice():
    """No drill may say that all is well of a program that breaks its promises."""
    wrapper = os.path.join(work, 'spoiled.sh')
    for problem, spoil in SPOILED.items():
        with open(wrapper, 'w', encoding='utf-8') as file:
            file.write(f'#!/bin/sh\nshims=$LD_PRELOAD\nunset LD_PRELOAD\nLD_PRELOAD=$shims "{PIXART}" "$@"\ncode=$?\nif [ $code = 0 ]; then\nsh -c "{spoil}"\nfi\nexit $code\n')
        os.chmod(wrapper, 0o755)
        done = campaign('--binary', wrapper, '--drill', 'clocks', '--seed', CAPTIONING)
        expect(1, done, f'LOST: clocks, seed {CAPTIONING}', problem, f'replay: scripts/campaign.sh --drill clocks --seed {CAPTIONING}')


def check_table(folder):
    path = os.path.join(folder, 'made.jsonl')
    lines = [('a', 0, 7, 1), ('b', 0, 1000, 0), ('b', 1, 500, 0), ('b', 0, 1001, 0)]
    with open(path, 'w', encoding='utf-8') as file:
        for commit, seed, tried, lost in lines:
            file.write(json.dumps({'commit': commit, 'drill': 'kills', 'seed': seed, 'tried': tried, 'lost': lost, 'where': 'CI'}) + '\n')
        file.write('{"commit": "b", "dri')  # a kill while it was written
    expect(0, campaign('--table', '--out', path), '| `kills` | 1,501 kills in 2 trials | 0 | CI | 2,000 |', 'commit `b`')
    expect(0, campaign('--table', '--out', path, '--commit', 'a'), '| 7 kills in 1 trials | 1 |')
    expect(78, campaign('--table', '--out', path, '--commit', 'c'), 'no trial of commit c; it has: a, b')


def check_wrong_input():
    expect(78, campaign('--drill', 'nothing'), '--help')
    expect(78, campaign('--binary', os.path.join(work, 'absent')), 'cannot be run')
    expect(78, campaign('--table'), '--out')


with tempfile.TemporaryDirectory() as work:
    results = os.path.join(work, 'results.jsonl')
    check_table(work)
    check_wrong_input()
    check_that_drills_notice()
    check_drills(results)
    check_poison_on_ranks()
    check_resume(results)
