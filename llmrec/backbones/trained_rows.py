"""Rows of new tokens in the embeddings and the head, which are trained with an adapter (PEFT's trainable tokens)."""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from llmrec.errors import InputError


def row_layers(model: PreTrainedModel, modules: Sequence[str] | str, tokens: Sequence[int]) -> dict[str, list[int]]:
    """Returns the layers whose rows are trained, by name, with the tokens, as PEFT expects them.

    PEFT trains the rows of a tied head with those of the embeddings. An untied head has rows of its own.

    Args:
        model: The base model.
        modules: What LoRA adapts, in the form that PEFT expects.
        tokens: The tokens whose rows are trained, ascending.

    Raises:
        InputError: If LoRA adapts the embeddings or the head too, or the head has a bias.
    """
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    layers = [embeddings] if head.weight is embeddings.weight else [embeddings, head]
    names = {id(module): name for name, module in model.named_modules()}
    adapted = [names[id(layer)] for layer in (embeddings, head) if names[id(layer)].rpartition(".")[2] in modules]
    if adapted:
        raise InputError(
            f"adapter.modules: LoRA cannot adapt {adapted[0]} with items=tokens, which trains the rows of new tokens "
            "there. Leave it out of adapter.modules"
        )
    if getattr(head, "bias", None) is not None:
        raise InputError(
            f"the head of {type(model).__name__} has a bias, with which PEFT cannot train the rows of new tokens. Use "
            "adapter=none with items=tokens, or another backbone"
        )
    return {names[id(layer)]: list(tokens) for layer in layers}


def row_tokens(model: Any) -> Tensor:
    """Returns the tokens whose rows are trained with the adapter of a model, ascending, int64 `[M]`.

    Args:
        model: A causal LM with or without PEFT's wrapper.
    """
    configs = getattr(model, "peft_config", {}).values()
    layers = [layer for config in configs for layer in (config.trainable_token_indices or {}).values()]
    return torch.tensor(sorted({token for tokens in layers for token in tokens}), dtype=torch.long)


def has_trained_rows(layer: nn.Module) -> bool:
    """Returns whether PEFT trains rows of the layer."""
    if "peft" not in sys.modules:
        return False
    from peft.utils.other import TrainableTokensWrapper

    return isinstance(layer, TrainableTokensWrapper)


def row_weights(model: nn.Module) -> list[tuple[Tensor, float]]:
    """Returns the trained rows of each layer, those of tied layers once, with the standard deviation of all rows."""
    adapters: list[Any] = [layer.token_adapter for layer in model.modules() if has_trained_rows(layer)]
    return [
        (weight, float(adapter.base_layer.weight.detach().float().std()))
        for adapter in adapters
        if adapter.tied_adapter is None
        for weight in adapter.trainable_tokens_delta.values()
    ]


def rows_at(layer: Any, index: Tensor) -> Tensor:
    """Returns rows of the weight in use, without a copy of the whole weight.

    Args:
        layer: A layer with trained rows.
        index: The rows, int64 `[M]`.

    Returns:
        `[M, size]`.
    """
    adapter = layer.token_adapter
    rows: Tensor = adapter.base_layer.weight[index]
    if adapter.disable_adapters or adapter.merged:
        return rows
    for name in adapter.active_adapters:
        tokens = torch.tensor(adapter.token_indices[name], device=index.device)
        place = torch.searchsorted(tokens, index).clamp(max=len(tokens) - 1)
        trained = adapter.trainable_tokens_delta[name][place].to(rows.dtype)
        rows = torch.where((tokens[place] == index)[:, None], trained, rows)
    return rows
