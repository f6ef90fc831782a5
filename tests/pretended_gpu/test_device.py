"""The pretended GPU itself: it records what would fail or wait on a real GPU, and nothing else."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from llmrec.training.module import to_floats
from llmrec.training.sharded import gradient_norm
from tests.pretended_gpu.device import Waits, pretended_gpu

Use = Callable[[Tensor, Tensor], object]

SYNCS: dict[str, Use] = {
    "item": lambda x, host: x[0].item(),
    "float": lambda x, host: float(x[0]),
    "bool": lambda x, host: bool(x.any()),
    "tolist": lambda x, host: x.tolist(),
    "cpu": lambda x, host: x.cpu(),
    "to": lambda x, host: x.to("cpu"),
    "copy to the CPU": lambda x, host: host.copy_(x),
    "nonzero": lambda x, host: x.nonzero(),
    "where": lambda x, host: torch.where(x > 0),
    "mask": lambda x, host: x[x > 0],
    "assignment by a mask": lambda x, host: x.__setitem__(x > 0, 2 * x[:2]),
    "masked_select": lambda x, host: x.masked_select(x > 0),
    "unique": lambda x, host: torch.unique(x, return_inverse=True),
    "unique_consecutive": lambda x, host: torch.unique_consecutive(x),
    "bincount": lambda x, host: torch.bincount(x.long()),
    "repeat_interleave": lambda x, host: torch.repeat_interleave(x, x.long()),
    "equal": lambda x, host: torch.equal(x, x),
}
UPLOADS: dict[str, Use] = {
    "to": lambda x, host: host.to("cuda"),
    "cuda": lambda x, host: host.cuda(),
    "tensor": lambda x, host: torch.tensor([1.0], device=x.device),
    "new_tensor": lambda x, host: x.new_tensor(1.0),
    "copy_": lambda x, host: x.copy_(host),
    "memory that is not pinned": lambda x, host: host.to("cuda", non_blocking=True),
    "copy_ of memory that is not pinned": lambda x, host: x.copy_(host, non_blocking=True),
    "index": lambda x, host: x[host.long()],
    "number": lambda x, host: x.__setitem__(x.long(), 1.0),
}
MIXING: dict[str, Use] = {
    "sum": lambda x, host: x + host,
    "cat": lambda x, host: torch.cat([x, host]),
    "CPU tensor by index": lambda x, host: host[x.long()],
    "assignment": lambda x, host: x.__setitem__(x.long(), host),
    "in place": lambda x, host: host.add_(x),
}
FREE: dict[str, Use] = {
    "number": lambda x, host: 2 * x + host.sum(),
    "slice": lambda x, host: x[1:],
    "index": lambda x, host: x[x.long()],
    "where": lambda x, host: torch.where(x > 0, x, 0.0),
    "number by a mask": lambda x, host: x.__setitem__(x > 0, 0.0),
    "number by a slice": lambda x, host: x.__setitem__(slice(1), 0.0),
    "repeat_interleave": lambda x, host: torch.repeat_interleave(x, x.long(), output_size=3),
    "zeros": lambda x, host: torch.zeros(3, device=x.device) + x,
    "empty tensor": lambda x, host: torch.tensor([], device="cuda"),
    "pinned memory": lambda x, host: host.pin_memory().to("cuda", non_blocking=True),
    "copy_ of pinned memory": lambda x, host: x.copy_(host.pin_memory(), non_blocking=True),
    "same device": lambda x, host: x.to("cuda:0", torch.float64),
    "on the CPU": lambda x, host: host[host > 0].tolist(),
}


def counts(use: Use, inference: bool) -> tuple[int, int, int]:
    """Syncs, uploads and mixed devices that are recorded while 0, 1, 2 on the GPU and on the CPU are used."""
    with torch.inference_mode(inference), pretended_gpu() as gpu:
        host = torch.arange(3.0)
        x = host.to("cuda")
        gpu.take_waits()
        use(x, host)
    return gpu.waits.syncs.total(), gpu.waits.uploads.total(), gpu.mixing.total()


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("use", SYNCS)
def test_a_sync_is_counted(use: str, inference: bool) -> None:
    assert counts(SYNCS[use], inference) == (1, 0, 0)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("use", UPLOADS)
def test_an_upload_is_counted(use: str, inference: bool) -> None:
    assert counts(UPLOADS[use], inference) == (0, 1, 0)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("use", MIXING)
def test_mixed_devices_are_found(use: str, inference: bool) -> None:
    assert counts(MIXING[use], inference) == (0, 0, 1)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("use", FREE)
def test_nothing_else_is_recorded(use: str, inference: bool) -> None:
    assert counts(FREE[use], inference) == (0, 0, 0)


@pytest.mark.parametrize("convert", [torch.Tensor.numpy, np.asarray])
def test_numpy_is_refused(convert: Callable[[Tensor], object]) -> None:
    with pretended_gpu():
        x = torch.ones(2).to("cuda")
        with pytest.raises(TypeError, match="cuda:0"):
            convert(x)


def test_a_backward_pass_is_watched() -> None:
    """The gradient of x[mask] is put where the mask is true."""
    with pretended_gpu() as gpu:
        weight = torch.nn.Parameter(torch.ones(3).to("cuda"))
        loss = weight[torch.tensor([True, False, True]).to("cuda")].sum()
        gpu.take_waits()
        loss.backward()
        assert gpu.waits.syncs.total() == 1
        assert weight.grad is not None
        assert weight.grad.device.type == "cuda"


def test_modules_and_optimizers_stay_on_the_gpu() -> None:
    with pretended_gpu() as gpu:
        layer = torch.nn.Linear(3, 2).to("cuda")
        optimizer = torch.optim.AdamW(layer.parameters())
        gpu.take_waits()
        layer(torch.ones(1, 3, device="cuda")).sum().backward()
        torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
        assert gpu.waits == Waits()
        assert not gpu.mixing
        assert {weight.device.type for weight in layer.parameters()} == {"cuda"}


def test_a_wait_names_the_line_of_llmrec() -> None:
    with pretended_gpu() as gpu:
        weight = torch.nn.Parameter(torch.ones(3).to("cuda"))
        weight.sum().backward()
        gpu.take_waits()
        to_floats({"norm": gradient_norm([weight])})
        (where,) = gpu.waits.syncs
    assert re.fullmatch(r"tolist at training/module\.py:\d+", where)


def test_results_are_those_of_the_cpu() -> None:
    x = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    with pretended_gpu():
        found = (x.to("cuda") @ x.to("cuda").t()).softmax(-1).cpu()
    assert torch.equal(found, (x @ x.t()).softmax(-1))


def test_afterwards_all_tensors_are_on_the_cpu() -> None:
    with pretended_gpu() as gpu:
        x = torch.ones(2).to("cuda")
        gpu.take_waits()
    assert x.device.type == "cpu"
    assert x.tolist() == [1.0, 1.0]
    assert gpu.waits == Waits()
