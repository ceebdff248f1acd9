"""A wall clock that lies, differently at each start, with kills between the starts."""
import os

from commands import begin_history
from drill import finish, fresh

DAY, YEAR = 86400, 365 * 86400
LIES = (('offset', -DAY), ('offset', DAY), ('offset', 10 * YEAR), ('offset', -1e12), ('backwards', 0), ('frozen', 0), ('fast', 200),
        ('jumps', DAY), ('jumps', 3))
STARTS = 4


def spoil_times(folder, rng):
    """Times of files, before and after now."""
    for path in sorted(folder.rglob('*')):
        if path.is_file() and rng.random() < 0.5:
            moment = rng.choice((0, 1, 946684800, 4102444800))
            os.utime(path, (moment, moment))


def trial(bench, seed):
    mix = ('train', 'train', 'extract', 'data pack', 'caption')
    rng, outcome, command, clean, folder = begin_history(bench, 'clocks', seed, mix)
    for _ in range(STARTS):
        lie = rng.choice(LIES)
        shim = {'folder': folder, 'mode': 'kill', 'at': 1 + rng.randrange(len(clean.paths)), 'match': command.watched}
        code, output = bench.run(command, shim, {'mode': lie[0], 'seconds': lie[1]}, restart=True)
        outcome.tried += 1
        outcome.count(f'{lie[0]} {lie[1]}')
        if not outcome.demand(code in (0, -9), f'{lie} ends with {code}: {output[-1500:]}'):
            break
        if code == 0:
            finish(bench, command, outcome)
            folder = fresh(bench, command)
        if command.name != 'data pack':  # another time of a source's file may mean another file
            spoil_times(folder / (command.home or 'out'), rng)
    finish(bench, command, outcome)
    return outcome
