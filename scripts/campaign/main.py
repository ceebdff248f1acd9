"""The campaign; scripts/campaign.sh --help describes it."""
import argparse
import importlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

from drill import Bench, Outcome, read_lines
from table import PROMISES, table

SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXIT_LOST, EXIT_BAD_INPUT = 1, 78


def arguments():
    parser = argparse.ArgumentParser(add_help=False)
    parser.error = lambda message: sys.exit(bad_input(f'{message}; see scripts/campaign.sh --help.'))
    parser.add_argument('--binary', type=pathlib.Path, default=SOURCE / 'build/release/bin/pixart')
    parser.add_argument('--drill', action='append', choices=tuple(PROMISES), default=[])
    parser.add_argument('--seed', type=int)
    parser.add_argument('--count', type=int)
    parser.add_argument('--seconds', type=float)
    parser.add_argument('--out', type=pathlib.Path)
    parser.add_argument('--interval', type=float, default=10)
    parser.add_argument('--scale', type=float, default=1)
    parser.add_argument('--where', default='CI' if os.environ.get('CI') else 'by hand')
    parser.add_argument('--work', type=pathlib.Path)
    parser.add_argument('--table', action='store_true')
    parser.add_argument('--commit')
    return parser.parse_args()


def bad_input(message):
    print(f'campaign: {message}', file=sys.stderr)
    return EXIT_BAD_INPUT


def git(*words):
    return subprocess.run(['git', *words], cwd=SOURCE, capture_output=True, text=True, check=False).stdout.strip()


def commit():
    """Of the tree; with "+" if the tree has other bytes than it."""
    return (git('rev-parse', '--short=12', 'HEAD') or 'unknown') + ('+' if git('status', '--porcelain', '-uno') else '')


def replay(drill, seed, options):
    changed = ''.join(f' --{name} {value:g}' for name, value, usual in (('interval', options.interval, 10), ('scale', options.scale, 1))
                      if value != usual and drill in ('chaos', 'soak'))
    return f'scripts/campaign.sh --drill {drill} --seed {seed}{changed}'


def attempt(bench, drill, seed):
    try:
        return importlib.import_module(drill).trial(bench, seed)
    except Exception:  # a fault of the drill itself must not pass for a promise that is kept
        return Outcome(tried=1, problems=[traceback.format_exc()])


def keep_folder(bench):
    kept = bench.work.parent / f'{bench.work.name}-failed-{bench.folder.name}'
    shutil.copytree(bench.folder, kept, symlinks=True, dirs_exist_ok=True)
    return kept


def run_trial(bench, drill, seed, options):
    begin = time.monotonic()
    outcome = attempt(bench, drill, seed)
    line = {'commit': options.commit, 'drill': drill, 'seed': seed, 'tried': outcome.tried, 'lost': len(outcome.problems) and 1,
            'where': options.where, 'seconds': round(time.monotonic() - begin, 1), 'detail': outcome.detail,
            'replay': replay(drill, seed, options)}
    if outcome.problems:
        line['problems'] = [problem[:2000] for problem in outcome.problems[:10]]
        print(f'LOST: {drill}, seed {seed}: ' + '\n  '.join(line['problems']) + f'\nreplay: {line["replay"]}\n'
              f'files: {keep_folder(bench)}', flush=True)
    for folder in bench.work.iterdir():
        if folder.is_dir() and folder.name not in ('template', 'undamaged', 'unpoisoned'):
            shutil.rmtree(folder, ignore_errors=True)
    if options.out:
        with open(options.out, 'a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')
    return line


def known_trials(options, drill):
    lines = read_lines(options.out) if options.out else []
    return {line['seed']: line for line in lines if line['commit'] == options.commit and line['drill'] == drill}


def seeds(options, drill):
    """One seed to replay, or all that are not yet known until enough was tried."""
    if options.seed is not None and options.count is None and options.seconds is None:
        yield options.seed
        return
    known = known_trials(options, drill)
    tried, seed = sum(line['tried'] for line in known.values()), options.seed or 0
    begin = time.monotonic()
    while tried < (options.count if options.count is not None else float('inf') if options.seconds else 1):
        if options.seconds and time.monotonic() - begin > options.seconds:
            return
        if seed not in known:
            tried += yield seed
        seed += 1


def run_drill(bench, drill, options):
    """How many trials broke the promise."""
    lost, trials, tried = 0, 0, 0
    generator = seeds(options, drill)
    seed = next(generator, None)
    while seed is not None:
        line = run_trial(bench, drill, seed, options)
        lost, trials, tried = lost + line['lost'], trials + 1, tried + line['tried']
        try:
            seed = generator.send(line['tried'])
        except StopIteration:
            seed = None
    known = len(known_trials(options, drill)) - trials if options.out else 0
    print(f'{drill}: {tried} tried in {trials} trials, {lost} lost' + (f' ({known} trials were known)' if known > 0 else ''), flush=True)
    return lost


def main():
    options = arguments()
    if options.table:
        if options.out is None:
            return bad_input('--table needs --out FILE.jsonl with the trials.')
        text, problem = table(options.out, options.commit)
        print(text, end='')
        return bad_input(problem) if problem else 0
    options.binary = options.binary.resolve()
    if not os.access(options.binary, os.X_OK):
        return bad_input(f'{options.binary} cannot be run: build it (scripts/build.sh), or name it with --binary.')
    options.commit = options.commit or commit()
    options.out = options.out and options.out.resolve()
    base = options.work and options.work.resolve()
    if base:
        base.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix='campaign-', dir=base))
    try:
        bench = Bench(options.binary, SOURCE, work, options.interval, options.scale)
        lost = sum([run_drill(bench, drill, options) for drill in options.drill or PROMISES])
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return EXIT_LOST if lost else 0


if __name__ == '__main__':
    sys.exit(main())
