"""Full fine-tuning with the model divided among the ranks: FSDP 2 as this training needs it.

A rank keeps a part of each weight, of its gradient and of its optimizer state. Only the head, whose rows objectives
read, and embeddings tied to it are whole everywhere. What moves: in a micro-batch each layer's weights twice, for its
forward and its backward pass, and its gradients once; between steps, where ranks work by themselves, all weights once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_, get_total_norm

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import Packed
from llmrec.collectives import is_rank_zero


class ShardedStrategy(DDPStrategy):
    """As DDP, with the backbone sharded once objectives have prepared and a resume has brought its weights.

    Checkpoints hold whole tensors in the order of a single process: any number of ranks goes on from them.
    """

    def configure_ddp(self) -> None:
        """Shards the backbone, where DDP would wrap the module."""
        assert self.lightning_module is not None
        backbone = self.lightning_module.backbone
        assert isinstance(backbone, Backbone)
        shard(backbone, self.root_device)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The whole weights, on the first rank; nothing elsewhere."""
        return _whole(super().lightning_module_state_dict())

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """The state of the whole weights, on the first rank."""
        state: dict[str, Any] = super().optimizer_state(optimizer)
        return state | {"state": {place: _whole(of) for place, of in state["state"].items()}}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Takes this rank's part of what `optimizer_state` gave."""
        (optimizer,), (saved,) = self.optimizers, checkpoint["optimizer_states"]
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        parts = {place: _parts(of, weights[place]) for place, of in saved["state"].items()}
        optimizer.load_state_dict(saved | {"state": parts})


class ShardedAdamW(torch.optim.AdamW):
    """AdamW of shards and whole weights: an operation on many tensors at once takes only the ones or the others."""

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step, the shards first."""
        groups = self.param_groups
        self.param_groups = [
            # By itself torch would go through shards one by one.
            group | {"params": weights, "foreach": True if sharded else group["foreach"]}
            for group in groups
            for sharded, weights in zip((True, False), _shards_first(group["params"]), strict=True)
        ]
        loss = super().step(closure)
        self.param_groups = groups
        return loss


def shard(backbone: Backbone, device: torch.device) -> None:
    """Divides the weights of a backbone that is trained whole among all ranks, layer by layer."""
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    model, decoder = backbone.causal_lm, backbone.causal_lm.get_decoder()
    layers = [module for module in decoder.modules() if type(module).__name__ in (model._no_split_modules or ())]
    # The weights that are trained stay in float32; what ranks send each other and compute with is in lower precision,
    # but for embeddings and the last norm, so that states between layers are float32 as in every other pass.
    precision = MixedPrecisionPolicy(
        param_dtype=backbone.autocast_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=precision)
    fully_shard(decoder, mesh=mesh, ignored_params=set(model.get_output_embeddings().parameters()))
    for module in (decoder, *layers):
        # The parts of the loss are shares of the step's: their gradients add up.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    # By itself FSDP fetches what ran before, in whichever pass, and not all passes are the same on all ranks. The first
    # layer names itself, which is there already: none named would mean that FSDP chooses.
    for layer, before in zip(layers, [*layers[:1], *layers], strict=False):
        layer.set_modules_to_backward_prefetch([before])


@contextmanager
def unsharded(backbone: Backbone) -> Iterator[None]:
    """Within it every rank has all weights, fetched once, and may run as many passes without gradients as it likes."""
    modules = [module for module in backbone.modules() if isinstance(module, FSDPModule)]
    # Tensors that are made in inference mode could not be used in training, and these stay allocated for it.
    with torch.inference_mode(False), torch.no_grad():
        for module in modules:
            module.unshard()
    # The first is the decoder, which keeps its own weights from a forward pass to the backward pass anyway.
    for layer in modules[1:]:
        layer.set_reshard_after_forward(False)
    yield
    for layer in modules[1:]:
        layer.set_reshard_after_forward(True)
    for module in modules:
        module.reshard()


def in_one_pass(backbone: Backbone, packed: Packed) -> Packed:
    """The rows, where the backbone is sharded without shared columns.

    They would be a second pass through each layer, whose weights are freed when the backward pass is through the first.
    """
    sharded = isinstance(backbone.causal_lm.get_decoder(), FSDPModule)
    return replace(packed, shared=0) if sharded else packed


def clip(weights: Sequence[Parameter], most: float) -> float:
    """Scales the gradients so that their norm is `most` at the most; the norm that they had, over all ranks."""
    shards, whole = _shards_first(weights)
    if not shards:
        return float(clip_grad_norm_(weights, most))
    square = get_total_norm([weight.grad.to_local() for weight in shards if isinstance(weight.grad, DTensor)]).square()
    distributed.all_reduce(square)
    norm = (square + get_total_norm([weight.grad for weight in whole if weight.grad is not None]).square()).sqrt()
    clip_grads_with_norm_(shards, most, norm)
    clip_grads_with_norm_(whole, most, norm)
    return float(norm)


def _shards_first(weights: Sequence[Parameter]) -> tuple[list[Parameter], list[Parameter]]:
    """The sharded ones, the whole ones."""
    return (
        [weight for weight in weights if isinstance(weight, DTensor)],
        [weight for weight in weights if not isinstance(weight, DTensor)],
    )


def _whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Shards put together one by one, in the first rank's main memory."""
    whole = {}
    for name, tensor in tensors.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if is_rank_zero():
            whole[name] = full.cpu()
    return whole


def _parts(tensors: Mapping[str, Tensor], weight: Parameter) -> dict[str, Tensor]:
    """This rank's part of what there is for each number of a weight; what is one for all of them stays."""
    if not isinstance(weight, DTensor):
        return dict(tensors)
    return {
        name: distribute_tensor(tensor, weight.device_mesh, weight.placements, src_data_rank=None)
        if tensor.shape == weight.shape else tensor
        for name, tensor in tensors.items()
    }  # fmt: skip
