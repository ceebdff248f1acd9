"""Rewrites what the host's compiler does not understand of a CUDA source: launches and dynamic shared memory.

Usage: kernel_source.py IN.cu OUT.cpp
"""

import pathlib
import re
import sys

LAUNCH = re.compile(r"([A-Za-z_][\w:]*(?:<[^<>;(){}]*>)?)\s*<<<(.*?)>>>\s*\(", re.S)
SHARED = re.compile(r"extern\s+__shared__\s+(?:__align__\(\d+\)\s*)?([\w:]+)\s+(\w+)\[\];")


def launch(match):
    kernel, configuration = match[1], match[2]
    return f'cuda_on_cpu::launch("{kernel}", {{{configuration}}}, {kernel}, '


source, target = map(pathlib.Path, sys.argv[1:3])
text = LAUNCH.sub(launch, source.read_text())
text = text.replace(", )", ")")  # of a kernel without arguments
text = SHARED.sub(r"\1* \2 = static_cast<\1*>(cuda_on_cpu::dynamic_shared());", text)
if "<<<" in text:
    sys.exit(f"{source}: a launch was not understood")
target.write_text(f'#line 1 "{source}"\n{text}')
