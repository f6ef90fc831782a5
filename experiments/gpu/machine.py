"""Prints one JSON line: the machine, and how fast its large matrix product and memory copy are.

python experiments/gpu/machine.py
"""

import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version

import torch

PACKAGES = ("torch", "transformers", "peft", "pytorch-lightning")
SIZE, COPIED_GIB, REPEATS = 8192, 4, 10


def main() -> None:
    """Measures and prints."""
    said = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        **{package: version(package) for package in PACKAGES},
    }
    if torch.cuda.is_available():
        a, b = (torch.randn(SIZE, SIZE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        memory = torch.empty(COPIED_GIB << 30, dtype=torch.uint8, device="cuda").random_()
        target = torch.empty_like(memory)
        said |= {
            "gpu": torch.cuda.get_device_name(),
            "cuda": torch.version.cuda,
            "matmul_tflops": 2 * SIZE**3 / seconds(lambda: a @ b) / 1e12,
            "copy_tb_s": 2 * len(memory) / seconds(lambda: target.copy_(memory)) / 1e12,
        }
    print(json.dumps(said), flush=True)


def seconds(run: Callable[[], object]) -> float:
    """Mean seconds of a call, after three that are not counted."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(REPEATS):
        run()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / REPEATS


if __name__ == "__main__":
    main()
