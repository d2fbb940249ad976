"""Compiles kernels.cu for every dtype with the NVRTC of PyTorch's own packages; needs no GPU.

    .cuda-venv/bin/python scripts/cuda/check_kernels.py [KERNELS.cu]
"""

import ctypes
import sys
from pathlib import Path

import torch

SOURCE = Path(__file__).resolve().parents[2] / "crates/autoencoders/src/autoencoder_kl/cuda/kernels.cu"
LIBRARIES = Path(torch.__file__).parent.parent / "nvidia/cu13/lib"
STORED = {"f32": 32, "f16": 16, "bf16": 17}
# Ampere, Ada, Hopper.
ARCHITECTURES = ("sm_80", "sm_89", "sm_90")


def log_of(nvrtc, program):
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    return log.value.decode()


def main():
    source = Path(sys.argv[1] if len(sys.argv) > 1 else SOURCE).read_bytes()
    for name in ("libnvrtc-builtins.so.13.0", "libnvrtc.so.13"):
        nvrtc = ctypes.CDLL(str(LIBRARIES / name), ctypes.RTLD_GLOBAL)
    failed = 0
    for architecture in ARCHITECTURES:
        for dtype, stored in STORED.items():
            program = ctypes.c_void_p()
            nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"kernels.cu", 0, None, None)
            options = [f"-DSTORED={stored}", f"--gpu-architecture={architecture}", "--std=c++17"]
            array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            if nvrtc.nvrtcCompileProgram(program, len(options), array):
                print(f"error: {architecture}, {dtype}: {log_of(nvrtc, program)}", file=sys.stderr)
                failed += 1
    if failed:
        sys.exit(1)
    print(f"kernels.cu compiles for {', '.join(ARCHITECTURES)} in {', '.join(STORED)}")


if __name__ == "__main__":
    main()
