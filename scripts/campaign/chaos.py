"""One run, and a random fault of more than twelve kinds every ten seconds until it has ended by itself: its weights and
metrics are those of the run that nothing disturbed, whose numbers of ranks change on the way, too."""
import os
import signal
import time

import commands
from clocks import LIES, spoil_times
from drill import Outcome, check_foreign, finish, fresh, plant_foreign, seeded, signal_one, small_pipe

STEPS = 6000
LEAST_WORK = 0.8  # CPU seconds of each rank between faults
STAGE = """  - {{name: class, objective: class_conditional, source: s, resolution: 16, steps: {steps}, batch_size: 2, log_every: 50,
     samples: {{every: {every}, num_steps: 1, prompts: [red circle]}}, checkpoints: {{every: {save}, keep_last: 3}}}}
"""
ALLOWED = (0, 74, 75, 76, -9, 137)
STOP_SIGNALS = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGUSR1, -signal.SIGHUP)


class Chaos(commands.Train):
    name = 'chaos'

    def __init__(self, steps):
        self.steps, self.ranks, self.timeout = steps, 1, 60

    def prepare(self, bench, folder):
        stage = STAGE.format(steps=self.steps, every=self.steps // 4, save=max(self.steps // 60, 2))
        text = commands.MODELS.format(autoencoder=commands.SMALL_AUTOENCODER, text_encoder=commands.SMALL_TEXT_ENCODER)
        (folder / 'run.yaml').write_text('run: run\nnumerics: exact\n' + text + 'stages:\n' + commands.FIRST_STAGE + stage)


class Storm:
    """The run that is disturbed, restarted whenever it has ended."""

    def __init__(self, bench, command, rng, outcome):
        self.bench, self.command, self.rng, self.outcome = bench, command, rng, outcome
        self.process, self.reader, self.done = None, None, False
        self.restart()

    def restart(self, shim=None, clock=None, stdout=None):
        """After an end that is allowed; the one before is killed if it has not ended."""
        if self.process:
            if not self.process.ended():
                self.kill()
            self.look_at_end()
        if not self.done:
            shim = {'folder': self.bench.folder / 'run', **shim} if shim else None
            self.process = self.bench.start(self.command, shim, clock, stdout)
        if stdout is not None:
            os.close(stdout)

    def kill(self):
        for pid in (self.process.pid, *self.process.children()):
            signal_one(pid, signal.SIGKILL)
        self.process.wait()
        self.bench.nobody_is_left(self.outcome, 30)

    def look_at_end(self):
        code = self.process.wait()
        self.outcome.count(f'exit {code}')
        too_early = code in STOP_SIGNALS and not self.process.output()  # while it loads its libraries
        self.outcome.demand(code in ALLOWED or too_early, f'it ends with {code}: {self.process.output()[-1500:]}')
        self.done = code == 0

    def checkpoints(self):
        return sorted((self.bench.folder / 'run/checkpoints').glob('*/step-*'))


def by_signal(number):
    def fault(storm):
        everyone = [storm.process.pid, *storm.process.children()]
        signal_one(storm.rng.choice(everyone), number)
    return fault


def stopped_for_a_second(storm):
    pid = storm.process.pid
    signal_one(pid, signal.SIGSTOP)
    time.sleep(1)
    signal_one(pid, signal.SIGCONT)


def all_killed(storm):
    storm.kill()


def shimmed(mode, match='', error=28, seconds=0):
    def fault(storm):
        storm.restart({'mode': mode, 'match': match, 'at': 1 + storm.rng.randrange(200), 'error': error, 'times': seconds})
    return fault


def clock_lies(storm):
    mode, seconds = storm.rng.choice(LIES)
    storm.restart(clock={'mode': mode, 'seconds': seconds})


def times_of_files(storm):
    if storm.checkpoints():
        spoil_times(storm.bench.folder / 'run/checkpoints', storm.rng)


def damaged_checkpoint(storm):
    """One bit of the newest, where an older one is left."""
    storm.kill()
    stage = sorted((storm.bench.folder / 'run/checkpoints').glob('class/step-*'))
    if len(stage) > 1:
        path = storm.rng.choice(sorted(stage[-1].iterdir()))
        data = bytearray(path.read_bytes())
        data[storm.rng.randrange(len(data))] ^= 1 << storm.rng.randrange(8)
        path.write_bytes(data)


def second_start(storm):
    """73 while the first one runs; where the first one has not yet taken the folder or just ended, it may go on itself."""
    other = storm.bench.start(storm.command)
    time.sleep(3)
    if other.ended():
        storm.outcome.demand(other.popen.returncode in (73, *ALLOWED), f'a second start ends with {other.popen.returncode}')
    else:
        other.send(signal.SIGTERM)
        storm.outcome.demand(other.wait() in (73, 74, 75, 76, -15, 0), f'a second start ends with {other.popen.returncode}')


def closed_output(storm):
    end_to_read, end_to_write = os.pipe()
    os.close(end_to_read)
    storm.restart(stdout=end_to_write)


def full_output(storm):
    storm.restart(stdout=os.open('/dev/full', os.O_WRONLY))


def stuck_output(storm):
    """Nobody reads until the next start."""
    if storm.reader is not None:
        os.close(storm.reader)
    storm.reader, end_to_write = small_pipe()
    storm.restart(stdout=end_to_write)


def foreign_files(storm):
    plant_foreign(storm.bench.folder / 'run')


def other_ranks(storm):
    storm.kill()
    storm.command.ranks = 3 - storm.command.ranks
    storm.restart()


KINDS = {
    'kill -9': by_signal(signal.SIGKILL), 'SIGTERM': by_signal(signal.SIGTERM), 'SIGINT': by_signal(signal.SIGINT),
    'SIGUSR1': by_signal(signal.SIGUSR1), 'SIGHUP': by_signal(signal.SIGHUP), 'stopped and continued': stopped_for_a_second,
    'all killed': all_killed, 'full disk': shimmed('fail_from'), 'full quota': shimmed('fail_from', error=122),
    'I/O error': shimmed('fail', error=5), 'short write': shimmed('short'), 'killed in a save': shimmed('kill', '/checkpoints/'),
    'killed while it writes': shimmed('kill'), 'slow disk': shimmed('stall', seconds=3), 'slow features': shimmed('stall_reads', '/features/', seconds=3),
    'clock': clock_lies, 'times of files': times_of_files, 'damaged checkpoint': damaged_checkpoint, 'second start': second_start,
    'closed output': closed_output, 'full output': full_output, 'stuck output': stuck_output, 'foreign files': foreign_files,
    'other number of ranks': other_ranks,
}


def wait_for_the_next(storm):
    """The interval, and as long as a busy machine needs to start the program and to make some steps."""
    deadline = time.monotonic() + storm.bench.interval
    latest = deadline + 20
    while not storm.process.ended() and time.monotonic() < latest:
        if time.monotonic() >= deadline and storm.process.used_seconds() > LEAST_WORK * storm.command.ranks:
            return
        time.sleep(0.05)


def trial(bench, seed):
    rng, outcome = seeded('chaos', seed), Outcome()
    command = Chaos(int(STEPS * bench.scale))
    bench.clean(command)
    fresh(bench, command)
    storm = Storm(bench, command, rng, outcome)
    while not storm.done and not outcome.problems:
        wait_for_the_next(storm)
        if storm.process.ended():
            storm.restart()
            continue
        kind = rng.choice(sorted(KINDS))
        KINDS[kind](storm)
        outcome.tried += 1
        outcome.count(kind)
    command.ranks = 1
    if storm.process and not storm.process.ended():
        storm.kill()
    check_foreign(bench.folder / 'run', outcome)
    finish(bench, command, outcome, 'samples/')  # a run goes on without those that a full disk does not take
    return outcome
