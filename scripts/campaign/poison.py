"""Feature sets whose consecutive samples are not finite: their steps leave the weights alone, and are named in bad_steps/.
Going back to an earlier checkpoint after a spike of the loss is not a part of pixart, so it is not tried."""
import hashlib
import json
import math
import shutil
import struct

import commands
import flips
from drill import Outcome, seeded

BAD = (0x7E00, 0x7C00, 0xFC00)  # float16: NaN, +inf, -inf


def read_safetensors(path):
    """(header, bytes of the tensors)"""
    data = path.read_bytes()
    size = struct.unpack('<Q', data[:8])[0]
    return json.loads(data[8:8 + size]), bytearray(data[8 + size:])


def write_safetensors(path, header, data):
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    path.write_bytes(struct.pack('<Q', len(text)) + text + data)


def without(header, data, name):
    """The same tensors but one."""
    kept, result = bytearray(), {}
    for key, info in header.items():
        if key == '__metadata__':
            result[key] = info
        elif key != name:
            first, last = info['data_offsets']
            result[key] = {**info, 'data_offsets': [len(kept), len(kept) + last - first]}
            kept += data[first:last]
    return result, kept


def poison(features, first, count, value, rows):
    """As from an older version, whose sets have no checksums that would give the change away."""
    shard, index, manifest = features / 'shard-00000.safetensors', features / 'index.safetensors', features / 'manifest.json'
    header, data = read_safetensors(shard)
    begin, end = header['moments']['data_offsets']
    size = (end - begin) // rows
    for row in range(first, first + count):
        struct.pack_into('<H', data, begin + row * size + 2 * (row % (size // 2)), value)
    write_safetensors(shard, *without(header, data, 'crc32c'))
    write_safetensors(index, *without(*read_safetensors(index), 'crc32c'))
    content = json.loads(manifest.read_text())
    del content['index']
    content['shards'][0].update(bytes=shard.stat().st_size, sha256=hashlib.sha256(shard.read_bytes()).hexdigest())
    manifest.write_text(json.dumps(content, indent=1) + '\n')


def all_finite(path):
    header, data = read_safetensors(path)
    kinds = {'F32': ('f', 4), 'F64': ('d', 8)}
    for name, info in header.items():
        if name != '__metadata__' and info['dtype'] in kinds:
            kind, width = kinds[info['dtype']]
            first, last = info['data_offsets']
            if not all(math.isfinite(value) for value in struct.unpack(f'<{(last - first) // width}{kind}', data[first:last])):
                return False
    return True


def trial(bench, seed):
    rng, outcome = seeded('poison', seed), Outcome()
    command = flips.Features()
    source = flips.original(bench)
    folder = bench.begin('poison')
    command.prepare(bench, folder)
    features = folder / 'run/features' / flips.SET
    shutil.copytree(source, features)
    count = rng.randint(1, flips.ROWS)
    poison(features, rng.randint(0, flips.ROWS - count), count, rng.choice(BAD), flips.ROWS)
    code, output = bench.run(command)
    outcome.tried = count
    outcome.detail['exit'] = code
    if not outcome.demand(code in (0, 71), f'it ends with {code}: {output[-1500:]}') or code == 71:
        return outcome
    last = max((folder / 'run/checkpoints/t').glob('step-*'))
    for path in last.glob('*.safetensors'):
        outcome.demand(all_finite(path), f'{path.name} has values that are not finite')
    skipped, named = json.loads((last / 'state.json').read_text())['skipped'], len(list((folder / 'run/bad_steps').glob('t-step-*')))
    outcome.detail['skipped'] = skipped
    outcome.demand(skipped == named, f'{skipped} steps were skipped, {named} are in bad_steps')
    outcome.demand(skipped > 0, 'no step was skipped')
    return outcome
