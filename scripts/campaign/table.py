"""The Markdown table of a campaign: what was tried and lost for each promise, of one commit."""
from drill import read_lines

PROMISES = {
    'kills': ('A kill -9 at any moment loses nothing (every command)', 'kills', 2000),
    'signals': ('A request to stop saves, and the same command continues', 'signals', 500),
    'hangs': ('What stops is noticed and named, or waited for', 'hangs', 100),
    'storage': ('Storage that fails outside of checkpoints is loud and harmless', 'faults', 1000),
    'flips': ('A damaged feature set is noticed, every bit of it', 'bits', 0),
    'clocks': ('A clock that lies changes nothing', 'starts', 0),
    'chaos': ('A run under random faults gives the weights of the undisturbed one', 'faults', 300),
    'soak': ('Memory, files, threads and the folder do not grow', 'steps', 20000),
    'poison': ('Bad samples cost minutes: the weights are those of a run without them', 'samples', 0),
}


def commits_of(lines):
    """In the order of their first line."""
    return list(dict.fromkeys(line['commit'] for line in lines))


def unique(lines):
    """The last line of each trial."""
    return list({(line['drill'], line['seed']): line for line in lines}.values())


def table(path, commit=None):
    """(text, problem or None)"""
    every = read_lines(path)
    commits = commits_of(every)
    commit = commit or (commits[-1] if commits else '')
    lines = unique(line for line in every if line['commit'] == commit)
    if not lines:
        return '', f'{path} has no trial of commit {commit or "(none)"}; it has: {", ".join(commits) or "none"}'
    rows = ['| promise | drill | tried | lost | where | wanted |', '|---|---|---|---|---|---|']
    for drill, (promise, unit, wanted) in PROMISES.items():
        own = [line for line in lines if line['drill'] == drill]
        if own:
            tried, lost = sum(line['tried'] for line in own), sum(line['lost'] for line in own)
            where = ', '.join(sorted({line['where'] for line in own}))
            rows.append(f'| {promise} | `{drill}` | {tried:,} {unit} in {len(own):,} trials | {lost} | {where} | '
                        f'{f"{wanted:,}" if wanted else ""} |')
    rows += ['', f'Made by `scripts/campaign.sh --table` from {len(lines):,} trials of commit `{commit}`.']
    return '\n'.join(rows) + '\n', None
