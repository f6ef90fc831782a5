"""Times a model of the shape of tiny with several limits of OpenMP's active waiting, one process each.

python experiments/bench/waiting.py [busy]

Prints milliseconds of a forward pass of 16 tokens, as in decoding, and of a training pass of 1,600 tokens. With `busy`,
two other processes use the cores all the time.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable

LIMITS: dict[str, dict[str, str]] = {
    "0 (OMP_WAIT_POLICY=PASSIVE)": {"OMP_WAIT_POLICY": "PASSIVE"},
    "1,000": {"GOMP_SPINCOUNT": "1000"},
    "10,000": {"GOMP_SPINCOUNT": "10000"},
    "GCC's default": {},
}
"""Environment variables by the number of rounds."""


def measure() -> None:
    """Prints both figures as a row of the table."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(2)
    torch.manual_seed(0)
    shape = {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 3, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=4096, **shape))
    few, many = (torch.randint(0, 4096, size) for size in ((1, 16), (8, 200)))
    with torch.inference_mode():
        decoding = milliseconds(lambda: model.model(input_ids=few, use_cache=False), 100)
    training = milliseconds(lambda: model(input_ids=many, labels=many).loss.backward(), 10)
    print(f"{decoding:.1f} | {training:.0f}")


def milliseconds(call: Callable[[], object], times: int) -> float:
    """Returns the mean milliseconds of a call after the first one."""
    call()
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times * 1e3


def main(others: int) -> None:
    """Prints the table in Markdown, measured beside `others` processes that never wait."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
    try:
        print("| rounds | forward, ms | training, ms |\n|---|---|---|")
        for name, variables in LIMITS.items():
            command = [sys.executable, __file__, "measure"]
            done = subprocess.run(command, env=os.environ | variables, stdout=subprocess.PIPE, text=True, check=True)
            print(f"| {name} | {done.stdout.strip()} |", flush=True)
    finally:
        for process in busy:
            process.kill()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure"]:
            measure()
        case arguments:
            main(others=2 if arguments == ["busy"] else 0)
