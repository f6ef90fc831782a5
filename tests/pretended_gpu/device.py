"""A pretended GPU: CPU tensors that claim to be on cuda:0, and a record of what would fail or wait on a real GPU.

A storage is on the pretended GPU or not, and all tensors that share it are where it is. Operations run on the CPU and
give the CPU's results. Two modes do the work: `_Devices` answers Python code that asks for a device or names one, and
`_Operations` watches all operations, including those of backward passes and inside of other operations.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import llmrec

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
PACKAGE = f"{Path(llmrec.__file__).parent}/"
aten = torch.ops.aten
SYNCS = {
    aten._local_scalar_dense.default: "item",  # also of bool(), int() and float()
    aten._unique2.default: "unique",
    aten.bincount.default: "bincount",
    aten.equal.default: "equal",
    aten.masked_select.default: "masked_select",
    aten.nonzero.default: "nonzero",
    aten.unique_consecutive.default: "unique_consecutive",
    aten.unique_dim.default: "unique_dim",
}
"""Operations that make the host wait: it needs their result, or the result's shape."""
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
group_tensors = torch._C._group_tensors_by_device_and_dtype


@dataclass(frozen=True)
class Waits:
    """Counts how often the host waits for the GPU, by operation and line of llmrec.

    Attributes:
        syncs: For a result: `SYNCS`, indexing by a mask, repeat_interleave without output_size, tolist, copies to the
            CPU.
        uploads: For a copy to the GPU to end: copies that are not non_blocking from pinned memory, torch.tensor,
            indices on the CPU.
    """

    syncs: Counter[str] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)


@dataclass
class PretendedGPU:
    """The storages on the pretended GPU and a record of what happens there.

    Attributes:
        waits: Since the last call of `take_waits`.
        mixing: Operations that would fail, since they take tensors of both devices. CPU tensors without dimensions are
            allowed.
        storages: Weak references, which keep a new storage from getting the address of a freed one.
        pinned: The storages in pinned memory of the host, likewise.
    """

    waits: Waits = field(default_factory=Waits)
    mixing: Counter[str] = field(default_factory=Counter)
    storages: set[StorageWeakRef] = field(default_factory=set)
    pinned: set[StorageWeakRef] = field(default_factory=set)

    def take_waits(self) -> Waits:
        """Returns the waits so far and starts to count anew."""
        taken, self.waits = self.waits, Waits()
        return taken

    def holds(self, tensor: Tensor) -> bool:
        """Returns whether a tensor is on the GPU."""
        return StorageWeakRef(tensor.untyped_storage()) in self.storages

    def add(self, tensor: Tensor) -> Tensor:
        """Puts a tensor's storage on the GPU."""
        self.storages.add(StorageWeakRef(tensor.untyped_storage()))
        return tensor

    def pin(self, tensor: Tensor) -> Tensor:
        """Returns a copy of a CPU tensor in pinned memory."""
        copy = tensor.clone()
        self.pinned.add(StorageWeakRef(copy.untyped_storage()))
        return copy

    def uploads_at_once(self, tensor: Tensor, non_blocking: bool) -> bool:
        """Returns whether the host goes on before a CPU tensor has been copied to the GPU."""
        return non_blocking and StorageWeakRef(tensor.untyped_storage()) in self.pinned

    def remove(self, tensor: Tensor) -> Tensor:
        """Puts a tensor's storage on the CPU."""
        self.storages.discard(StorageWeakRef(tensor.untyped_storage()))
        return tensor

    def device(self, tensor: Tensor) -> torch.device:
        """Returns the device that a tensor claims to be on."""
        return CUDA if self.holds(tensor) else tensor.device

    def group(self, tensors: Any, with_indices: bool) -> dict[tuple[torch.device, torch.dtype], Any]:
        """Groups lists of tensors by device and type for optimizers and gradient clipping."""
        groups = group_tensors(tensors, with_indices)
        return {(self.device(group[0][0][0]), dtype): group for (_, dtype), group in groups.items()}


@contextmanager
def pretended_gpu() -> Iterator[PretendedGPU]:
    """Lets tensors be moved to "cuda" and yields the record. Afterwards, they all are on the CPU again."""
    gpu = PretendedGPU()
    with (
        # Functions of torch that no mode sees.
        mock.patch.object(torch._C, "_group_tensors_by_device_and_dtype", gpu.group),
        mock.patch.object(torch.cuda, "mem_get_info", return_value=(40 << 30, 80 << 30)),
        _Devices(gpu),
        _Operations(gpu),
    ):
        yield gpu


class _Devices(TorchFunctionMode):
    """Answers Python code that asks for a tensor's device, moves a tensor or names the device of a new one."""

    def __init__(self, gpu: PretendedGPU) -> None:
        super().__init__()
        self.gpu = gpu
        self.answers: dict[Callable[..., Any], Callable[..., Any]] = {
            Tensor.device.__get__: gpu.device,
            Tensor.is_cuda.__get__: gpu.holds,
            Tensor.is_cpu.__get__: lambda tensor: not gpu.holds(tensor),
            Tensor.to: self._to,
            Tensor.cpu: lambda tensor: self._to(tensor, CPU),
            Tensor.cuda: lambda tensor: self._to(tensor, CUDA),
            Tensor.pin_memory: gpu.pin,
            Tensor.tolist: self._tolist,
            Tensor.new_tensor: self._new_tensor,
        }

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.numpy, Tensor.__array__) and self.gpu.holds(args[0]):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if func in self.answers:
            return self.answers[func](*args, **kwargs)
        device = kwargs.get("device")
        if device is None or torch.device(device).type != "cuda":
            return func(*args, **kwargs)
        created = func(*args, **{**kwargs, "device": CPU})
        if func is torch.tensor:
            self._note_upload(created, "tensor")
        return self.gpu.add(created)

    def _to(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)
        held = self.gpu.holds(tensor)
        if device is None or held == (device.type == "cuda"):
            return tensor.to(dtype or tensor.dtype)
        copy = tensor.to(dtype or tensor.dtype, copy=True)
        if held:
            _note(self.gpu.waits.syncs, "copy to the CPU")
            return self.gpu.remove(copy)
        if not self.gpu.uploads_at_once(tensor, non_blocking):
            self._note_upload(copy, "to")
        return self.gpu.add(copy)

    def _tolist(self, tensor: Tensor) -> Any:
        if self.gpu.holds(tensor):
            _note(self.gpu.waits.syncs, "tolist")
        return tensor.tolist()

    def _new_tensor(self, tensor: Tensor, data: Any, **kwargs: Any) -> Tensor:
        created = tensor.new_tensor(data, **kwargs)
        if not self.gpu.holds(tensor):
            return created
        self._note_upload(created, "new_tensor")
        return self.gpu.add(created)

    def _note_upload(self, tensor: Tensor, name: str) -> None:
        # An empty tensor is not copied.
        if tensor.numel():
            _note(self.gpu.waits.uploads, name)


class _Operations(TorchDispatchMode):
    """Records the operations that take tensors on the GPU, and puts their results there."""

    def __init__(self, gpu: PretendedGPU) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        tensors = _tensors((args, kwargs))
        if not any(map(self.gpu.holds, tensors)):
            return func(*args, **kwargs)
        # Inference mode passes on operations that are made of others, which may wait.
        with self:
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        name = func.overloadpacket.__name__
        if func is aten.copy_.default:
            self._note_copy(*args, **kwargs)
            return func(*args, **kwargs)
        if func in INDEXING:
            self._note_indexing(name, *args[:3])
        elif any(map(self._is_foreign, tensors)):
            _note(self.gpu.mixing, name)
        if func in SYNCS or (func is aten.repeat_interleave.Tensor and kwargs.get("output_size") is None):
            _note(self.gpu.waits.syncs, SYNCS.get(func, name))
        result = func(*args, **kwargs)
        for tensor in _tensors(result):
            self.gpu.add(tensor)
        return result

    def _is_foreign(self, tensor: Tensor) -> bool:
        return tensor.dim() > 0 and not self.gpu.holds(tensor)

    def _note_copy(self, target: Tensor, source: Tensor, non_blocking: bool = False) -> None:
        if not self.gpu.holds(target):
            _note(self.gpu.waits.syncs, "copy_")
        elif self._is_foreign(source) and not self.gpu.uploads_at_once(source, non_blocking):
            _note(self.gpu.waits.uploads, "copy_")

    def _note_indexing(
        self, name: str, target: Tensor, indices: Sequence[Tensor | None], value: Tensor | None = None
    ) -> None:
        """Records x[indices] and, with a value, x[indices] = value."""
        present = [index for index in indices if index is not None]
        by_mask = any(index.dtype in (torch.bool, torch.uint8) for index in present)
        if any(self._is_foreign(operand) for operand in (target, value) if operand is not None):
            _note(self.gpu.mixing, name)
        if value is not None and not self.gpu.holds(value) and value.dim() == 0:
            # By a mask, a number is filled in without looking up where; by other indices, it is copied first.
            if not by_mask:
                _note(self.gpu.waits.uploads, f"{name} of a number")
        elif by_mask:
            _note(self.gpu.waits.syncs, f"{name} by a mask")
        for index in present:
            if self._is_foreign(index):
                _note(self.gpu.waits.uploads, f"{name} by an index on the CPU")


def _tensors(nested: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(nested) if isinstance(leaf, Tensor)]


def _note(record: Counter[str], name: str) -> None:
    record[f"{name} at {_line()}"] += 1


def _line() -> str:
    """Returns the line of llmrec that is being executed."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_filename.startswith(PACKAGE):
            return f"{frame.f_code.co_filename.removeprefix(PACKAGE)}:{frame.f_lineno}"
    return "a line outside llmrec"
