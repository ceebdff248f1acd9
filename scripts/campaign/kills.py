"""kill -9 at a random file operation or after a random part of the work, continued by the same command until it ends."""
import signal

from commands import begin_history
from drill import finish, fresh, signal_one

KILLS_IN_A_HISTORY = 8
MIX = ['train'] * 5 + ['ranks', 'extract', 'extract', 'data pack', 'convert', 'sample', 'caption', 'report']


def kill_at_operation(bench, command, rng, clean):
    """Every process of the command kills itself before the n-th operation on its files."""
    at = 1 + int(len(clean.paths) * rng.random() ** 2)
    shim = {'folder': bench.folder, 'mode': 'kill', 'at': at, 'match': command.watched}
    process = bench.start(command, shim, restart=True)
    code = process.wait()
    # The launcher does not show what a rank says that is not rank 0.
    return code, 'io_shim: ' in process.output() or code in (-9, 137), process


def kill_after_work(bench, command, rng, clean):
    """The process, or with several ranks one of all."""
    process = bench.start(command, restart=True)
    moment, victim = clean.cpu * rng.random(), rng.random()
    was_killed = process.wait_until_used(moment)
    if was_killed:
        everyone = [process.pid, *process.children()]
        signal_one(everyone[int(victim * len(everyone))], signal.SIGKILL)
    return process.wait(), was_killed and process.popen.returncode != 0, process


def check_end(code, was_killed, process, outcome):
    allowed = (-9, 137, 76) if was_killed else (0,)
    outcome.demand(code in allowed, f'killed: {was_killed}; it ends with {code}: {process.output()[-1500:]}')


def trial(bench, seed):
    rng, outcome, command, clean, folder = begin_history(bench, 'kills', seed, MIX)
    starts = 0
    while outcome.tried < KILLS_IN_A_HISTORY and starts < 3 * KILLS_IN_A_HISTORY and not outcome.problems:
        starts += 1
        way = rng.choice((kill_at_operation, kill_after_work))
        code, was_killed, process = way(bench, command, rng, clean)
        check_end(code, was_killed, process, outcome)
        bench.nobody_is_left(outcome, 30 if command.name == 'ranks' else 2)
        if was_killed:
            outcome.tried += 1
            outcome.count(way.__name__)
        command.check_interrupted(bench, folder, outcome)
        if code == 0:  # it ended first: its result must be right, and the next one begins anew
            finish(bench, command, outcome)
            folder = fresh(bench, command)
    finish(bench, command, outcome)
    return outcome
