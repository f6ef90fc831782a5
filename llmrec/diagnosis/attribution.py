"""Context bias: attribution of a title's log-probability to the task text, the title's own prefix and the history.

The method is feature ablation: the attribution of a segment is the decrease of the log-probability when the segment is
removed. That the published diagnosis is feature ablation is from a secondary source on arXiv 2510.10978; segments,
removals and averages are our reading.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack
from llmrec.backbones.scoring import log_probabilities
from llmrec.datasets.dataset import Rows
from llmrec.evaluation.fairness import exposure_counts, top20
from llmrec.examples.next_item import NextItemData
from llmrec.objectives.groups import equal_frequency
from llmrec.prompts.prompts import Prompts

TASK_TEXT, GENERATED_PREFIX, HISTORY = SEGMENTS = ("task text", "generated prefix", "history")
AUXILIARY = "auxiliary"
"""Task text and generated prefix together: everything that the model reads except the history."""
POSITIONS = 10
"""Number of title positions that are reported separately; later ones are pooled."""
GROUPS = 10
"""Number of relevance groups whose losses are reported."""
PASSES = 4
"""Forward passes of `attributions` over the rows: one with all segments, and one without each of them."""
BATCH_ROWS = 16
"""Rows per batch of `without_prefix`, which holds the logits of the whole vocabulary for each row."""


@dataclass(frozen=True)
class Ablation:
    """Inputs for feature ablation: prompts with and without segments, and the titles that follow them.

    Source of the removals: our reading.

    Attributes:
        prompts: The full prompt of each row.
        titles_alone: The prompt of each row without the task text.
        history_free: The prompt without a history, the same for all rows, int32 [length].
        titles: The tokens of each row's title, EOS included, int32 [length] each.
    """

    prompts: Prompts
    titles_alone: Prompts
    history_free: np.ndarray
    titles: list[np.ndarray]

    def segment_tokens(self) -> dict[str, np.ndarray]:
        """Returns the number of tokens of each segment, int64 [rows].

        All tokens of a title but the last are prefix of a later one.
        """
        task_text = np.full(len(self.prompts), len(self.history_free))
        generated = np.array([len(title) - 1 for title in self.titles])
        return {TASK_TEXT: task_text, GENERATED_PREFIX: generated, HISTORY: self.prompts.lengths - task_text}


def ablate(data: NextItemData, rows: Rows) -> Ablation:
    """Builds the inputs for feature ablation of the targets of some rows."""
    items, tokenizer = data.dataset.items, data.prompt_tokenizer
    histories = [[items.titles[item] for item in rows.history_of(row)] for row in range(len(rows))]
    titles = [data.titles.of(title) for title in data.target_titles(rows)]
    full, alone = tokenizer.histories(histories), tokenizer.titles_alone(histories)
    return Ablation(full, alone, tokenizer.without_history(), titles)


def attributions(
    backbone: Backbone, ablation: Ablation, progress: Callable[[int], None] = lambda done: None
) -> tuple[dict[str, list[np.ndarray]], list[np.ndarray]]:
    """Computes the attribution of each title token to each segment.

    It is log P(y_t | x, y_<t) minus the same without the segment, over the whole vocabulary, in nats. Source: our
    reading.

    Args:
        backbone: The model.
        ablation: The inputs.
        progress: Called with the number of rows after each batch; in all, each row is reported `PASSES` times.

    Returns:
        The attributions by segment, float64 [length] for each row, and log P(y_t | x, y_<t) itself, float32 [length]
        for each row.
    """
    titles, shared = ablation.titles, len(ablation.prompts.shared_prefix())
    prompts, alone = _as_list(ablation.prompts), _as_list(ablation.titles_alone)
    history_free = [ablation.history_free] * len(titles)
    full = log_probabilities(backbone, prompts, titles, shared, progress)
    without = {
        TASK_TEXT: log_probabilities(backbone, alone, titles, len(ablation.titles_alone.shared_prefix()), progress),
        GENERATED_PREFIX: without_prefix(backbone, prompts, titles, shared, progress),
        HISTORY: log_probabilities(backbone, history_free, titles, len(ablation.history_free) - 1, progress),
    }
    decrease = {
        segment: [a.astype(np.float64) - b for a, b in zip(full, without[segment], strict=True)] for segment in SEGMENTS
    }
    return decrease, full


def without_prefix(
    backbone: Backbone,
    prompts: Sequence[np.ndarray],
    titles: Sequence[np.ndarray],
    shared: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[np.ndarray]:
    """Computes log P(y_t | prompt) of each title's tokens, all from the state at the end of the prompt.

    Dropout is off.

    Args:
        backbone: The model.
        prompts: The prompt of each row, int [length] each.
        titles: The title of each row, int [length] each.
        shared: Number of tokens that all prompts begin with, less than the length of the shortest.
        progress: Called with the number of rows after each batch.

    Returns:
        float32 [length] for each row.
    """
    training = backbone.training
    backbone.eval()
    scored = []
    with torch.inference_mode():
        for start in range(0, len(prompts), BATCH_ROWS):
            batch = prompts[start : start + BATCH_ROWS]
            log_probability = _next_token_log_probabilities(backbone, batch, shared)
            for row, title in enumerate(titles[start : start + BATCH_ROWS]):
                scored.append(log_probability[row, torch.from_numpy(title).long()].cpu().numpy())
            progress(len(batch))
    backbone.train(training)
    return scored


def attribution_figures(attribution: dict[str, list[np.ndarray]], tokens: dict[str, np.ndarray]) -> dict[str, Any]:
    """Summarizes attributions by segment and compares the auxiliary segments with the history.

    Source: our reading.

    Args:
        attribution: The attributions, as from `attributions`.
        tokens: The number of tokens of each segment, as from `Ablation.segment_tokens`.

    Returns:
        sum: Mean over rows of |sum over the title's tokens|, by segment. For "auxiliary", the values of task text and
            generated prefix are added, so that they cannot cancel.
        per_token: Mean of the same divided by the segment's number of tokens, over rows where this is above 0.
        tokens: Mean number of tokens over rows, by segment.
        rows_with_tokens: Number of rows that per_token averages over, by segment.
        ratio: Auxiliary divided by history, for sum and per_token; None if history is 0.
        by_position: See `by_position`.
        Means over nothing are None.
    """
    total = {segment: np.array([abs(row.sum()) for row in rows]) for segment, rows in attribution.items()}
    total[AUXILIARY] = total[TASK_TEXT] + total[GENERATED_PREFIX]
    tokens = tokens | {AUXILIARY: tokens[TASK_TEXT] + tokens[GENERATED_PREFIX]}
    has_tokens = {segment: count > 0 for segment, count in tokens.items()}
    sums = {segment: _mean(total[segment]) for segment in total}
    per_token = {s: _mean(total[s][has_tokens[s]] / tokens[s][has_tokens[s]]) for s in total}
    return {
        "sum": sums,
        "per_token": per_token,
        "tokens": {segment: _mean(count) for segment, count in tokens.items()},
        "rows_with_tokens": {segment: int(mask.sum()) for segment, mask in has_tokens.items()},
        "ratio": {"sum": _ratio(sums), "per_token": _ratio(per_token)},
        "by_position": by_position(attribution),
    }


def by_position(attribution: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """Averages attributions by title position: 0 to 9 separately, and all from 10 on together.

    Args:
        attribution: As from `attributions`.

    Returns:
        mean: Mean over tokens, by segment; None for positions without tokens.
        tokens: Number of tokens.
        rows: Number of rows that they belong to.
        All are lists of eleven.
    """
    lengths = [len(row) for row in attribution[HISTORY]]
    position = np.concatenate([np.minimum(np.arange(length), POSITIONS) for length in lengths])
    values = {segment: np.concatenate(rows) for segment, rows in attribution.items()}
    masks = [position == number for number in range(POSITIONS + 1)]
    return {
        "mean": {segment: [_mean(value[mask]) for mask in masks] for segment, value in values.items()},
        "tokens": [int(mask.sum()) for mask in masks],
        "rows": [sum(length > number for length in lengths) for number in range(POSITIONS + 1)],
    }


def loss_by_relevance(log_probability: list[np.ndarray], relevance: list[np.ndarray]) -> dict[str, list[Any]]:
    """Computes the mean loss of title tokens in ten equal-frequency groups of relevance, lowest first.

    Source: the grouping is from arXiv 2510.10978; the rest is our reading.

    Args:
        log_probability: log P(y_t | x, y_<t), float [length] for each row.
        relevance: log P(y_t | history-free prompt, y_<t) before tuning, float [length] for each row.

    Returns:
        loss: Mean of -log P(y_t | x, y_<t) in nats; None for groups that ties leave empty.
        tokens: Number of tokens.
        mean_relevance: Mean of the probabilities whose logarithms are `relevance`.
        All are lists of ten.
    """
    loss = -np.concatenate(log_probability).astype(np.float64)
    # The same token scored in two batches differs in the last digits. Rounding restores the tie, so that they share a
    # group.
    probability = np.exp(np.concatenate(relevance).astype(np.float64)).round(6)
    group = equal_frequency(probability, np.ones(len(probability)), GROUPS)
    masks = [group == number for number in range(GROUPS)]
    return {
        "loss": [_mean(loss[mask]) for mask in masks],
        "tokens": [int(mask.sum()) for mask in masks],
        "mean_relevance": [_mean(probability[mask]) for mask in masks],
    }


def most_relevant_share(recommended: np.ndarray, relevance: np.ndarray) -> dict[str, Any]:
    """Computes the share of recommendations that are among the 20 % of titles most relevant to the auxiliary text.

    Source: arXiv 2510.10978, by a secondary source.

    Args:
        recommended: Distinct titles, int32 [rows, K]; -1 = no more.
        relevance: float [distinct titles].

    Returns:
        share: The share, None if nothing is recommended.
        slots: Number of recommendations.
    """
    exposure = exposure_counts(recommended, len(relevance))
    total = int(exposure.sum())
    return {"share": float(exposure @ top20(relevance)) / total if total else None, "slots": total}


def _next_token_log_probabilities(backbone: Backbone, prompts: Sequence[np.ndarray], shared: int) -> torch.Tensor:
    """Returns log-probabilities of the token that follows each prompt, float32 [prompts, vocabulary]."""
    packed, _ = pack(prompts, [[]] * len(prompts), shared)
    columns = packed.tokens.shape[1]
    state_index = torch.tensor(
        [row * columns + len(prompt) - 1 for row, prompt in enumerate(prompts)], device=backbone.device
    )
    return backbone.encode(packed.to(backbone.device), state_index).logits().log_softmax(-1)


def _as_list(prompts: Prompts) -> list[np.ndarray]:
    return [prompts.of(row) for row in range(len(prompts))]


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _ratio(means: dict[str, float | None]) -> float | None:
    auxiliary, history = means[AUXILIARY], means[HISTORY]
    return auxiliary / history if auxiliary is not None and history else None
