"""Files outside of checkpoints that cannot be written or read: done, or 74 (76: too many open files), and the same command
continues."""
import errno
import itertools

from commands import begin_history
from drill import finish, fresh

WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ESTALE)
MODES = ('fail', 'fail', 'fail_from', 'short')
MIX = ['train'] * 4 + ['extract'] * 2 + ['data pack', 'convert', 'sample', 'caption', 'report']
FAULTS_IN_A_HISTORY = 4
# A run goes on without some files that cannot be written, and says so: what it says, and how their names begin.
DOES_WITHOUT = {'were not saved': 'samples/', 'are not cached': 'prompts/'}


def is_of_a_checkpoint(path):
    return '/checkpoints/' in path


def write_fault(rng, clean):
    """Settings of the shim for an operation of an undisturbed run that is not of a checkpoint."""
    path = rng.choice([path for path in clean.paths if not is_of_a_checkpoint(path)])
    named = itertools.takewhile(lambda part: not part.startswith('.tmp-'), path.split('/')[:3])  # the rest has another name each time
    match = '/' + '/'.join(named)
    at = 1 + rng.randrange(sum(match in '/' + other for other in clean.paths))
    return {'mode': rng.choice(MODES), 'match': match, 'at': at, 'error': rng.choice(WRITE_ERRORS)}


def ends_of(fault, hit):
    """Exit codes of a fault. Too many open files is what an open says; of other operations a library may say I/O error."""
    if fault['error'] != errno.EMFILE:
        return (74,)
    return (76,) if ': open ' in hit else (74, 76)


def trial(bench, seed):
    rng, outcome, command, clean, folder = begin_history(bench, 'storage', seed, MIX)
    for _ in range(FAULTS_IN_A_HISTORY):
        fault = write_fault(rng, clean)
        code, output = bench.run(command, {'folder': folder, **fault}, restart=True)
        hits = [line for line in output.splitlines() if line.startswith('io_shim: ')]
        if hits and not is_of_a_checkpoint(hits[0]):
            outcome.tried += 1
            outcome.count(f'exit {code}')
        outcome.demand(code in ((0, *ends_of(fault, hits[0])) if hits else (0,)), f'{fault} ends with {code}: {output[-1500:]}')
        command.check_interrupted(bench, folder, outcome)
        if code == 0:
            finish(bench, command, outcome, tuple(name for said, name in DOES_WITHOUT.items() if said in output))
            folder = fresh(bench, command)
        if outcome.problems:
            outcome.detail['fault'] = {**fault, 'hits': hits[:2]}
            break
    finish(bench, command, outcome)
    return outcome
