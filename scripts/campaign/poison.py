"""Feature sets whose consecutive samples are not finite. With roll-backs a run leaves them out by itself, and its weights are
those of a run that was told of them; without, their steps leave the weights alone, and are named in bad_steps/."""
import hashlib
import json
import math
import shutil
import signal
import struct
import time

import commands
import flips
from drill import Outcome, compare, seeded, signal_one

BAD = (0x7E00, 0x7C00, 0xFC00)  # float16: NaN, +inf, -inf
ROWS, POISONED = 64, 20
# 16 steps of 4 samples: each row is used.
STAGE = ('  - {{name: t, objective: class_conditional, source: s, resolution: 16, steps: 16, batch_size: 4, log_every: 1, '
         'bad_steps: {{roll_back: true, most_roll_backs: {most}}}, checkpoints: {{every: 5}}{more}, '
         'samples: {{every: 0, num_steps: 1, prompts: [red circle]}}}}\n')
DISTURBANCES = (signal.SIGKILL, None, signal.SIGTERM)
VARIANTS = 2 * len(DISTURBANCES) + 1  # one or two ranks, and one with a limit


def read_safetensors(path):
    """(header, bytes of the tensors)"""
    data = path.read_bytes()
    size = struct.unpack('<Q', data[:8])[0]
    return json.loads(data[8:8 + size]), bytearray(data[8 + size:])


def write_safetensors(path, header, data):
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    path.write_bytes(struct.pack('<Q', len(text)) + text + data)


def without(header, data, name):
    """The same tensors but one."""
    kept, result = bytearray(), {}
    for key, info in header.items():
        if key == '__metadata__':
            result[key] = info
        elif key != name:
            first, last = info['data_offsets']
            result[key] = {**info, 'data_offsets': [len(kept), len(kept) + last - first]}
            kept += data[first:last]
    return result, kept


def poison(features, first, count, value, rows):
    """As from an older version, whose sets have no checksums that would give the change away."""
    shard, index, manifest = features / 'shard-00000.safetensors', features / 'index.safetensors', features / 'manifest.json'
    header, data = read_safetensors(shard)
    begin, end = header['moments']['data_offsets']
    size = (end - begin) // rows
    for row in range(first, first + count):
        struct.pack_into('<H', data, begin + row * size + 2 * (row % (size // 2)), value)
    write_safetensors(shard, *without(header, data, 'crc32c'))
    write_safetensors(index, *without(*read_safetensors(index), 'crc32c'))
    content = json.loads(manifest.read_text())
    del content['index']
    content['shards'][0].update(bytes=shard.stat().st_size, sha256=hashlib.sha256(shard.read_bytes()).hexdigest())
    manifest.write_text(json.dumps(content, indent=1) + '\n')


def all_finite(path):
    header, data = read_safetensors(path)
    kinds = {'F32': ('f', 4), 'F64': ('d', 8)}
    for name, info in header.items():
        if name != '__metadata__' and info['dtype'] in kinds:
            kind, width = kinds[info['dtype']]
            first, last = info['data_offsets']
            if not all(math.isfinite(value) for value in struct.unpack(f'<{(last - first) // width}{kind}', data[first:last])):
                return False
    return True


class Poisoned(commands.Train):
    """One stage that rolls back, on a source of which some samples are poisoned."""
    timeout = 60

    def __init__(self, ranks=1, more='', most=ROWS):
        self.ranks, self.more, self.most = ranks, more, most

    def prepare(self, bench, folder):
        shutil.copytree(commands.template(bench) / 'run/autoencoder', folder / 'autoencoder')
        text = flips.models([f'{{name: s, type: scenes, count: {ROWS}, seed: 1, quarantine_budget: 1}}'])
        (folder / 'run.yaml').write_text('run: run\n' + text + 'stages:\n' + STAGE.format(most=self.most, more=self.more))


def clean_features(bench):
    """The feature set before it is poisoned."""
    path = bench.work / 'unpoisoned'
    if not path.exists():
        folder = bench.begin('making-features')
        Poisoned().prepare(bench, folder)
        code, output = bench.run(commands.Extract())
        if code != 0:
            raise SystemExit(f'campaign: the extraction ends with {code}:\n{output}')
        shutil.move(folder / 'run/features' / flips.SET, path)
        shutil.rmtree(folder)
    return path


def begin(bench, command, first, value):
    source = clean_features(bench)
    folder = bench.begin('poison')
    command.prepare(bench, folder)
    features = folder / 'run/features' / flips.SET
    shutil.copytree(source, features)
    poison(features, first, POISONED, value, ROWS)
    return folder


def disturb(bench, command, number, outcome):
    """Ends the run, all its processes, soon after its first roll-back."""
    process = bench.start(command)
    record = bench.folder / 'run/excluded/t.jsonl'
    while not record.exists() and not process.ended():
        time.sleep(0.003)
    if number == signal.SIGTERM:
        process.send(number)
    else:
        for pid in bench.everyone():
            signal_one(pid, number)
    code = process.wait()
    allowed = (0, 75) if number == signal.SIGTERM else (0, -9, 137)
    outcome.demand(code in allowed, f'{number.name}: it ends with {code}: {process.output()[-1500:]}')
    outcome.count(f'exit {code}')
    bench.nobody_is_left(outcome, 30)


def excluded_rows(folder):
    lines = (folder / 'run/excluded/t.jsonl').read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return sorted(line['row'] for line in found), max(line['roll_back'] for line in found)


def results(folder):
    """What training computed: weights, EMA, optimizer, events and images."""
    return {name: value for name, value in commands.run_outputs(folder / 'run').items()
            if name.startswith(('checkpoints', 'events', 'samples')) and not name.endswith('state.json')}


def roll_back(bench, rng, outcome, ranks, disturbance):
    first, value = rng.randint(0, ROWS - POISONED), rng.choice(BAD)
    outcome.tried = POISONED
    outcome.detail.update({'ranks': ranks, 'disturbed by': disturbance.name if disturbance else 'nothing'})
    command = Poisoned(ranks)
    folder = begin(bench, command, first, value)
    if disturbance:
        disturb(bench, command, disturbance, outcome)
    code, output = bench.run(command, restart=True)
    if not outcome.demand(code == 0, f'it ends with {code}: {output[-1500:]}'):
        return
    rows, outcome.detail['roll-backs'] = excluded_rows(folder)
    bad = list(range(first, first + POISONED))
    outcome.demand(rows == bad, f'rows {rows} were left out, {bad} are poisoned')
    for path in max((folder / 'run/checkpoints/t').glob('step-*')).glob('*.safetensors'):
        outcome.demand(all_finite(path), f'{path.name} has values that are not finite')
    found = results(folder)

    told = Poisoned(ranks, ', exclude: excluded.jsonl')
    folder = begin(bench, told, first, value)
    (folder / 'excluded.jsonl').write_text(''.join(f'{{"source": "s", "key": "{row}"}}\n' for row in bad))
    code, output = bench.run(told)
    if not outcome.demand(code == 0, f'with exclude it ends with {code}: {output[-1500:]}'):
        return
    outcome.demand(not (folder / 'run/bad_steps').exists(), 'a step was bad although all poisoned samples were left out')
    expected = results(folder)
    outcome.demand(any(name.endswith('ema.safetensors') for name in expected), f'no weights among {sorted(expected)}')
    compare(expected, found, outcome, 'the run with roll-backs')
    bench.nobody_is_left(outcome)


def limit(bench, rng, outcome):
    """After the last roll-back that is allowed the run ends and names the samples; it goes on when more are allowed."""
    first = rng.randint(0, ROWS - POISONED)
    command = Poisoned(most=1)
    folder = begin(bench, command, first, rng.choice(BAD))
    code, output = bench.run(command)
    outcome.demand(code == 71 and 'bad_steps.most_roll_backs allows 1' in output, f'after one roll-back it ends with {code}: {output[-1500:]}')
    if not outcome.demand((folder / 'run/excluded/t.jsonl').exists(), 'no roll-back is recorded'):
        return
    rows, roll_backs = excluded_rows(folder)
    outcome.demand(roll_backs == 1 and set(rows) <= set(range(first, first + POISONED)), f'{roll_backs} roll-backs left out {rows}')
    text = (folder / 'run.yaml').read_text()
    (folder / 'run.yaml').write_text(text.replace('most_roll_backs: 1}', f'most_roll_backs: {ROWS}}}'))
    code, output = bench.run(command)
    if outcome.demand(code == 0, f'with more roll-backs it ends with {code}: {output[-1500:]}'):
        outcome.demand(excluded_rows(folder)[0] == list(range(first, first + POISONED)), 'other samples were left out')
    outcome.tried += POISONED


def skip(bench, rng, outcome):
    """Without roll-backs, on very few samples."""
    command = flips.Features()
    source = flips.original(bench)
    folder = bench.begin('poison')
    command.prepare(bench, folder)
    features = folder / 'run/features' / flips.SET
    shutil.copytree(source, features)
    count = rng.randint(1, flips.ROWS)
    poison(features, rng.randint(0, flips.ROWS - count), count, rng.choice(BAD), flips.ROWS)
    code, output = bench.run(command)
    outcome.tried += count
    outcome.detail['exit'] = code
    if not outcome.demand(code in (0, 71), f'it ends with {code}: {output[-1500:]}') or code == 71:
        return
    last = max((folder / 'run/checkpoints/t').glob('step-*'))
    for path in last.glob('*.safetensors'):
        outcome.demand(all_finite(path), f'{path.name} has values that are not finite')
    skipped, named = json.loads((last / 'state.json').read_text())['skipped'], len(list((folder / 'run/bad_steps').glob('t-step-*')))
    outcome.detail['skipped'] = skipped
    outcome.demand(skipped == named, f'{skipped} steps were skipped, {named} are in bad_steps')
    outcome.demand(skipped > 0, 'no step was skipped')


def trial(bench, seed):
    """Even seeds: one rank, odd ones: two; each is killed, not disturbed, or stopped. Every seventh: one
    roll-back is allowed, or none."""
    rng, outcome, variant = seeded('poison', seed), Outcome(), seed % VARIANTS
    if variant == VARIANTS - 1:
        limit(bench, rng, outcome)
        skip(bench, rng, outcome)
    else:
        roll_back(bench, rng, outcome, 1 + variant % 2, DISTURBANCES[variant // 2])
    return outcome
