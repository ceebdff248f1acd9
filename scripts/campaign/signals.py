"""Requests to stop at a random moment, to one process or to one of the ranks: saved with the documented exit code."""
import signal

from commands import begin_history
from drill import finish, fresh, signal_one

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
STOPS_IN_A_HISTORY = 4
MIX = ['train'] * 5 + ['ranks'] * 2 + ['extract', 'data pack', 'convert', 'sample', 'caption', 'report']



def stop(bench, command, rng, clean, outcome):
    number, victim = rng.choice(SIGNALS), rng.random()
    process = bench.start(command, restart=True)
    if not process.wait_until_used(clean.cpu * rng.random()):
        process.wait()
        return None, process
    everyone = [process.pid, *process.children()]
    signal_one(everyone[int(victim * len(everyone))], number)
    code = process.wait()
    outcome.tried += 1
    outcome.count(number.name)
    # A process that has no work to save, or that has not reached its handlers, ends by the signal itself.
    own = (-number, 128 + number) if not command.stop_codes or 'stage ' not in process.output() else ()
    outcome.demand(code in (0, *command.stop_codes, *own), f'{number.name}: it ends with {code}: {process.output()[-1500:]}')
    outcome.count(f'exit {code}')
    return code, process


def trial(bench, seed):
    rng, outcome, command, clean, folder = begin_history(bench, 'signals', seed, MIX)
    for _ in range(STOPS_IN_A_HISTORY):
        code, process = stop(bench, command, rng, clean, outcome)
        outcome.demand(code is not None or process.popen.returncode == 0, f'it ends by itself: {process.output()[-1500:]}')
        bench.nobody_is_left(outcome, 30 if command.name == 'ranks' else 2)
        command.check_interrupted(bench, folder, outcome)
        if outcome.problems:
            break
        if process.popen.returncode == 0:
            finish(bench, command, outcome)
            folder = fresh(bench, command)
    finish(bench, command, outcome)
    return outcome
