"""What a model made of given data, kept on disk by the content of everything that it depends on."""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from llmrec.atomic import atomic_file, locked
from llmrec.backbones.adapters import adapter_layers
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.ranks import is_first, on_all_ranks, wait_for_all
from llmrec.catalogue.titles import tokenizer_hash
from llmrec.code_hash import code_hash
from llmrec.errors import InputError

MODEL_CODE = ("backbones", "catalogue", "datasets", "decoding")
"""What turns weights and texts into numbers."""


def kept(
    folder: Path, identity: str, shape: tuple[int | None, ...], make: Callable[[], np.ndarray], of: str
) -> np.ndarray:
    """The array that `make` gives, read from `folder` where an earlier call with the same identity left it.

    identity: a content hash of all that the array depends on; shape: what it must have, None = any length; of: what
    the cache is called in errors. Several ranks either all read or all make; of several runs one makes, the others wait
    for it. Raises InputError for a file that is
    damaged or is not what its name says.
    """
    path = folder / f"{identity[:32]}.safetensors"
    if on_all_ranks(path.exists()):
        return _read(path, identity, shape, of)
    # Only the first rank takes the lock: the others wait for it in what they all do next.
    with locked(folder.parent / "locks" / path.stem) if is_first() else nullcontext():
        if on_all_ranks(path.exists()):
            return _read(path, identity, shape, of)
        made = make()
        if is_first():
            with atomic_file(path) as temporary:
                save_file({"made": np.ascontiguousarray(made)}, temporary, {"identity": identity})
    wait_for_all()
    return made


def content_hash(backbone: Backbone, arrays: Iterable[np.ndarray], *settings: object) -> str:
    """A content hash of tokenizer, weights in use, precision, integer arrays (in order), settings and code."""
    digest = hashlib.sha256(tokenizer_hash(backbone.tokenizer).encode())
    for array in arrays:
        digest.update(array.astype(np.int64).tobytes() + b"|")
    meaning = [_meaning_of_weights(backbone), _precision(backbone), code_hash(MODEL_CODE, ()), *settings]
    digest.update(repr(meaning).encode())
    for name, weight in backbone.weights_in_use():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _precision(backbone: Backbone) -> str:
    return str(backbone.autocast_dtype or backbone.causal_lm.dtype)


def _meaning_of_weights(backbone: Backbone) -> list[object]:
    """What gives equal weights another meaning: the model's config but for where it lies, an adapter's scaling."""
    config = backbone.causal_lm.config.to_dict()
    kept_keys = {key: value for key, value in config.items() if key != "transformers_version" and key[0] != "_"}
    return [sorted(kept_keys.items()), [layer.scaling for layer in adapter_layers(backbone)]]


def _read(path: Path, identity: str, shape: tuple[int | None, ...], of: str) -> np.ndarray:
    remedy = "delete it; it is made again"
    try:
        with safe_open(path, framework="numpy") as file:
            found: np.ndarray = file.get_tensor("made")
            stored = (file.metadata() or {}).get("identity")
    except (SafetensorError, OSError) as error:
        raise InputError(f"the {of} cache {path} cannot be read ({error}): {remedy}") from error
    fits = len(found.shape) == len(shape) and all(
        wanted is None or wanted == length for wanted, length in zip(shape, found.shape, strict=True)
    )
    if stored != identity or not fits:
        raise InputError(f"the {of} cache {path} is of other weights, titles or another prompt: {remedy}")
    return found
