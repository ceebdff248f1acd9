"""The commands that the drills disturb, each on the smallest input that makes it write."""
import http.server
import json
import hashlib
import shutil
import struct
import subprocess
import threading
import zlib

from drill import FOREIGN, OWN_TEMPORARY, Outcome, digest, fresh, seeded

MODELS = """device: cpu
threads: 1
{autoencoder}
{text_encoder}
transformer: {{patch_size: 2, hidden_size: 16, depth: 1, num_heads: 2}}
sources: [{{name: s, type: scenes, count: 8, seed: 1}}]
"""
SMALL_AUTOENCODER = 'autoencoder: {block_out_channels: [8, 8], layers_per_block: 1, norm_num_groups: 4}'
SMALL_TEXT_ENCODER = 'text_encoder: {max_tokens: 8, d_model: 16, num_layers: 1, num_heads: 2, d_ff: 16}'
FIRST_STAGE = """  - {name: autoencoder, objective: autoencoder, source: s, resolution: 16, steps: 2, batch_size: 2, log_every: 1,
     checkpoints: {every: 1}}
"""
STAGES = """  - {name: class, objective: class_conditional, source: s, resolution: 16, steps: 2, batch_size: 2, log_every: 1,
     samples: {num_steps: 1, prompts: [red circle]}, checkpoints: {every: 1}}
  - {name: text, objective: text_conditional, source: s, resolution: 16, steps: 3, batch_size: 2, log_every: 1,
     init: {how: reparameterize, from: class}, samples: {num_steps: 1, prompts: [a red circle]}, checkpoints: {every: 1}}
"""
NEVER_EQUAL = {'telemetry.jsonl', '.owner', 'logs', 'tensorboard'}  # times, machines and processes are in them


def tiny_run():
    return ('run: run\n' + MODELS.format(autoencoder=SMALL_AUTOENCODER, text_encoder=SMALL_TEXT_ENCODER) + 'stages:\n' +
            FIRST_STAGE + STAGES)


def run_outputs(run):
    """Everything in a run folder that does not depend on when and where; of the checkpoints each stage's last."""
    last = {str(max(stage.glob('step-*'), default=stage)) for stage in (run / 'checkpoints').glob('*') if stage.is_dir()}
    found = {}
    for path in sorted(run.rglob('*')):
        name = str(path.relative_to(run))
        parts = path.relative_to(run).parts
        if name in FOREIGN or parts[0] in NEVER_EQUAL or name.endswith('.lock') or any(f.startswith(parts[0] + '/') and parts[0] != 'checkpoints' for f in FOREIGN):
            continue
        if path.name.startswith(OWN_TEMPORARY):
            found[name] = 'a temporary file'
        if not path.is_file() or parts[0] == 'checkpoints' and not any(str(path).startswith(folder + '/') for folder in last):
            continue
        if path.name == 'state.json':
            state = json.loads(path.read_text())
            found[name] = str({key: state[key] for key in state if key != 'seconds'})
        elif not (parts[0] == 'checkpoints' and path.name == 'manifest.json'):
            found[name] = digest(path)
    return found


def files_outputs(folder):
    return {str(path.relative_to(folder)): digest(path) for path in sorted(folder.rglob('*'))
            if path.is_file() and not path.name.endswith('.lock')}


class Command:
    """`home` is the folder that is the command's and in which foreign files are planted; '' where it refuses them."""
    name, home, watched = '', '', ''
    stop_codes = ()  # of a request to stop, in addition to the signal's own
    processes = 1    # whose file operations one record can hold

    def prepare(self, bench, folder):
        raise NotImplementedError

    def words(self, bench, folder, restart):
        raise NotImplementedError

    def outputs(self, folder):
        raise NotImplementedError

    def check_interrupted(self, bench, folder, outcome):
        """What holds at any moment, also after a kill."""


class Train(Command):
    name, home, watched, stop_codes = 'train', 'run', '/run', (75,)
    ranks = 1

    def prepare(self, bench, folder):
        (folder / 'run.yaml').write_text(tiny_run())

    def words(self, bench, folder, restart):
        train = ['train', 'run.yaml']
        return [bench.binary, *train] if self.ranks == 1 else [bench.binary, 'launch', '-n', self.ranks, '--timeout', self.timeout,
                                                             *self.program(), '--', *train]

    timeout = 20

    def program(self):
        return []

    def outputs(self, folder):
        return run_outputs(folder / 'run')


class Ranks(Train):
    name, ranks, processes = 'ranks', 2, 2

    def like_one_process(self, bench):
        return bench.clean(Train())


def template(bench):
    """A finished run, whose parts other commands take."""
    path = bench.work / 'template'
    if not path.exists():
        kept = (getattr(bench, 'folder', None), bench.current)
        folder = bench.begin('making-template')
        command = Train()
        command.prepare(bench, folder)
        code, output = bench.run(command)
        if code != 0:
            raise SystemExit(f'campaign: the template run ends with {code}:\n{output}')
        folder.rename(path)
        bench.folder, bench.current = kept
    return path


class Extract(Command):
    name, home, watched, stop_codes = 'extract', 'run', '/run', (75,)

    def prepare(self, bench, folder):
        made = template(bench) / 'run'
        for part in ('autoencoder', 'text_encoder'):
            shutil.copytree(made / part, folder / part)
        text = MODELS.format(autoencoder='autoencoder: {path: autoencoder}', text_encoder='text_encoder: {path: text_encoder, max_tokens: 8}')
        (folder / 'run.yaml').write_text('run: run\nfeatures: {shard_megabytes: 0.001}\n' + text + 'stages:\n' +
                                         STAGES.replace('init: {how: reparameterize, from: class}, ', ''))

    def words(self, bench, folder, restart):
        return [bench.binary, 'extract', 'run.yaml']

    def outputs(self, folder):
        return run_outputs(folder / 'run')


def png(side, colour):
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    raw = (b'\0' + bytes(colour) * side) * side
    head = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(raw)) + chunk(b'IEND', b'')


def write_images(folder, count):
    folder.mkdir()
    for i in range(count):
        (folder / f'{i:03}.png').write_bytes(png(24, (20 * i % 256, 90, 200 - 15 * i % 200)))
        (folder / f'{i:03}.txt').write_text(f'square number {i}\n')


class Pack(Command):
    name, home, watched, stop_codes = 'data pack', '', '/out', (75,)

    def prepare(self, bench, folder):
        write_images(folder / 'images', 12)

    def words(self, bench, folder, restart):
        return [bench.binary, 'data', 'pack', 'images', 'out', '--shard-samples', 2]

    def outputs(self, folder):
        return files_outputs(folder / 'out')


class Convert(Command):
    name, watched = 'convert', '/target'

    def prepare(self, bench, folder):
        weights = max((template(bench) / 'run/checkpoints/text').glob('step-*')) / 'ema.safetensors'
        shutil.copy(weights, folder / 'model.safetensors')
        (folder / 'target').mkdir()
        shutil.copy(weights, folder / 'target/model.safetensors')
        self.old = digest(weights)

    def words(self, bench, folder, restart):
        return [bench.binary, 'convert', 'model.safetensors', 'target/model.safetensors', '--dtype', 'float16', '--overwrite', '--sync']

    def outputs(self, folder):
        return files_outputs(folder / 'target')

    def check_interrupted(self, bench, folder, outcome):
        found = digest(folder / 'target/model.safetensors')
        new = bench.clean(self).outputs['model.safetensors']
        outcome.demand(found in (self.old, new), 'the target is neither the old nor the new file')


def pixels_of(path):
    """Of a PNG, as they are compressed: its texts name folders."""
    data, at, pixels = path.read_bytes(), 8, b''
    while at < len(data):
        length = struct.unpack_from('>I', data, at)[0]
        pixels += data[at + 8:at + 8 + length] if data[at + 4:at + 8] == b'IDAT' else b''
        at += 12 + length
    return hashlib.sha256(pixels).hexdigest()


class Sample(Command):
    """Its images, in whichever folder below --out it writes them."""
    name, watched, stop_codes = 'sample', '/images', (75,)

    def prepare(self, bench, folder):
        if not (folder / 'model').exists():
            shutil.copytree(template(bench) / 'run', folder / 'model')

    def words(self, bench, folder, restart):
        words = [bench.binary, 'sample', 'model', 'a red circle', 'a blue square', '--out', 'images', '--steps', 1, '--batch', 1,
                 '--guidance', 1]
        return words + (['--resume'] if restart and self.can_resume(bench) else [])

    def can_resume(self, bench):
        if not hasattr(self, 'resumes'):
            text = subprocess.run([bench.binary, 'sample', '--help'], capture_output=True, text=True, check=True).stdout
            self.resumes = '--resume' in text
        return self.resumes

    def outputs(self, folder):
        grids = sorted((folder / 'images').rglob('grid.png'))
        if not grids:
            return {}
        images = {path.name: pixels_of(path) for path in grids[-1].parent.glob('*.png')}
        images.update({path.name: 'a temporary file' for path in (folder / 'images').rglob('*') if path.name.startswith(OWN_TEMPORARY)})
        return images


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Captions that are a function of the request."""
    protocol_version = 'HTTP/1.1'

    def answer(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer({'data': [{'id': 'eyes'}]})

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        text = 'An image with the number ' + hashlib.sha256(body).hexdigest()[:12] + ' on a plain ground.'
        message = {'role': 'assistant', 'content': text}
        self.answer({'model': 'eyes', 'choices': [{'index': 0, 'finish_reason': 'stop', 'message': message}],
                     'usage': {'prompt_tokens': 9, 'completion_tokens': 9}})

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass  # the client was killed


class Caption(Command):
    name, home, watched, stop_codes = 'caption', 'out', '/out', (75,)
    server = None

    def prepare(self, bench, folder):
        write_images(folder / 'images', 6)
        if Caption.server is None:
            Caption.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Endpoint)
            Caption.server.daemon_threads = True
            threading.Thread(target=Caption.server.serve_forever, daemon=True).start()

    def words(self, bench, folder, restart):
        return [bench.binary, 'caption', 'images', '--endpoint', f'http://127.0.0.1:{Caption.server.server_port}/v1', '--model', 'eyes',
                '--out', 'out', '--in-flight', 2, '--first-pause', 0.01, '--timeout', 30]

    def outputs(self, folder):
        found = {name: digest(folder / 'out' / name) for name in ('captions.jsonl', 'rejected.jsonl') if (folder / 'out' / name).exists()}
        found.update({path.name: 'a temporary file' for path in (folder / 'out').glob('.tmp-captions*')})
        return found


class Report(Command):
    name, watched = 'report', '/page'

    def prepare(self, bench, folder):
        shutil.copytree(template(bench) / 'run', folder / 'run')
        (folder / 'page').mkdir()
        (folder / 'page/report.html').write_text('the old page')

    def words(self, bench, folder, restart):
        return [bench.binary, 'report', 'run', '--out', 'page/report.html']

    def outputs(self, folder):
        names = {path.name: 'there' for path in (folder / 'page').iterdir()}
        page = (folder / 'page/report.html').read_text()
        names['whole'] = str(page.startswith('<!') and page.rstrip().endswith('</html>'))
        return names

    def check_interrupted(self, bench, folder, outcome):
        page = (folder / 'page/report.html').read_text()
        outcome.demand(page == 'the old page' or page.rstrip().endswith('</html>'), 'the page is neither the old nor the new one')


ALL = {kind.name: kind for kind in (Train, Ranks, Extract, Pack, Convert, Sample, Caption, Report)}


def make(name):
    return ALL[name]()


def begin_history(bench, drill, seed, names):
    """A trial on one of the commands `names`: (random numbers, outcome, command, its undisturbed run, its folder)"""
    rng, outcome = seeded(drill, seed), Outcome()
    command = make(rng.choice(names))
    outcome.detail['command'] = command.name
    return rng, outcome, command, bench.clean(command), fresh(bench, command)
