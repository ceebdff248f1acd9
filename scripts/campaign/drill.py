"""What all drills share: a folder and an environment for each trial, processes that can be killed at a known moment, and
the comparison of what a command leaves with what it leaves when nothing disturbs it."""
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

TICKS = os.sysconf('SC_CLK_TCK')
MARK = 'PIXART_CAMPAIGN_TRIAL'  # in the environment of every process of a trial, so that nobody is overlooked
FOREIGN = ('notes.txt', '.tmp-mine/thesis.tex', '.del-old', 'checkpoints/mine.txt')
OWN_TEMPORARY = ('.tmp-', '.del-')


@dataclasses.dataclass
class Outcome:
    """Of one trial. `problems` is empty if the promise was kept."""
    tried: int = 0
    problems: list = dataclasses.field(default_factory=list)
    detail: dict = dataclasses.field(default_factory=dict)

    def demand(self, holds, problem):
        if not holds:
            self.problems.append(problem)
        return holds

    def count(self, key, number=1):
        self.detail[key] = self.detail.get(key, 0) + number


class Process:
    """One command with its standard output and error in a file. Its children are found by the environment."""

    def __init__(self, words, folder, environment, stdout=None):
        self.log = folder / 'output.txt'
        with open(self.log, 'wb') as log:
            self.popen = subprocess.Popen([str(word) for word in words], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                          stdout=stdout or log, stderr=stdout or log, start_new_session=True)
        self.pid = self.popen.pid

    def ended(self):
        return self.popen.poll() is not None

    def wait(self, seconds=900):
        """Its exit code; -N after signal N."""
        return self.popen.wait(seconds)

    def output(self):
        return self.log.read_text(errors='replace')

    def send(self, number):
        if not self.ended():
            self.popen.send_signal(number)

    def children(self):
        with contextlib.suppress(OSError):
            return [int(pid) for pid in pathlib.Path(f'/proc/{self.pid}/task/{self.pid}/children').read_text().split()]
        return []

    def used_seconds(self):
        """Of CPUs, with its children: a measure of how far it is that a busy machine does not change."""
        return sum(cpu_seconds(pid) for pid in (self.pid, *self.children()))

    def wait_until_used(self, seconds):
        """Returns whether it still runs then."""
        while not self.ended():
            if self.used_seconds() >= seconds:
                return True
            time.sleep(0.003)
        return False


def cpu_seconds(pid):
    with contextlib.suppress(OSError, IndexError):
        fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0


def signal_one(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Bench:
    """The program under test, its shims, and the folder for all trials."""

    def __init__(self, binary, source, work, interval=10.0, scale=1.0):
        self.binary, self.source, self.work = binary, source, work
        self.interval, self.scale = interval, scale
        self.clean_results, self.number, self.current = {}, 0, ''
        self.io_shim, self.clock_shim = self.compile('io_shim'), self.compile('clock_shim')

    def compile(self, name):
        library = self.work / f'{name}.so'
        subprocess.run([os.environ.get('CC', 'cc'), '-O1', '-shared', '-fPIC', '-pthread', '-o', library,
                        self.source / f'tests/support/{name}.c'], check=True)
        return library

    def environment(self, shim=None, clock=None):
        """Of a child: `shim` and `clock` are the settings of io_shim.h and clock_shim.c without their prefix."""
        values = {name: value for name, value in os.environ.items() if not name.startswith(('IO_SHIM_', 'CLOCK_SHIM_', 'PIXART_'))}
        values.update({MARK: self.current, 'OMP_WAIT_POLICY': 'passive', 'XDG_CACHE_HOME': str(self.folder / 'cache'),
                       'ASAN_OPTIONS': 'verify_asan_link_order=0:detect_leaks=0'})
        for library, prefix, settings in ((self.io_shim, 'IO_SHIM_', shim), (self.clock_shim, 'CLOCK_SHIM_', clock)):
            if settings:
                values['LD_PRELOAD'] = ':'.join(filter(None, (values.get('LD_PRELOAD'), str(library))))
                values.update({prefix + key.upper(): str(value) for key, value in settings.items()})
        return values

    def begin(self, name):
        """A fresh folder, and a fresh mark for the processes in it."""
        self.number += 1
        self.folder = self.work / f'{name}-{self.number}'
        self.folder.mkdir()
        self.current = f'{os.getpid()}-{self.number}'
        return self.folder

    def start(self, command, shim=None, clock=None, stdout=None, restart=False):
        words = command.words(self, self.folder, restart)
        return Process(words, self.folder, self.environment(shim, clock), stdout)

    def run(self, command, shim=None, clock=None, restart=False):
        """(exit code, output)"""
        process = self.start(command, shim, clock, restart=restart)
        code = process.wait()
        return code, process.output()

    def everyone(self):
        """Processes of this trial that are neither gone nor waiting to be reaped."""
        mark = f'{MARK}={self.current}'.encode()
        found = []
        for entry in os.scandir('/proc'):
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in pathlib.Path(entry.path, 'environ').read_bytes().split(b'\0'):
                    found.append(int(entry.name))
        return found

    def nobody_is_left(self, outcome, seconds=2.0):
        deadline = time.monotonic() + seconds
        while self.everyone() and time.monotonic() < deadline:
            time.sleep(0.02)
        left = self.everyone()
        outcome.demand(not left, f'{len(left)} processes are left')
        for pid in left:
            signal_one(pid, signal.SIGKILL)

    def clean(self, command):
        """What the command leaves when nothing disturbs it, and the CPU seconds and file operations that it takes."""
        if command.name not in self.clean_results:
            kept = (getattr(self, 'folder', None), self.current)
            self.begin('clean-' + command.name)
            command.prepare(self, self.folder)
            log = self.folder / 'operations'
            begin = time.monotonic()
            usage = resource_of_children()
            shim = {'folder': self.folder, 'mode': 'record', 'log': log, 'match': command.watched}
            code, output = self.run(command, shim if command.processes == 1 else None)
            if code != 0:
                raise SystemExit(f'campaign: undisturbed, `{command.name}` ends with {code}:\n{output}')
            result = Clean(command.outputs(self.folder), resource_of_children() - usage, time.monotonic() - begin,
                           operations_in(log) if command.processes == 1 else command.like_one_process(self).paths)
            shutil.rmtree(self.folder)
            self.folder, self.current = kept
            self.clean_results[command.name] = result
        return self.clean_results[command.name]


@dataclasses.dataclass
class Clean:
    outputs: dict
    cpu: float
    wall: float
    paths: list  # of each file operation, relative to the trial's folder


def resource_of_children():
    times = os.times()
    return times.children_user + times.children_system


def operations_in(log):
    """The paths in a record of io_shim.h."""
    data, at, paths = log.read_bytes(), 0, []
    while at < len(data):
        end = data.index(b'\n', at)
        _, _, _, length, path, _ = data[at:end].decode().split(' ', 5)
        paths.append(path)
        at = end + 1 + int(length)
    return paths


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def plant_foreign(folder):
    for name in FOREIGN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('not yours\n')


def check_foreign(folder, outcome):
    for name in FOREIGN:
        path = folder / name
        outcome.demand(path.is_file() and path.read_text() == 'not yours\n', f'the foreign file {name} was deleted or changed')


def compare(expected, found, outcome, what='the result'):
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            outcome.problems.append(f'{what} lacks {name}')
        elif name not in expected:
            outcome.problems.append(f'{what} has {name}, which an undisturbed one has not')
        elif expected[name] != found[name]:
            outcome.problems.append(f'{what} differs in {name}')


def finish(bench, command, outcome, but=None):
    """Starts the command once more, undisturbed, and compares what it leaves, all or all but the names that begin so."""
    code, output = bench.run(command, restart=True)
    if outcome.demand(code == 0, f'undisturbed again, it ends with {code}: {output[-1500:]}'):
        expected, found = ({name: value for name, value in outputs.items() if not but or not name.startswith(but)}
                           for outputs in (bench.clean(command).outputs, command.outputs(bench.folder)))
        compare(expected, found, outcome)
        if command.home:
            check_foreign(bench.folder / command.home, outcome)
    bench.nobody_is_left(outcome)


def fresh(bench, command):
    """The clean result first, then a folder in which the command can start."""
    bench.clean(command)
    folder = bench.begin(command.name)
    command.prepare(bench, folder)
    if command.home:
        plant_foreign(folder / command.home)
    return folder


def seeded(drill, seed):
    return random.Random(f'{drill} {seed}')


def small_pipe():
    """(end to read, end to write) of a pipe that is full after one page."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    return ends


def read_lines(path):
    """Objects of a JSON-lines file; a line that was cut by a kill counts as absent."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(line))
    return lines
