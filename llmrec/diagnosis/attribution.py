"""Context bias: how far a title's log-probability hangs on the task text, on its own prefix and on the history.

Feature ablation: what a segment is worth is what the log-probability loses without it. That the published diagnosis is
feature ablation is from a secondary source (on arXiv 2510.10978); segments, removals and averages are our reading.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack
from llmrec.backbones.scoring import log_probabilities
from llmrec.datasets.data_module import NextItemData
from llmrec.datasets.dataset import Rows
from llmrec.datasets.prompts import Prompts
from llmrec.evaluation.fairness import slot_counts, top20
from llmrec.objectives.groups import equal_frequency

TASK_TEXT, GENERATED_PREFIX, HISTORY = SEGMENTS = ("task text", "generated prefix", "history")
AUXILIARY = "auxiliary"
"""Task text and generated prefix: all that the model reads beside the history."""
POSITIONS = 10
"""Title positions told apart; those behind them are pooled."""
GROUPS = 10
"""Groups of relevance whose losses are told apart."""
PASSES = 4
"""How often `attributions` goes through the rows: with everything, and without each segment."""
BATCH = 16
"""Rows whose logits, one vocabulary each, are held at once."""


@dataclass(frozen=True)
class Ablation:
    """Rows to attribute: their prompts, what is left of these without a segment, and the titles that follow.

    prompts, titles_alone (without the task text): one a row; history_free: int32 [length], one for all rows; titles:
    int32 [length] each, EOS included. Source of the removals: our reading.
    """

    prompts: Prompts
    titles_alone: Prompts
    history_free: np.ndarray
    titles: list[np.ndarray]

    def segment_tokens(self) -> dict[str, np.ndarray]:
        """How many tokens each segment has, int64 [rows]: of a title, those before its last are a prefix."""
        task_text = np.full(len(self.prompts), len(self.history_free))
        generated = np.array([len(title) - 1 for title in self.titles])
        return {TASK_TEXT: task_text, GENERATED_PREFIX: generated, HISTORY: self.prompts.lengths - task_text}


def ablate(data: NextItemData, rows: Rows) -> Ablation:
    """The ablation of some rows of the dataset, whose titles are the targets."""
    items, tokenizer = data.dataset.items, data.prompt_tokenizer
    histories = [[items.titles[item] for item in rows.history_of(row)] for row in range(len(rows))]
    titles = [data.titles.of(title) for title in data.target_titles(rows)]
    full, alone = tokenizer.histories(histories), tokenizer.titles_alone(histories)
    return Ablation(full, alone, tokenizer.histories([[]]).of(0), titles)


def attributions(
    backbone: Backbone, ablation: Ablation, progress: Callable[[int], None] = lambda done: None
) -> tuple[dict[str, list[np.ndarray]], list[np.ndarray]]:
    """log P(y_t | x, y_<t) less the same without a segment, over the whole vocabulary, in nats: float64 [length] a row.

    By segment; beside them log P(y_t | x, y_<t) itself, float32 [length] a row. progress is told the rows of each
    finished batch, `PASSES` times each row in all. Source: our reading.
    """
    titles, shared = ablation.titles, len(ablation.prompts.shared_prefix())
    prompts, alone = _separate(ablation.prompts), _separate(ablation.titles_alone)
    history_free = [ablation.history_free] * len(titles)
    whole = log_probabilities(backbone, prompts, titles, shared, progress)
    without = {
        TASK_TEXT: log_probabilities(backbone, alone, titles, len(ablation.titles_alone.shared_prefix()), progress),
        GENERATED_PREFIX: without_prefix(backbone, prompts, titles, shared, progress),
        HISTORY: log_probabilities(backbone, history_free, titles, len(ablation.history_free) - 1, progress),
    }
    lost = {
        segment: [a.astype(np.float64) - b for a, b in zip(whole, without[segment], strict=True)]
        for segment in SEGMENTS
    }
    return lost, whole


def without_prefix(
    backbone: Backbone,
    prompts: Sequence[np.ndarray],
    titles: Sequence[np.ndarray],
    shared: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[np.ndarray]:
    """log P(y_t | prompt) of each title's tokens, all from the state at the prompt's end: float32 [length] each.

    prompts, titles: int [length] each, pairs; shared: how many tokens all prompts begin with, short of the last of the
    shortest. Dropout is off.
    """
    training = backbone.training
    backbone.eval()
    scored = []
    with torch.inference_mode():
        for start in range(0, len(prompts), BATCH):
            batch = prompts[start : start + BATCH]
            log_probability = _at_the_end(backbone, batch, shared)
            for row, title in enumerate(titles[start : start + BATCH]):
                scored.append(log_probability[row, torch.from_numpy(title).long()].cpu().numpy())
            progress(len(batch))
    backbone.train(training)
    return scored


def attribution_figures(attribution: dict[str, list[np.ndarray]], tokens: dict[str, np.ndarray]) -> dict[str, Any]:
    """What attributions come to, by segment, and how the auxiliary part compares with the history.

    attribution: as from `attributions`; tokens: as from `Ablation.segment_tokens`.
    sum: mean over rows of |sum over the title's tokens|; per_token: the same of |sum| / tokens of the segment, over the
    rows where it has any; the auxiliary part's |sum| is that of task text and of generated prefix together, so
    that they cannot cancel. tokens: mean over rows; rows_with_tokens: how many count per token. ratio: auxiliary by
    history, None where that is 0. by_position: see `by_position`. None is a mean over nothing. Source: our reading.
    """
    total = {segment: np.array([abs(row.sum()) for row in rows]) for segment, rows in attribution.items()}
    total[AUXILIARY] = total[TASK_TEXT] + total[GENERATED_PREFIX]
    tokens = tokens | {AUXILIARY: tokens[TASK_TEXT] + tokens[GENERATED_PREFIX]}
    filled = {segment: count > 0 for segment, count in tokens.items()}
    sums = {segment: _mean(total[segment]) for segment in total}
    per_token = {s: _mean(total[s][filled[s]] / tokens[s][filled[s]]) for s in total}
    return {
        "sum": sums,
        "per_token": per_token,
        "tokens": {segment: _mean(count) for segment, count in tokens.items()},
        "rows_with_tokens": {segment: int(some.sum()) for segment, some in filled.items()},
        "ratio": {"sum": _ratio(sums), "per_token": _ratio(per_token)},
        "by_position": by_position(attribution),
    }


def by_position(attribution: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """Attribution at title positions 0 to 9 and, pooled, from 10 on: lists of eleven.

    attribution: as from `attributions`. mean: by segment, over tokens, None where there are none; tokens: how many;
    rows: of how many rows they are.
    """
    lengths = [len(row) for row in attribution[HISTORY]]
    position = np.concatenate([np.minimum(np.arange(length), POSITIONS) for length in lengths])
    values = {segment: np.concatenate(rows) for segment, rows in attribution.items()}
    at = [position == place for place in range(POSITIONS + 1)]
    return {
        "mean": {segment: [_mean(value[here]) for here in at] for segment, value in values.items()},
        "tokens": [int(here.sum()) for here in at],
        "rows": [sum(length > place for length in lengths) for place in range(POSITIONS + 1)],
    }


def loss_by_relevance(log_probability: list[np.ndarray], relevance: list[np.ndarray]) -> dict[str, list[Any]]:
    """Mean -log P(y_t | x, y_<t), nats, of the title tokens in ten equal-frequency groups of relevance, lowest first.

    log_probability: float [length] a row; relevance: the same of log P(y_t | history-free prompt, y_<t) before tuning.
    loss: None of a group that ties leave empty; tokens: how many; mean_relevance: of their probabilities. Source: the
    grouping, arXiv 2510.10978; the rest our reading.
    """
    loss = -np.concatenate(log_probability).astype(np.float64)
    # The same token scored in two batches differs in the last digits, and equal relevances are one group's.
    probability = np.exp(np.concatenate(relevance).astype(np.float64)).round(6)
    group = equal_frequency(probability, np.ones(len(probability)), GROUPS)
    inside = [group == number for number in range(GROUPS)]
    return {
        "loss": [_mean(loss[here]) for here in inside],
        "tokens": [int(here.sum()) for here in inside],
        "mean_relevance": [_mean(probability[here]) for here in inside],
    }


def most_relevant_share(recommended: np.ndarray, relevance: np.ndarray) -> dict[str, Any]:
    """How much of the recommendations goes to the 20 % of titles that are most relevant to the auxiliary text.

    recommended: int32 [rows, K] distinct titles, -1 = no more; relevance: float [distinct titles]. share: of the given
    slots, None where there are none; slots: how many were given. Source: arXiv 2510.10978 by a secondary source.
    """
    slots = slot_counts(recommended, len(relevance))
    given = int(slots.sum())
    return {"share": float(slots @ top20(relevance)) / given if given else None, "slots": given}


def _at_the_end(backbone: Backbone, prompts: Sequence[np.ndarray], shared: int) -> torch.Tensor:
    """Log-probabilities of the token behind each prompt: float32 [prompts, vocabulary]."""
    packed, _ = pack(prompts, [[]] * len(prompts), shared)
    columns = packed.tokens.shape[1]
    at = torch.tensor([row * columns + len(prompt) - 1 for row, prompt in enumerate(prompts)], device=backbone.device)
    return backbone.encode(packed.to(backbone.device), at).logits().log_softmax(-1)


def _separate(prompts: Prompts) -> list[np.ndarray]:
    return [prompts.of(row) for row in range(len(prompts))]


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _ratio(means: dict[str, float | None]) -> float | None:
    auxiliary, history = means[AUXILIARY], means[HISTORY]
    return auxiliary / history if auxiliary is not None and history else None
