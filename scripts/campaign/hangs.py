"""Ranks, disks and readers that stop: ended in time with 76 and continued, or waited for and the same result."""
import os
import signal
import threading
import time

import commands
from drill import Outcome, finish, fresh, seeded, signal_one, small_pipe

TIMEOUT = 5  # of the ranks, seconds
GRACE = 10   # in which all must have ended after the time-out
KINDS = ('stopped rank', 'stopped rank', 'stalled writes', 'stalled reads', 'slow disk', 'slow reader of the output')


class Watched(commands.Ranks):
    """Two ranks; the shim of one of them is set by the trial."""
    name, timeout = 'watched ranks', TIMEOUT

    def __init__(self):
        self.shim_of, self.settings = None, {}

    def program(self):
        return ['--program', './one-rank.sh']

    def words(self, bench, folder, restart):
        lines = [f'export {name}="{value}"' for name, value in self.settings.items()]
        script = folder / 'one-rank.sh'
        script.write_text(f'#!/bin/sh\nif [ "$RANK" = "{self.shim_of}" ]; then\nexec 2>>hit\n' + '\n'.join(lines) + f'\nfi\nexec "{bench.binary}" "$@"\n')
        script.chmod(0o755)
        return super().words(bench, folder, restart)

    def let_stall(self, bench, rank, mode, match, at, seconds=0):
        self.shim_of = rank
        self.settings = {'LD_PRELOAD': bench.io_shim, 'IO_SHIM_FOLDER': bench.folder, 'IO_SHIM_MODE': mode, 'IO_SHIM_MATCH': match,
                         'IO_SHIM_AT': at, 'IO_SHIM_TIMES': seconds}

    def heal(self):
        self.shim_of, self.settings = None, {}


def was_hit(bench):
    """The rank's standard error, of which the launcher may show only a part."""
    hit = bench.folder / 'hit'
    return hit.exists() and 'io_shim: ' in hit.read_text(errors='replace')


def wait_for_hit(bench, process):
    while not process.ended():
        if was_hit(bench):
            return True
        time.sleep(0.05)
    return False


def have_met(bench, process):
    """Until then a rank waits for the others as long as it does for a machine that starts late."""
    log = bench.folder / 'run/logs/rank-1.log'
    while not process.ended() and not (log.exists() and 'stage ' in log.read_text()):
        time.sleep(0.01)
    return not process.ended()


def stop_a_rank(bench, command, rng, clean):
    rank, moment = rng.randrange(2), clean.cpu * rng.random()
    process = bench.start(command)
    if not have_met(bench, process) or not process.wait_until_used(moment) or len(process.children()) < 2:
        return process, False
    signal_one(process.children()[rank], signal.SIGSTOP)
    return process, True


def stall_a_disk(bench, command, rng, reads):
    """Rank 0 writes; both read."""
    if reads:
        command.let_stall(bench, rng.randrange(2), 'stall_reads', '/features/', 1 + rng.randrange(6))
    else:
        command.let_stall(bench, 0, 'stall', rng.choice(('/checkpoints/', '/events.jsonl', '/telemetry.jsonl')), 1 + rng.randrange(12))
    process = bench.start(command)
    return process, wait_for_hit(bench, process)


def expect_end_in_time(bench, process, clean, outcome):
    """The clean run's time is what this machine needs, as busy as it is, to come to the next wait for the other rank."""
    begin = time.monotonic()
    try:
        code = process.wait(TIMEOUT + GRACE + 2 * clean.wall)
    except Exception:  # the trial ends those who are left
        outcome.problems.append(f'it still runs {time.monotonic() - begin:.0f} s after the hang: {process.output()[-800:]}')
        for pid in bench.everyone():
            signal_one(pid, signal.SIGKILL)
        return
    outcome.detail['seconds'] = round(time.monotonic() - begin, 1)
    # A rank that was stopped when it had ended already is missed by nobody.
    outcome.demand(code in (0, 76), f'it ends with {code}: {process.output()[-1500:]}')
    outcome.demand(code == 0 or 'rank' in process.output(), 'no rank is named')


def wait_out_a_slow_disk(bench, command, rng, outcome):
    command.let_stall(bench, 0, 'stall', rng.choice(('/checkpoints/', '/events.jsonl')), 1 + rng.randrange(12), 2)
    process = bench.start(command)
    code = process.wait()
    outcome.tried += was_hit(bench)
    outcome.demand(code == 0, f'it ends with {code}: {process.output()[-1500:]}')


def read_output_late(bench, command, outcome):
    """The reader takes nothing for longer than the time-out, then everything."""
    end_to_read, end_to_write = small_pipe()
    process = bench.start(command, stdout=end_to_write)
    os.close(end_to_write)

    def read():
        time.sleep(TIMEOUT + 2)
        while os.read(end_to_read, 4096):
            pass

    reader = threading.Thread(target=read)
    reader.start()
    code = process.wait()
    reader.join()
    os.close(end_to_read)
    outcome.tried += 1
    outcome.demand(code == 0, f'it ends with {code}')


def trial(bench, seed):
    rng, outcome = seeded('hangs', seed), Outcome()
    kind = rng.choice(KINDS)
    command = Watched()
    clean = bench.clean(command)
    fresh(bench, command)
    outcome.detail['kind'] = kind
    if kind == 'slow reader of the output':
        read_output_late(bench, command, outcome)
    elif kind == 'slow disk':
        wait_out_a_slow_disk(bench, command, rng, outcome)
    else:
        process, hangs = (stop_a_rank(bench, command, rng, clean) if kind == 'stopped rank' else
                          stall_a_disk(bench, command, rng, kind == 'stalled reads'))
        if hangs:
            outcome.tried += 1
            expect_end_in_time(bench, process, clean, outcome)
        else:
            process.wait()
    bench.nobody_is_left(outcome, 5)
    command.heal()
    finish(bench, command, outcome)
    return outcome
