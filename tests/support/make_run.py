#!/usr/bin/env python3
"""Makes a run folder as `pixart train` leaves it behind: two stages, a kill, a restart, a stop and the end.

    make_run.py OUT  a run on drawn images
    --steps N        of the second stage (default 2000; the first has half)
    --name TEXT      first part of the keys of rejected samples
    --prompt TEXT    the first prompt
    --seed N         other noise in the curves
    --dit S/8        the transformer's preset, with the batch and resolution of DiT's own runs
    --loss X         where the loss ends (default 0.16)
    --until WORD     where telemetry ends: done (default), killed, requested, error

The same arguments always make the same bytes.
"""
import argparse
import datetime
import hashlib
import json
import math
import os
import random
import struct
import zlib

BEGIN = datetime.datetime(2026, 3, 2, 8, 15, tzinfo=datetime.timezone.utc)
COLOURS = [(200, 40, 40), (240, 200, 40), (40, 150, 70), (40, 80, 200)]
SIDE = 24


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def png(rows):
    """Rows of (r, g, b) -> the file."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    raw = b''.join(b'\0' + bytes(value for pixel in row for value in pixel) for row in rows)
    head = struct.pack('>IIBBBBB', len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(raw)) + chunk(b'IEND', b'')


def grid(progress, rng, columns=8, rows=2):
    """Discs that come out of noise as training goes on."""
    def pixel(x, y):
        cell = (y // SIDE) * columns + x // SIDE
        inside = math.hypot(x % SIDE - SIDE / 2, y % SIDE - SIDE / 2) < SIDE * 0.35
        clean = COLOURS[cell % 4] if inside else (245 - 30 * (cell % 3),) * 3
        return tuple(int(progress * c + (1 - progress) * rng.randrange(256)) for c in clean)

    return png([[pixel(x, y) for x in range(columns * SIDE)] for y in range(rows * SIDE)])


def score_card(distance):
    protocol = {'num_images': 234, 'reference': {'kind': 'images', 'sha256': '0' * 64, 'num_images': 390}}
    return json.dumps({'kind': 'pixart score, 1', 'scores': {'fd_efficientnet_lite0': distance}, 'protocol': protocol,
                       'reference_name': 'scenes-plain'})


def run_yaml(arguments):
    prompts = [arguments.prompt, 'a yellow circle on a gray background']
    transformer = f'preset: {arguments.dit}' if arguments.dit else 'patch_size: 2, hidden_size: 128, depth: 3, num_heads: 4'
    resolution, batch = (256, 256) if arguments.dit else (32, 96)
    text = [
        'run: runs/made', 'seed: 7', f'transformer: {{{transformer}}}',
        'autoencoder: {path: pretrained/vae}', 'sources:',
        '  - {name: web, type: image_folder, path: images}', 'stages:',
        f'  - {{name: class, objective: class_conditional, source: web, resolution: {resolution}, steps: {arguments.steps // 2},',
        f'     batch_size: {batch}, gradient_clip: 1, optimizer: {{lr: 2.0e-3, betas: [0.9, 0.99]}}}}',
        f'  - {{name: text, objective: text_conditional, source: web, resolution: {resolution}, steps: {arguments.steps},',
        f'     batch_size: {batch}, gradient_clip: 1, init: {{how: reparameterize, from: class}},',
        f'     samples: {{every: 200, prompts: {json.dumps(prompts)}}}}}']
    return '\n'.join(text) + '\n'


class Run:
    def __init__(self, arguments):
        self.out, self.arguments = arguments.out, arguments
        self.rng = random.Random(arguments.seed)
        self.time = BEGIN
        self.events, self.telemetry = [], []
        self.energy = 0.0

    def tell(self, kind, **values):
        line = {'time': self.time.strftime('%Y-%m-%dT%H:%M:%SZ'), 'kind': kind, **values}
        self.telemetry.append(line)

    def sleep(self, seconds):
        self.time += datetime.timedelta(seconds=seconds)

    def start(self):
        self.energy = 0.0
        self.tell('start', host='node-a', processes=8, device='NVIDIA A100-SXM4-80GB', devices=8, version='0.1.0',
                  torch='2.11.0', threads=4, pid=4711)
        self.sleep(20)

    def event(self, stage, step, steps):
        loss = self.arguments.loss + 0.8 * math.exp(-step / (0.07 * steps)) + 0.02 * self.rng.gauss(0, 1)
        norm = max(0.02, 0.25 + 1.5 * math.exp(-step / (0.1 * steps)) + 0.08 * self.rng.gauss(0, 1))
        rate = 2e-3 * min(1, step / 50) * (1 - 0.9 * step / steps)
        self.events.append({'stage': stage, 'step': step, 'loss': loss, 'gradient_norm': norm, 'lr': rate})

    def validate(self, stage, step, steps):
        line = {'stage': stage, 'step': step}
        bins = [0.7 * math.exp(-0.5 * t) + 0.02 + 0.4 * math.exp(-step / (0.15 * steps)) * (0.3 + t / 8) for t in range(8)]
        mean = sum(bins) / 8
        line.update(validation_loss=mean * 1.04, validation_loss_ema=mean)
        line.update({f'validation_loss_t{t}': value for t, value in enumerate(bins)})
        self.events.append(line)
        self.tell('validation', stage=stage, step=step, seconds=3.5)
        self.sleep(4)

    def save(self, stage, step):
        self.tell('save', stage=stage, step=step, seconds=1.4, bytes=7340032)
        folder = os.path.join(self.out, 'checkpoints', stage, f'step-{step:08d}')
        header = json.dumps({'__metadata__': {'format': 'pt', 'pixart.producer': 'pixart 0.1.0',
                                              'pixart.license': 'Apache-2.0'},
                             'w': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}}).encode()
        weights = struct.pack('<Q', len(header)) + header + struct.pack('<ff', step, 1)
        files = {'state.json': json.dumps({'step': step}).encode()}
        files.update({name + '.safetensors': weights for name in ('ema', 'model', 'optimizer')})
        manifest = {'format_version': 2, 'step': step, 'files': {}}
        for name, data in files.items():
            write(os.path.join(folder, name), data)
            part = {'tensor': '', 'end': len(data), 'sha256': hashlib.sha256(data).hexdigest()}
            manifest['files'][name] = {'bytes': len(data), 'parts': [part]}
        manifest['sha256'] = hashlib.sha256(json.dumps(manifest, indent=1, sort_keys=True).encode() + b'\n').hexdigest()
        write(os.path.join(folder, 'manifest.json'), json.dumps(manifest, indent=1, sort_keys=True) + '\n')

    def draw(self, stage, step, steps):
        name = f'samples/{stage}/step-{step:08d}.png'
        write(os.path.join(self.out, name), grid(min(1.0, 0.15 + 0.85 * step / steps), self.rng))
        self.tell('samples', stage=stage, step=step, file=name)

    def interval(self, stage, step, count):
        speed = 620 + 25 * self.rng.gauss(0, 1)
        seconds = count * 96 / speed
        self.sleep(seconds)
        watts = 8 * (310 + 10 * self.rng.gauss(0, 1))
        self.energy += watts * seconds
        self.tell('interval', stage=stage, step=step, seconds=round(seconds, 3), images_per_second=speed,
                  tokens_per_second=speed * 256, flops_per_second=speed * 4e11, mfu=speed * 4e11 / (8 * 312e12),
                  data_wait=max(0.0, 0.03 + 0.02 * self.rng.gauss(0, 1)), clip_share=0.4 * math.exp(-step / 300),
                  memory_bytes=int(31.5 * 2**30), power_watts=watts, energy_joules=round(self.energy),
                  quarantined=3)

    def stage(self, name, steps, first, last):
        """Steps first + 1 ... last. Events are written again where a restart goes back, telemetry goes on."""
        self.events = [line for line in self.events if line['stage'] != name or line['step'] <= first]
        self.tell('stage', stage=name, step=first, parameters=2.9e6, trained_parameters=2.9e6, tokens_per_sample=256,
                  flops_per_sample=4e11, batch_size=96)
        for step in range(first + 1, last + 1):
            self.event(name, step, steps)
            if step % 20 == 0 or step == steps:
                self.interval(name, step, 20)
            if step % 200 == 0 or step == steps:
                self.validate(name, step, steps)
                self.draw(name, step, steps)
                self.save(name, step)

    def stop(self, stage, step, reason, message=''):
        self.tell('stop', stage=stage, step=step, reason=reason, message=message)

    def make(self):
        steps, half = self.arguments.steps, self.arguments.steps // 2
        self.start()
        self.stage('class', half, 0, half)
        self.stage('text', steps, 0, int(0.45 * steps))  # killed
        self.sleep(1500)
        self.start()
        back = int(0.45 * steps) // 200 * 200
        self.stage('text', steps, back, int(0.7 * steps))
        self.stop('text', int(0.7 * steps), 'requested', 'SIGUSR1')
        until = self.arguments.until
        if until == 'requested':
            return
        self.sleep(3 * 86400)
        self.start()
        end = int(0.9 * steps) if until != 'done' else steps
        self.stage('text', steps, int(0.7 * steps), end)
        if until == 'done':
            self.stop('text', steps, 'done')
        elif until == 'error':
            self.stop('text', end, 'error', 'the loss of 3 steps was not finite')


def ledger(arguments):
    reasons = ['damaged_picture'] * 2 + ['missing_caption'] * 5
    lines = [{'source': 'web', 'row': 17 * i, 'key': f'{arguments.name}/{i}.jpg', 'offset': 0, 'reason': reason,
              'detail': 'cut off in the middle'} for i, reason in enumerate(reasons)]
    write(os.path.join(arguments.out, 'quarantine/web.jsonl'), ''.join(json.dumps(line) + '\n' for line in lines))
    for kind in ('latents', 'captions'):
        manifest = {'format': 1, 'kind': kind, 'source': 'web', 'rows': 6000, 'rejected': 7,
                    'inputs': {'autoencoder': 'sha256 12ab', 'resolution': '32'},
                    'shards': [{'file': 'shard-00000.safetensors', 'items': 6000, 'bytes': 5 << 20, 'sha256': '0' * 64}]}
        write(os.path.join(arguments.out, f'features/web-{kind}/manifest.json'), json.dumps(manifest, indent=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out')
    parser.add_argument('--steps', type=int, default=2000)
    parser.add_argument('--name', default='web')
    parser.add_argument('--prompt', default='a red circle on a white background')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--dit')
    parser.add_argument('--loss', type=float, default=0.16)
    parser.add_argument('--until', choices=('done', 'killed', 'requested', 'error'), default='done')
    arguments = parser.parse_args()
    run = Run(arguments)
    run.make()
    write(os.path.join(arguments.out, 'run.yaml'), run_yaml(arguments))
    for name, lines in (('events', run.events), ('telemetry', run.telemetry)):
        write(os.path.join(arguments.out, name + '.jsonl'), ''.join(json.dumps(line) + '\n' for line in lines))
    write(os.path.join(arguments.out, 'score.json'), json.dumps({'judge_truth': 100, 'stage2': {'all': 88.9}}))
    for stage, step, distance in (('class', 1000, 310.5), ('text', 1000, 205.25), ('text', 2000, 128.125)):
        write(os.path.join(arguments.out, f'scores/{stage}/step-{step:08d}.json'), score_card(distance))
    ledger(arguments)


if __name__ == '__main__':
    main()
