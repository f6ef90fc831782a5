"""Full fine-tuning with fully sharded data parallelism (FSDP 2).

Each rank holds a shard of every weight, of its gradient and of its optimizer state. Only the head, whose rows
objectives read, and embeddings tied to it are whole on every rank. A micro-batch gathers each layer's weights twice,
for the forward and the backward pass, and reduces its gradients once. On several nodes, each node holds all shards
(HSDP): weights are gathered within a node, and gradients are summed over nodes too. Where ranks work independently
between steps, all weights are gathered once (see `unsharded`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import Packed
from llmrec.collectives import is_rank_zero
from llmrec.training.checkpoints import read_checkpoint
from llmrec.training.shards import by_weight, read_shards, write_shards


class ShardedStrategy(DDPStrategy):
    """A DDP strategy that shards the backbone after the objective has prepared and a checkpoint has been loaded.

    A checkpoint of the training's state holds each rank's shards, from which any number of ranks can resume. One of
    weights alone holds whole tensors.
    """

    def configure_ddp(self) -> None:
        """Shards the backbone instead of wrapping the module in DDP."""
        assert self.lightning_module is not None
        backbone = self.lightning_module.backbone
        assert isinstance(backbone, Backbone)
        shard(backbone, self.root_device, mesh_shape(self.num_nodes, self.num_processes))

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any = None) -> None:
        """Writes a checkpoint."""
        if "optimizer_states" in checkpoint:
            checkpoint = write_shards(checkpoint, Path(filepath))
        else:
            checkpoint["state_dict"] = _whole(checkpoint["state_dict"])
        super().save_checkpoint(checkpoint, filepath, storage_options)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads a checkpoint but for its shards.

        Lightning loads the weights before the model is sharded and the optimizer's state after it, so their shards are
        read at different times.
        """
        return read_checkpoint(checkpoint_path)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Loads the weights into the model, which is not sharded yet."""
        assert self.lightning_module is not None
        weights = self.lightning_module.state_dict()
        loaded = read_shards(checkpoint, checkpoint["state_dict"], weights.__getitem__)
        super().load_model_state_dict({"state_dict": loaded}, strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Loads this rank's shards of the optimizer's state."""
        (optimizer,), (saved,) = self.optimizers, checkpoint["optimizer_states"]
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]

        def weight_of(name: str) -> Tensor:
            return weights[int(name.partition(".")[0])]

        tensors = read_shards(checkpoint, by_weight(saved["state"]), lambda name: torch.zeros_like(weight_of(name)))
        state = {
            index: {name: _sharded_as(tensors[f"{index}.{name}"], weights[index]) for name in names}
            for index, names in saved["state"].items()
        }
        optimizer.load_state_dict(saved | {"state": state})


class ShardedAdamW(torch.optim.AdamW):
    """AdamW for a mix of sharded and whole weights, which one multi-tensor operation cannot combine."""

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Takes one step; sharded and whole weights are updated as separate groups."""
        groups = self.param_groups
        self.param_groups = [
            # Without foreach or fused, torch would update sharded weights one by one.
            group | {"params": weights, "foreach": True if is_sharded and not group["fused"] else group["foreach"]}
            for group in groups
            for is_sharded, weights in zip((True, False), _split_sharded(group["params"]), strict=True)
        ]
        loss = super().step(closure)
        self.param_groups = groups
        return loss


def mesh_shape(nodes: int, devices: int) -> tuple[int, ...]:
    """Returns the shape of the mesh of ranks: (nodes, devices per node), of which the last dimension shards weights.

    One dimension is enough where either is 1.
    """
    return (nodes, devices) if nodes > 1 and devices > 1 else (nodes * devices,)


def shard(backbone: Backbone, device: torch.device, shape: tuple[int, ...]) -> None:
    """Shards the weights of a fully trained backbone, layer by layer.

    Args:
        backbone: The model, with all weights on this rank.
        device: This rank's device.
        shape: See `mesh_shape`.
    """
    mesh = init_device_mesh(device.type, shape, mesh_dim_names=("nodes", "devices")[-len(shape) :])
    model, decoder = backbone.causal_lm, backbone.causal_lm.get_decoder()
    layers = [module for module in decoder.modules() if type(module).__name__ in (model._no_split_modules or ())]
    # Trained weights stay in float32. Layers are gathered and run in lower precision; embeddings and the last norm are
    # not, so that hidden states between layers are float32 as without FSDP.
    precision = MixedPrecisionPolicy(
        param_dtype=backbone.autocast_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=precision)
    fully_shard(decoder, mesh=mesh, ignored_params=set(model.get_output_embeddings().parameters()))
    for module in (decoder, *layers):
        # Each rank's loss is its share of the step's loss, so gradients are summed, not averaged.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    # By default FSDP prefetches the layer that ran before in any pass, but passes differ between ranks. The first layer
    # prefetches itself, which is already gathered: with an empty list, FSDP would choose a layer itself.
    for layer, before in zip(layers, [*layers[:1], *layers], strict=False):
        layer.set_modules_to_backward_prefetch([before])


@contextmanager
def unsharded(backbone: Backbone) -> Iterator[None]:
    """Gathers all weights on every rank, so that ranks can run different numbers of passes without gradients."""
    modules = [module for module in backbone.modules() if isinstance(module, FSDPModule)]
    # FSDP reuses these tensors in training, which tensors created in inference mode do not allow.
    with torch.inference_mode(False), torch.no_grad():
        for module in modules:
            module.unshard()
    # The first module is the decoder, which keeps its own weights between forward and backward passes anyway.
    for layer in modules[1:]:
        layer.set_reshard_after_forward(False)
    yield
    for layer in modules[1:]:
        layer.set_reshard_after_forward(True)
    for module in modules:
        module.reshard()


def without_shared_columns(backbone: Backbone, packed: Packed) -> Packed:
    """Returns the rows, without shared columns if the backbone is sharded.

    Shared columns take a second forward pass through each layer, but FSDP frees a layer's weights as soon as the
    backward pass has finished one of the two.
    """
    is_sharded = isinstance(backbone.causal_lm.get_decoder(), FSDPModule)
    return replace(packed, shared_columns=0) if is_sharded else packed


def divide_gradients(weights: Sequence[Parameter], divisor: float | Tensor) -> None:
    """Divides the gradients of trained weights, sharded or whole, in place."""
    for weight in weights:
        if weight.grad is not None:
            _local(weight.grad).div_(divisor)


def gradient_norm(weights: Sequence[Parameter]) -> Tensor:
    """Returns the total norm of the gradients of trained weights, over the shards of all ranks, a scalar."""
    shards, whole = _split_sharded(weights)
    norm = get_total_norm([weight.grad for weight in whole if weight.grad is not None])
    if not shards:
        return norm
    square = get_total_norm([_local(weight.grad) for weight in shards if weight.grad is not None]).square()
    # With HSDP the other nodes hold the same shards.
    mesh = _mesh_of(shards[0])
    distributed.all_reduce(square, group=mesh.get_group(mesh.ndim - 1))
    return (square + norm.square()).sqrt()


def clip_gradients(weights: Sequence[Parameter], max_norm: float, norm: Tensor) -> None:
    """Clips the total norm of the gradients, in place.

    Args:
        weights: Trained weights, sharded or whole.
        max_norm: Maximum norm.
        norm: The norm before clipping, see `gradient_norm`.
    """
    for part in _split_sharded(weights):
        clip_grads_with_norm_(part, max_norm, norm)


def _local(gradient: Tensor) -> Tensor:
    """Returns this rank's shard of a gradient, or the gradient if it is whole."""
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient


def _mesh_of(shard: Tensor) -> DeviceMesh:
    assert isinstance(shard, DTensor)
    return shard.device_mesh


def _split_sharded(weights: Sequence[Parameter]) -> tuple[list[Parameter], list[Parameter]]:
    """Returns the sharded weights and the whole weights."""
    return (
        [weight for weight in weights if isinstance(weight, DTensor)],
        [weight for weight in weights if not isinstance(weight, DTensor)],
    )


def _whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gathers tensors one by one into the main memory of rank 0; other ranks get an empty dict."""
    whole = {}
    for name, tensor in tensors.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if is_rank_zero():
            whole[name] = full.cpu()
    return whole


def _sharded_as(tensor: Tensor, weight: Tensor) -> Tensor:
    """Shards a tensor of the weight's shape as the weight is sharded; others, such as the step count, stay whole."""
    if isinstance(tensor, DTensor) or not isinstance(weight, DTensor) or tensor.shape != weight.shape:
        return tensor
    return distribute_tensor(tensor, weight.device_mesh, weight.placements, src_data_rank=None)
