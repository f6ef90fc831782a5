"""Log-probabilities of given responses after given prompts, without gradients."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack, predictor_columns

BATCH_TOKENS = {"cpu": 12_288, "cuda": 65_536}
"""Number of tokens in a batch, prompts and padding included. On a CPU, larger batches exceed the processor's caches."""
MAX_LOGITS = 1 << 26
"""Number of logits held at once: 256 MiB in float32."""


def log_probabilities(
    backbone: Backbone,
    prompts: Sequence[np.ndarray],
    responses: Sequence[np.ndarray],
    shared: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[np.ndarray]:
    """Computes log P(y_t | prompt, y_<t) over the full vocabulary for each response's tokens, with dropout disabled.

    Args:
        backbone: The model.
        prompts: Non-empty prompts, int `[length]` each.
        responses: One non-empty response per prompt, int `[length]` each.
        shared: Number of leading tokens that all prompts have in common, without the last of the shortest prompt; see
            `Packed.shared_columns`.
        progress: Called with the number of responses of each finished batch.

    Returns:
        float32 `[length]` for each response.
    """
    training = backbone.training
    backbone.eval()
    scored: list[np.ndarray] = [np.zeros(0, dtype=np.float32)] * len(responses)
    lengths = np.array([len(p) + len(r) for p, r in zip(prompts, responses, strict=True)], dtype=np.int64)
    with torch.inference_mode():
        for rows in batches_by_length(lengths, BATCH_TOKENS[backbone.device.type]):
            batch = _score(backbone, [prompts[row] for row in rows], [responses[row] for row in rows], shared)
            for row, values in zip(rows, batch, strict=True):
                scored[row] = values
            progress(len(rows))
    backbone.train(training)
    return scored


def _score(
    backbone: Backbone, prompts: Sequence[np.ndarray], responses: Sequence[np.ndarray], shared: int
) -> list[np.ndarray]:
    packed, starts = pack(prompts, [[response[:-1]] for response in responses], shared)
    positions = [
        predictor_columns(start[0], np.arange(len(response))) for start, response in zip(starts, responses, strict=True)
    ]
    token = torch.from_numpy(np.concatenate(responses).astype(np.int64)).to(backbone.device)
    index = torch.from_numpy(np.concatenate(positions)).to(backbone.device)
    encoded = backbone.encode(packed.to(backbone.device), index)
    scores = []
    size = max(1, MAX_LOGITS // backbone.causal_lm.config.get_text_config().vocab_size)
    for start in range(0, len(token), size):
        logits = encoded[start : start + size].logits()
        token_logits = logits.gather(1, token[start : start + size, None])[:, 0]
        scores.append((token_logits - logits.logsumexp(-1)).cpu().numpy())
    return np.split(np.concatenate(scores), np.cumsum([len(response) for response in responses])[:-1])


def batches_by_length(lengths: np.ndarray, columns: int) -> Iterator[np.ndarray]:
    """Groups rows of similar length into batches, longest first.

    There is little padding, and if memory does not suffice, the first batch fails.

    Args:
        lengths: Number of tokens of each row, int `[rows]`.
        columns: Number of tokens in a batch, padding included. A longer row is a batch of its own.

    Yields:
        Row indices of a batch, int64 `[n]`.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, columns // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size
