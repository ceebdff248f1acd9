"""A long run of tiny steps: memory, open files, threads and the folder do not grow."""
import os
import pathlib
import time

import commands
from drill import Outcome

STEPS = 20000
MOST_GROWTH, MOST_OF_A_SHORT_RUN = 0.01, 0.1
PAUSE = 0.2  # seconds between two samples; in a short run less, or each of the few may fall into a save
STAGE = """  - {{name: class, objective: class_conditional, source: s, resolution: 16, steps: {steps}, batch_size: 2, log_every: 10,
     samples: {{every: {every}, num_steps: 1, prompts: [red circle]}}, checkpoints: {{every: {save}}}}}
"""


class Soak(commands.Train):
    name = 'soak'

    def __init__(self, steps, seed):
        self.steps, self.seed = steps, seed

    def prepare(self, bench, folder):
        stage = STAGE.format(steps=self.steps, every=max(self.steps // 10, 1), save=max(self.steps // 80, 1))
        text = commands.MODELS.format(autoencoder=commands.SMALL_AUTOENCODER, text_encoder=commands.SMALL_TEXT_ENCODER)
        (folder / 'run.yaml').write_text(f'run: run\nseed: {self.seed}\n' + text + 'stages:\n' + commands.FIRST_STAGE + stage)


def measure(process, run):
    """Memory in bytes, open files, threads, and the bytes of checkpoints and features."""
    status = pathlib.Path(f'/proc/{process.pid}/status').read_text()
    values = dict(line.split(':', 1) for line in status.splitlines() if ':' in line)
    kept = sum(path.stat().st_size for part in ('checkpoints', 'features', 'prompts') for path in (run / part).rglob('*') if path.is_file())
    return {'step': last_step(run), 'memory': 1024 * int(values['VmRSS'].split()[0]), 'files': len(os.listdir(f'/proc/{process.pid}/fd')),
            'threads': int(values['Threads']), 'folder': kept}


def last_step(run):
    """Of the second stage; 0 before it."""
    names = [path.name for path in (run / 'checkpoints/class').glob('step-*')]
    return max((int(name[5:]) for name in names if name[5:].isdigit()), default=0)


def grown(samples, key):
    """How much the smallest value of the last quarter of steps exceeds that of the second quarter, relative to it. A save or a
    drawing has more for a moment, which is not growth; what is never given back is in the smallest, too."""
    last = samples[-1]['step']
    early = [sample[key] for sample in samples if last / 4 <= sample['step'] < last / 2]
    late = [sample[key] for sample in samples if sample['step'] >= 3 * last / 4]
    return min(late) / min(early) - 1 if early and late else None


def trial(bench, seed):
    outcome = Outcome()
    command = Soak(max(int(STEPS * bench.scale), 80), seed)
    folder = bench.begin('soak')
    command.prepare(bench, folder)
    process = bench.start(command)
    samples = []
    while not process.ended():
        try:
            samples.append(measure(process, folder / 'run'))
        except (OSError, KeyError):
            pass  # a checkpoint was deleted meanwhile, or the process has just ended
        time.sleep(max(PAUSE * min(command.steps / STEPS, 1), 0.01))
    outcome.demand(process.wait() == 0, f'it ends with {process.popen.returncode}: {process.output()[-1500:]}')
    outcome.tried = last_step(folder / 'run')
    outcome.demand(outcome.tried == command.steps, f'it made {outcome.tried} of {command.steps} steps')
    samples = [sample for sample in samples if sample['step'] > 0]
    for key in ('memory', 'files', 'threads', 'folder') if samples else ():
        growth = grown(samples, key)
        if growth is None:
            outcome.detail[key] = 'too few samples'
            continue
        outcome.detail[key] = round(growth, 4)
        allowed = MOST_GROWTH if command.steps >= STEPS else MOST_OF_A_SHORT_RUN
        outcome.demand(growth <= allowed, f'{key} grew by {100 * growth:.1f} %')
    outcome.demand(outcome.detail.get('memory') != 'too few samples' or command.steps < STEPS, 'too few samples')
    bench.nobody_is_left(outcome)
    return outcome
