"""How likely given responses are after given prompts: their tokens' log-probabilities, without gradients."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack, predictor_columns

COLUMNS = {"cpu": 12_288, "cuda": 65_536}
"""Tokens of a batch, prompts and padding included. On a CPU more of them leave the processor's caches."""
LOGITS = 1 << 26
"""Logits held at once, 256 MiB in float32."""


def log_probabilities(
    backbone: Backbone,
    prompts: Sequence[np.ndarray],
    responses: Sequence[np.ndarray],
    shared: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[np.ndarray]:
    """log P(y_t | prompt, y_<t) over the whole vocabulary of each response's tokens: float32 [length] each.

    prompts, responses: int [length] each, pairs, not empty; shared: how many tokens all prompts begin with, short of
    the last of the shortest; progress is told the responses of each finished batch. Dropout is off.
    """
    training = backbone.training
    backbone.eval()
    scored: list[np.ndarray] = [np.zeros(0, dtype=np.float32)] * len(responses)
    lengths = np.array([len(p) + len(r) for p, r in zip(prompts, responses, strict=True)], dtype=np.int64)
    with torch.inference_mode():
        for rows in batches_by_length(lengths, COLUMNS[backbone.device.type]):
            found = _score(backbone, [prompts[row] for row in rows], [responses[row] for row in rows], shared)
            for row, values in zip(rows, found, strict=True):
                scored[row] = values
            progress(len(rows))
    backbone.train(training)
    return scored


def _score(
    backbone: Backbone, prompts: Sequence[np.ndarray], responses: Sequence[np.ndarray], shared: int
) -> list[np.ndarray]:
    packed, starts = pack(prompts, [[response[:-1]] for response in responses], shared)
    at = [
        predictor_columns(start[0], np.arange(len(response))) for start, response in zip(starts, responses, strict=True)
    ]
    token = torch.from_numpy(np.concatenate(responses).astype(np.int64)).to(backbone.device)
    encoded = backbone.encode(packed.to(backbone.device), torch.from_numpy(np.concatenate(at)).to(backbone.device))
    found = []
    size = max(1, LOGITS // backbone.causal_lm.config.get_text_config().vocab_size)
    for start in range(0, len(token), size):
        logits = encoded[start : start + size].logits()
        own = logits.gather(1, token[start : start + size, None])[:, 0]
        found.append((own - logits.logsumexp(-1)).cpu().numpy())
    return np.split(np.concatenate(found), np.cumsum([len(response) for response in responses])[:-1])


def batches_by_length(lengths: np.ndarray, columns: int) -> Iterator[np.ndarray]:
    """Rows of similar length, longest first: what does not fit fails at once, and padding is small."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, columns // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size
