"""Every bit of a small feature set, one at a time: `pixart extract --verify` names the set, and training never takes what
such a set holds for the truth. A seed is a range of bits."""
import re
import shutil

import commands
from drill import Outcome, digest, seeded

COPIES = 500  # sets that one process verifies: bits of a seed
SET = 's-latents-16'
ROWS = 4
STAGE = ('  - {{name: t{0}, objective: class_conditional, source: {1}, resolution: 16, steps: 2, batch_size: 2, log_every: 1, '
         'samples: {{every: 0, num_steps: 1, prompts: [red circle]}}}}\n')


def models(sources):
    return commands.MODELS.format(autoencoder='autoencoder: {path: autoencoder}', text_encoder='').replace(
        'sources: [{name: s, type: scenes, count: 8, seed: 1}]', 'sources: [' + ', '.join(sources) + ']')


class Features(commands.Train):
    """One stage that trains on a set of few rows."""
    name = 'features'

    def prepare(self, bench, folder):
        shutil.copytree(commands.template(bench) / 'run/autoencoder', folder / 'autoencoder')
        text = models([f'{{name: s, type: scenes, count: {ROWS}, seed: 1, quarantine_budget: 1}}'])
        (folder / 'run.yaml').write_text('run: run\n' + text + 'stages:\n' + STAGE.format('', 's'))


def original(bench):
    """The undamaged set of the clean run."""
    path = bench.work / 'undamaged'
    if not path.exists():
        command = Features()
        folder = bench.begin('undamaged-run')
        command.prepare(bench, folder)
        code, output = bench.run(command)
        if code != 0:
            raise SystemExit(f'campaign: the run on features ends with {code}:\n{output}')
        shutil.move(folder / 'run/features' / SET, path)
        shutil.rmtree(folder)
    return path


def bits(bench):
    """[(file, byte, bit)] of the shards and the index."""
    files = sorted(path for path in original(bench).glob('*.safetensors'))
    return [(path.name, byte, bit) for path in files for byte in range(path.stat().st_size) for bit in range(8)]


def flip(path, byte, bit):
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


def verify(bench, chosen, outcome):
    folder = bench.begin('flips')
    shutil.copytree(commands.template(bench) / 'run/autoencoder', folder / 'autoencoder')
    names = [f'n{i:03}' for i in range(len(chosen) + 1)]  # the last one is undamaged
    for name, place in zip(names, [*chosen, None]):
        copy = folder / 'run/features' / f'{name}-latents-16'
        shutil.copytree(original(bench), copy)
        manifest = copy / 'manifest.json'
        manifest.write_text(manifest.read_text().replace('"source": "s"', f'"source": "{name}"'))
        if place:
            flip(copy / place[0], place[1], place[2])
    text = models([f'{{name: {name}, type: scenes, count: {ROWS}, seed: 1}}' for name in names])
    stages = ''.join(STAGE.format(i, name) for i, name in enumerate(names))
    (folder / 'run.yaml').write_text('run: run\n' + text + 'stages:\n' + stages)
    command = commands.Extract()
    command.words = lambda *_: [bench.binary, 'extract', 'run.yaml', '--verify']
    code, output = bench.run(command)
    outcome.tried += len(chosen)
    outcome.demand(code == 74, f'extract --verify ends with {code}: {output[-1500:]}')
    damaged = set(re.findall(r'\b(n\d{3})-latents-16/\S*safetensors', output))
    for name, place in zip(names, chosen):
        outcome.demand(name in damaged, f'bit {place[2]} of byte {place[1]} of {place[0]} was not noticed')
    outcome.demand(names[-1] not in damaged, 'the undamaged set is said to be damaged')


def train_on(bench, place, outcome):
    """Refused (74), or the damaged record is replaced and named, or the bit is in bytes that mean nothing."""
    command = Features()
    clean = bench.clean(command)
    folder = bench.begin('flipped')
    command.prepare(bench, folder)
    features = folder / 'run/features' / SET
    shutil.copytree(original(bench), features)
    flip(features / place[0], place[1], place[2])
    before = digest(features / place[0])
    code, output = bench.run(command)
    outcome.tried += 1
    outcome.count(f'train exit {code}')
    if not outcome.demand(code in (0, 74), f'training on {place} ends with {code}: {output[-1500:]}') or code != 0:
        return
    outcome.demand(digest(features / place[0]) == before, f'{place}: the damaged file was written')
    found = commands.run_outputs(folder / 'run')
    named = any(value != clean.outputs.get(name) for name, value in found.items() if name.startswith('quarantine'))
    weights = {name: value for name, value in found.items() if name.startswith(('checkpoints', 'events'))}
    same = all(clean.outputs[name] == value for name, value in weights.items())
    outcome.demand(same or named or 'damaged' in output, f'training on {place} gave other weights without a word')


def trial(bench, seed):
    """Seeds beyond the set's last bit begin again at its first one."""
    rng, outcome = seeded('flips', seed), Outcome()
    every = bits(bench)
    first = (seed * COPIES) % (len(every) + COPIES - len(every) % COPIES)
    chosen = every[first:first + COPIES]
    outcome.detail.update({'first bit': first, 'bits of the set': len(every)})
    verify(bench, chosen, outcome)
    train_on(bench, rng.choice(chosen), outcome)
    return outcome
