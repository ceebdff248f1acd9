"""Makes the table of ptxas_table.sh from the log of `ptxas -v`.

Usage: ptxas_table.py ARCHITECTURE... < LOG
"""

import re
import sys

ENTRY = re.compile(r"Compiling entry function '(?:void )?(.*)' for 'sm_(\d+)'")
SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")


def short(name):
    """residual_norm<float, Bfloat16, 9> of the whole signature."""
    name = re.sub(r"pixart::\w+::kernels::|\(anonymous namespace\)::", "", name)
    return re.sub(r"_kernel\b", "", re.match(r"[^(]*", name)[0])


def read(lines):
    found, entry, spills = {}, None, 0
    for line in lines:
        if match := ENTRY.search(line):
            entry = (short(match[1]), match[2])
        elif match := SPILLS.search(line):
            spills = int(match[1]) + int(match[2])
        elif (match := USED.search(line)) and entry:
            found[entry] = match[1] + (f" ({spills} B spilled)" if spills else "")
            entry, spills = None, 0
    return found


architectures = sys.argv[1:]
registers = read(sys.stdin)
print("| kernel |" + "".join(f" sm_{architecture} |" for architecture in architectures))
print("|---|" + "---|" * len(architectures))
for kernel in sorted({name for name, _ in registers}):
    print(f"| `{kernel}` |" + "".join(f" {registers.get((kernel, a), '?')} |" for a in architectures))
