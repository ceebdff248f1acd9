"""`pixart report` on made run folders (tests/support/make_run.py), its pages read by an HTML parser: the parts are there,
what a run says stays text, nothing is fetched from elsewhere, and damaged folders make pages too.
Usage: report_test.py SOURCE_DIR PIXART"""
import csv
import hashlib
import html.parser
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

SOURCE_DIR, PIXART = sys.argv[1:]
VOID = {'meta', 'img', 'br', 'input', 'link', 'hr'}
SHAPES = {'line', 'polyline', 'rect', 'circle'}  # closed in place
PARTS = ('stages', 'samples', 'curves', 'scores', 'timeline', 'cost', 'data', 'weights', 'configuration')
EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


class Page(html.parser.HTMLParser):
    """The page's elements, [(tag, attributes, ids of the elements around)], and the text of each section."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text = [], [], {}
        self.feed(text)
        self.close()
        assert not self.open, f'not closed: {self.open}'

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), (tag, attrs)
        self.elements.append((tag, attributes, [i for _, i in self.open if i]))
        if tag not in VOID:
            self.open.append((tag, attributes.get('id')))

    def handle_startendtag(self, tag, attrs):
        assert tag in SHAPES | VOID, tag
        self.elements.append((tag, dict(attrs), [i for _, i in self.open if i]))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data):
        for _, name in self.open:
            if name:
                self.text[name] = self.text.get(name, '') + data

    def all(self, tag, inside=None, **wanted):
        return [a for t, a, ids in self.elements if t == tag and (inside is None or inside in ids)
                and all(a.get(k) == v for k, v in wanted.items())]


def make(folder, *arguments):
    subprocess.run([sys.executable, os.path.join(SOURCE_DIR, 'tests/support/make_run.py'), folder, *arguments], check=True)


def pixart(code, *arguments, cwd=None):
    done = subprocess.run([PIXART, 'report', *arguments], capture_output=True, text=True, timeout=300, cwd=cwd, check=False)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stderr


def read(path):
    with open(path, encoding='utf-8', errors='strict') as file:
        page = Page(file.read())
    check_everywhere(page)
    return page


def check_everywhere(page):
    """What holds of every page."""
    ids = [a['id'] for _, a, _ in page.elements if 'id' in a]
    assert len(set(ids)) == len(ids), ids
    for tag, attributes, _ in page.elements:
        assert not any(name.startswith('on') for name in attributes), (tag, attributes)
        for name in ('src', 'href', 'srcset', 'action', 'data', 'xlink:href'):
            value = attributes.get(name, '')
            assert not value or value.startswith('data:image/') or value[0] == '#' and value[1:] in ids, (tag, value[:80])
        assert tag not in ('link', 'iframe', 'object', 'embed', 'base', 'form', 'foreignobject'), tag
        if tag == 'svg':
            assert attributes.get('aria-hidden') or attributes['role'] == 'img' and attributes['aria-label'], attributes
        if tag == 'img':
            assert attributes['alt'] and int(attributes['width']) > 0 and int(attributes['height']) > 0
        if tag == 'th':
            assert attributes.get('scope') in ('row', 'col'), attributes
        if attributes.get('class') == 'scroll':
            assert attributes.get('tabindex') == '0', 'a table that scrolls cannot be reached by keyboard'
    assert page.all('html')[0]['lang'] == 'en' and page.all('title') and page.all('main') and page.all('nav')


def check_whole_run(folder):
    make(folder)
    pixart(0, folder, '--price', '1.6', '--carbon', '0.4', '--hash-weights')
    page = read(os.path.join(folder, 'report.html'))
    assert [a['id'] for a in page.all('section')] == list(PARTS)
    for part in PARTS:
        assert page.text[part + '-title'] and len(page.text[part]) > 40, part
    for title in ('Loss', 'Gradient norm', 'Learning rate', 'Throughput', 'Waiting for data', 'Memory, peak',
                  'Validation loss by timestep'):
        assert page.text['curves'].count('Values: ' + title + '\n') == 2, title  # one for each stage
    # Images of the first, the last and steps between them, all of them in sight without scripts.
    assert len(page.all('img', 'samples')) == 5 + 10
    assert not any('hidden' in a for a in page.all('figure'))
    assert 'a red circle on a white background' in page.all('img', 'samples')[-1]['alt']
    assert len(page.all('script')) == 1
    # Two gaps, each in the image for wide and for narrow screens.
    assert len(page.all('rect', 'timeline', **{'class': 'gap'})) == 4
    assert 'killed' in page.text['timeline'] and 'SIGUSR1' in page.text['timeline']
    for model in ('DALL-E 2', 'Imagen', 'Stable Diffusion 1.5', 'RAPHAEL', 'PixArt-alpha'):
        assert page.text['cost'].count(model) >= 2, model
    assert 'measured by the devices' in page.text['cost'] and 'arXiv 2310.00426' in page.text['cost']
    assert '5,993' in page.text['data'] and '5 missing_caption' in page.text['data']
    assert 'step-00002000' in page.text['weights'] and 'Apache-2.0' in page.text['weights']
    for stage, step in (('class', 1000), ('text', 2000)):
        for name in ('ema', 'model'):
            with open(os.path.join(folder, f'checkpoints/{stage}/step-{step:08d}/{name}.safetensors'), 'rb') as file:
                assert ', SHA-256 ' + hashlib.sha256(file.read()).hexdigest() in page.text['weights'], (stage, name)
    for text in ('fd_efficientnet_lite0', '310.5', '128.12'):
        assert text in page.text['scores'], text
    assert page.text['scores'].count('Values: fd_efficientnet_lite0') == 1  # a curve of the stage with two steps
    assert 'transformer.hidden_size' in page.text['configuration']
    assert 'stages.text.batch_size' in page.text['configuration']


def check_states(folder):
    for until, word in (('killed', 'no end is recorded at step'), ('requested', 'stopped on request at step'),
                        ('error', 'ended by an error at step'), ('done', 'finished')):
        run = os.path.join(folder, until)
        make(run, '--until', until, '--steps', '400')
        pixart(0, run)
        with open(os.path.join(run, 'report.html'), encoding='utf-8') as file:
            assert word in file.read().split('<nav')[0], word


def check_usual_losses(folder):
    run = os.path.join(folder, 'late')
    make(run, '--steps', '10000', '--dit', 'S/8', '--loss', '0.19')
    with open(os.path.join(run, 'events.jsonl'), encoding='utf-8') as file:
        events = [json.loads(line) for line in file]
    for shift, words in ((0, 'within'), (0.06, 'above'), (-0.05, 'below')):
        with open(os.path.join(run, 'events.jsonl'), 'w', encoding='utf-8') as file:
            for line in events:
                file.write(json.dumps({k: v + shift if k == 'loss' else v for k, v in line.items()}) + '\n')
        pixart(0, run)
        page = read(os.path.join(run, 'report.html'))
        assert 'The mean loss of the last 200 steps is 0.' in page.text['curves']
        assert words + ' the usual 0.16 to 0.2 (github.com/facebookresearch/DiT/issues/17' in page.text['curves'], words
        # One band has been reached, drawn for wide and for narrow screens, and is in the legend.
        assert len(page.all('rect', 'curves', **{'class': 'band'})) == 3
        assert page.text['curves'].count('No usual loss is known for the settings of stage text.') == 1
    run = os.path.join(folder, 'early')
    make(run, '--steps', '400', '--dit', 'S/8')
    pixart(0, run)
    assert 'known only from step 5,000 to 400,000' in read(os.path.join(run, 'report.html')).text['curves']
    config = os.path.join(run, 'run.yaml')
    with open(config, encoding='utf-8') as file:
        text = file.read()
    with open(config, 'w', encoding='utf-8') as file:
        file.write(text.replace('objective: class_conditional,', 'objective: class_conditional, prediction: v,'))
    pixart(0, run)
    assert 'No usual loss is known for the settings of stages class, text.' in read(os.path.join(run, 'report.html')).text['curves']


def check_evil_run(folder):
    run = os.path.join(folder, '<b>run</b>')
    make(run, '--steps', '400', '--name', EVIL, '--prompt', EVIL)
    pixart(0, run)
    page = read(os.path.join(run, 'report.html'))
    assert len(page.all('script')) == 1 and not page.all('b')
    assert EVIL in page.text['data'] and EVIL in page.text['samples'] and EVIL in page.all('img')[-1]['alt']
    pixart(0, run, run, '--out', os.path.join(folder, 'both.html'))
    assert not read(os.path.join(folder, 'both.html')).all('script')


def check_damaged_runs(folder):
    whole = os.path.join(folder, 'whole')
    make(whole, '--steps', '400')
    files = sorted(os.path.relpath(os.path.join(path, name), whole) for path, _, names in os.walk(whole) for name in names)
    # Cut in the middle of a line, emptied, filled with other bytes, gone.
    ways = (lambda data: data[:len(data) // 2 - 3], lambda data: b'', lambda data: bytes(range(256)) * 20, lambda data: None)
    for i, way in enumerate(ways):
        run = os.path.join(folder, f'damaged{i}')
        shutil.copytree(whole, run)
        for name in files:
            path = os.path.join(run, name)
            with open(path, 'rb') as file:
                data = way(file.read())
            os.remove(path)
            if data is not None:
                with open(path, 'wb') as file:
                    file.write(data)
        errors = pixart(0, run, '--hash-weights')
        page = read(os.path.join(run, 'report.html'))
        assert set(PARTS) - {'scores'} <= {a['id'] for a in page.all('section')}
        assert 'WARN' in errors.upper() and page.all('ul', **{'class': 'remarks'}), errors
    empty = os.path.join(folder, 'empty')
    os.mkdir(empty)
    assert 'is not a run folder' in pixart(78, empty)
    assert not os.listdir(empty)


def check_comparison(folder):
    for name, seed in (('first', '1'), ('second', '2')):
        make(os.path.join(folder, name), '--seed', seed, '--steps', '400')
    config = os.path.join(folder, 'second/run.yaml')
    with open(config, encoding='utf-8') as file:
        text = file.read()
    assert text.count('lr: 2.0e-3') == 1
    with open(config, 'w', encoding='utf-8') as file:
        file.write(text.replace('lr: 2.0e-3', 'lr: 1.0e-3').replace('objective: class_conditional,', 'objective: class_conditional, prediction: v,')
                   .replace('objective: text_conditional,', 'objective: text_conditional, timesteps: logit_normal,'))
    pixart(0, 'first', 'second', cwd=folder)
    page = read(os.path.join(folder, 'comparison.html'))
    assert [a['id'] for a in page.all('section')] == ['runs', 'configuration', 'curves', 'scores', 'samples', 'cost']
    for name in ('first', 'second'):
        assert all(name in page.text[part] for part in ('runs', 'curves', 'samples', 'cost')), name
    assert page.text['configuration'].count('optimizer.lr') == 1
    for part in ('runs', 'curves'):
        assert '(first: epsilon; second: v). Compare images or scores' in page.text[part], page.text[part]
        assert '(first: epsilon; second: epsilon, timesteps: logit_normal). Their validation losses are of one kind' in page.text[part]
    # The run file that a run came from.
    pixart(0, 'second', '--preset', 'first/run.yaml', '--out', 'preset.html', cwd=folder)
    page = read(os.path.join(folder, 'preset.html'))
    assert 'Differences from first/run.yaml' in page.text['configuration']
    assert 'stages.class.optimizer.lr' in page.text['configuration']


def check_scores(folder):
    for name, resize in (('first', 'clean'), ('second', 'clean'), ('third', 'tensorflow')):
        make(os.path.join(folder, name), '--steps', '400')
        shutil.rmtree(os.path.join(folder, name, 'scores'))  # of another protocol
        for stage, step in (('class', 200), ('text', 400)):
            path = os.path.join(folder, name, f'metrics/{stage}/step-{step:08d}.json')
            os.makedirs(os.path.dirname(path))
            with open(path, 'w', encoding='utf-8') as file:
                json.dump({'kind': 'pixart score, 1', 'scores': {'fid': step / 16}, 'protocol': {'resize': resize, EVIL: EVIL}, 'machine': {}}, file)
    pixart(0, 'first', 'second', cwd=folder)
    page = read(os.path.join(folder, 'comparison.html'))
    assert page.text['scores'].count('text, step 400') == 2 and '12.5' in page.text['scores']
    assert 'do not compare' not in page.text['scores']
    pixart(0, 'first', 'third', cwd=folder)
    page = read(os.path.join(folder, 'comparison.html'))
    assert 'Scores of different protocols do not compare' in page.text['scores'] and 'tensorflow' in page.text['scores']
    pixart(0, 'first', cwd=folder)
    assert 'class, step 200' in read(os.path.join(folder, 'first/report.html')).text['scores']


def events_in(run):
    """{stage: {step: {key: value}}}"""
    stages = {}
    with open(os.path.join(run, 'events.jsonl'), encoding='utf-8') as file:
        for line in file:
            event = json.loads(line)
            stages.setdefault(event.pop('stage'), {}).setdefault(event.pop('step'), {}).update(event)
    return stages


def wandb_records(path):
    """The records of LevelDB's log with the checksum of zlib."""
    with open(path, 'rb') as file:
        data = file.read()
    assert data[:7] == b':W&B\xe1\xbe\0'
    at, records, partial = 7, [], b''
    while at < len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        checksum, size, kind = struct.unpack_from('<IHB', data, at)
        content = data[at + 7:at + 7 + size]
        assert checksum == zlib.crc32(bytes([kind]) + content) and len(content) == size
        at, partial = at + 7 + size, partial + content
        if kind in (1, 4):
            records.append(partial)
            partial = b''
    assert not partial
    return records


def check_exports(folder):
    run = os.path.join(folder, 'run')
    make(run)
    events = events_in(run)
    pixart(0, run, '--export', 'csv', '--out', os.path.join(folder, 'tables'))
    for stage, steps in events.items():
        with open(os.path.join(folder, f'tables/{stage}.csv'), encoding='utf-8', newline='') as file:
            rows = {int(row.pop('step')): {k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)}
        assert rows == steps, stage
    made = []
    for name in ('a', 'b'):
        pixart(0, run, '--export', 'wandb-offline', '--project', 'mine', '--out', os.path.join(folder, name))
        (export,) = os.listdir(os.path.join(folder, name))
        assert export.startswith('offline-run-20260302_081500-'), export
        with open(os.path.join(folder, name, export, f'run-{export[-8:]}.wandb'), 'rb') as file:
            made.append(file.read())
    assert made[0] == made[1], 'the same run makes other bytes'
    records = wandb_records(os.path.join(folder, 'a', export, f'run-{export[-8:]}.wandb'))
    assert len(records) == 2 + 1 + 2 + sum(len(steps) for steps in events.values()) + 2, len(records)
    assert b'mine' in records[1] and b'hidden_size' in records[1]
    for value in events['text'][2000].values():  # the last step
        assert str(value).encode() in records[-3], value
    assert 'two runs are called run' in pixart(78, run, run, '--export', 'csv', '--out', os.path.join(folder, 'x'))
    assert '--out' in pixart(78, run, '--export', 'csv')
    assert 'nothing to export' in pixart(78, folder, '--export', 'csv', '--out', os.path.join(folder, 'x'))
    with open(os.path.join(folder, 'tables/text.csv'), 'w', encoding='utf-8') as file:
        file.write('notes\n')
    assert 'not a table of the stage' in pixart(78, run, '--export', 'csv', '--out', os.path.join(folder, 'tables'))


def check_many_names(folder):
    """Work and results are bounded, whatever a file names: without bounds each of these took minutes."""
    lines = {'stages': [{'stage': f's{i}', 'step': 1, 'loss': 1.0} for i in range(30000)],
             'names': [{'stage': 'text', 'step': i, **{f'k{i}_{j}': 1 for j in range(1000)}} for i in range(30)],
             'turns': [{'stage': 'text', 'step': 30000 - i, 'loss': 1.0} for i in range(30000)]}
    tables = {}
    for name, events in lines.items():
        run = os.path.join(folder, name)
        os.mkdir(run)
        with open(os.path.join(run, 'events.jsonl'), 'w', encoding='utf-8') as file:
            file.writelines(json.dumps(event) + '\n' for event in events)
        out = os.path.join(folder, name + '-tables')
        remarks = pixart(0, run), pixart(0, run, '--export', 'csv', '--out', out), pixart(0, run, '--export', 'wandb-offline', '--out', out + '-wandb')
        left_out = {'stages': '29,900 line(s) of events.jsonl are left out', 'names': '29,000 value(s) of events.jsonl are left out', 'turns': ''}[name]
        assert all(left_out in text for text in remarks), remarks
        page = os.path.join(run, 'report.html')
        with open(page, encoding='utf-8') as file:
            assert left_out in file.read()
        assert os.path.getsize(page) < 4 << 20, (name, os.path.getsize(page))
        tables[name] = {path: open(os.path.join(out, path), encoding='utf-8').read() for path in os.listdir(out)}
    assert len(tables['stages']) == 100 and tables['stages']['s99.csv'] == 'step,loss\n1,1.0\n'
    assert len(tables['names']['text.csv'].split('\n')[0].split(',')) == 1001
    assert tables['turns']['text.csv'] == 'step,loss\n1,1.0\n'


def check_refusals(folder):
    assert 'is not a run folder' in pixart(78, os.path.join(folder, 'gone'))
    run = os.path.join(folder, 'first')
    assert '--preset needs a single run' in pixart(78, run, run, '--preset', 'x.yaml')
    assert 'gone.yaml' in pixart(78, run, '--preset', 'gone.yaml')
    assert '--price' in pixart(78, run, '--price', '-1')
    pixart(78, cwd=folder)
    # Only pages of this command are replaced; what they replace is looked at before any work.
    for name in ('mine.html', 'comparison.html', 'first/report.html'):
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
            file.write('mine\n')
    for arguments in (['first', '--out', 'mine.html'], ['first', 'second'], ['first'], ['gone', '--out', 'mine.html']):
        assert 'is not a page of pixart report' in pixart(78, *arguments, cwd=folder), arguments
    assert 'is not a page of pixart report' in pixart(78, 'first', '--out', 'first/run.yaml', cwd=folder)
    assert 'is a folder: give a file' in pixart(78, 'first', '--out', 'second', cwd=folder)
    assert 'is a file: give a folder' in pixart(78, 'first', '--export', 'csv', '--out', 'mine.html', cwd=folder)
    for name in ('mine.html', 'comparison.html', 'first/report.html'):
        with open(os.path.join(folder, name), encoding='utf-8') as file:
            assert file.read() == 'mine\n', name
    pixart(0, 'first', '--out', 'new.html', cwd=folder)
    pixart(0, 'first', 'second', '--out', 'new.html', cwd=folder)


with tempfile.TemporaryDirectory() as temporary:
    check_whole_run(os.path.join(temporary, 'run'))
    for check in (check_states, check_usual_losses, check_evil_run, check_damaged_runs, check_comparison, check_scores, check_exports, check_many_names):
        os.mkdir(os.path.join(temporary, check.__name__))
        check(os.path.join(temporary, check.__name__))
    check_refusals(os.path.join(temporary, 'check_comparison'))
