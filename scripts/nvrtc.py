"""Compiles CUDA sources with NVRTC. Run by check_cuda12.sh.

Usage: nvrtc.py NVIDIA_PACKAGES SOURCE.cu ...
"""

import ctypes
import pathlib
import re
import sys
import tempfile

ARCHITECTURES = ("sm_80", "sm_90")
# NVRTC comes without the headers of the standard library; those of CUDA replace them. <algorithm> is in parts there.
PARTS = {"algorithm": ("__algorithm/clamp.h", "__algorithm/max.h", "__algorithm/min.h")}
# What cuda_runtime.h declares for the host only; the sources call it in functions of the host.
HOST = """#include <cuda_runtime.h>
extern "C" __device__ cudaError_t cudaGetLastError();
extern "C" __device__ cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int);
extern "C" __device__ const char* cudaGetErrorString(cudaError_t);
"""

packages = pathlib.Path(sys.argv[1])
sources = [pathlib.Path(name) for name in sys.argv[2:]]
nvrtc = ctypes.CDLL(str(packages / "cuda_nvrtc/lib/libnvrtc.so.12"))


def check(result):
    if result != 0:
        sys.exit(f"NVRTC: error {result}")


def text_of(program, what):
    size = ctypes.c_size_t()
    check(getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    check(getattr(nvrtc, f"nvrtcGet{what}")(program, text))
    return text.raw


def write_headers(folder):
    """Stands in for each header of the standard library that a source or a header next to it includes."""
    near = {path for source in sources for path in source.parent.glob("*") if path.suffix in (".cu", ".h", ".cuh")}
    names = {name for path in near for name in re.findall(r"^#include <([a-z]+)>", path.read_text(), re.M)}
    for name in names:
        includes = "".join(f"#include <cuda/std/{part}>\n" for part in PARTS.get(name, (name,)))
        (folder / name).write_text(f"#pragma once\n{includes}namespace std {{ using namespace cuda::std; }}\n")
    (folder / "host.h").write_text(HOST)


def compile_for(source, architecture, folders, pre_include):
    options = [f"--gpu-architecture={architecture}", "-std=c++17", "-default-device", "-rdc=true", f"--pre-include={pre_include}",
               *(f"-I{folder}" for folder in folders)]
    program = ctypes.c_void_p()
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.read_bytes(), str(source).encode(), 0, None, None))
    strings = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    if nvrtc.nvrtcCompileProgram(program, len(options), strings) != 0:
        sys.exit(f"{source} does not compile for {architecture}:\n{text_of(program, 'ProgramLog').decode()}")
    return len(text_of(program, "CUBIN"))


version = (ctypes.c_int * 2)()
check(nvrtc.nvrtcVersion(ctypes.byref(version, 0), ctypes.byref(version, ctypes.sizeof(ctypes.c_int))))
print(f"NVRTC {version[0]}.{version[1]}")
with tempfile.TemporaryDirectory() as temporary:
    shims = pathlib.Path(temporary)
    write_headers(shims)
    cuda = [packages / name / "include" for name in ("cuda_runtime", "cuda_nvcc", "cuda_cccl")]
    for source in sources:
        sizes = [compile_for(source, name, [source.parent, pathlib.Path("include"), *cuda, shims], shims / "host.h") for name in ARCHITECTURES]
        print(f"{source}: compiled, " + ", ".join(f"{name} {size} bytes" for name, size in zip(ARCHITECTURES, sizes)))
