"""A disk cache for arrays computed with a model, under a content hash of everything that they depend on."""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from llmrec.atomic import locked
from llmrec.backbones.adapters import adapter_layers
from llmrec.backbones.backbone import Backbone
from llmrec.cached_files import cached_file, is_cached
from llmrec.catalogue.titles import tokenizer_hash
from llmrec.collectives import all_ranks_agree, barrier, is_rank_zero
from llmrec.components import code
from llmrec.errors import InputError

MODEL = ("backbones", "catalogue", "examples", "prompts")
"""Components that determine a model's outputs for given weights and texts."""


def cached_array(
    folder: Path, identity: str, shape: tuple[int | None, ...], make: Callable[[], np.ndarray], of: str
) -> np.ndarray:
    """Returns the array that `make` computes, or reads it from the cache if it was computed before.

    The ranks of a distributed run either all read or all compute. If several runs need the same array at once, one
    computes it and the others wait.

    Args:
        folder: The folder of this cache.
        identity: Content hash of everything that the array depends on.
        shape: The array's shape; None for any length.
        make: Computes the array. Called on all ranks.
        of: Name of the cache in error messages.

    Raises:
        InputError: If the cached file is damaged or belongs to another array.
    """
    path = folder / f"{identity[:32]}.safetensors"
    if all_ranks_agree(is_cached(path)):
        return _read(path, identity, shape, of)
    # Only rank 0 takes the lock; the other ranks wait for it in the collective call that follows.
    with locked(folder.parent / "locks" / path.stem) if is_rank_zero() else nullcontext():
        if all_ranks_agree(is_cached(path)):
            return _read(path, identity, shape, of)
        made = make()
        if is_rank_zero():
            with cached_file(path) as temporary:
                save_file({"made": np.ascontiguousarray(made)}, temporary, {"identity": identity})
    barrier()
    return made


def content_hash(backbone: Backbone, arrays: Iterable[np.ndarray], *settings: object) -> str:
    """Hashes everything that an array computed with a backbone depends on.

    The hash covers the tokenizer, the weights in use, the precision and the code.

    Args:
        backbone: The model.
        arrays: Integer arrays that the result depends on, in order.
        settings: Further settings; hashed by their `repr`.
    """
    digest = hashlib.sha256(tokenizer_hash(backbone.tokenizer).encode())
    for array in arrays:
        digest.update(array.astype(np.int64).tobytes() + b"|")
    context = [_model_settings(backbone), _precision(backbone), code(MODEL), *settings]
    digest.update(repr(context).encode())
    for name, weight in backbone.weights_in_use():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _precision(backbone: Backbone) -> str:
    return str(backbone.autocast_dtype or backbone.causal_lm.dtype)


def _model_settings(backbone: Backbone) -> list[object]:
    """Returns settings that change the outputs of equal weights: the model's config and the adapter's scaling."""
    config = backbone.causal_lm.config.to_dict()
    # Private keys, such as _name_or_path, do not change the outputs.
    relevant = {key: value for key, value in config.items() if key != "transformers_version" and key[0] != "_"}
    return [sorted(relevant.items()), [layer.scaling for layer in adapter_layers(backbone)]]


def _read(path: Path, identity: str, shape: tuple[int | None, ...], of: str) -> np.ndarray:
    remedy = "delete it, and it is computed again"
    try:
        with safe_open(path, framework="numpy") as file:
            array: np.ndarray = file.get_tensor("made")
            stored = (file.metadata() or {}).get("identity")
    except (SafetensorError, OSError) as error:
        raise InputError(f"the {of} cache {path} cannot be read ({error}): {remedy}") from error
    fits = len(array.shape) == len(shape) and all(
        expected is None or expected == length for expected, length in zip(shape, array.shape, strict=True)
    )
    if stored != identity or not fits:
        raise InputError(f"the {of} cache {path} is of other weights, titles or another prompt: {remedy}")
    return array
