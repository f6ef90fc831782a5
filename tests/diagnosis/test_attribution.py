"""Feature ablation compared with plain forward passes, and summaries worked out by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from llmrec.backbones.backbone import Backbone
from llmrec.diagnosis import attribution as module
from llmrec.diagnosis.attribution import (
    AUXILIARY,
    GENERATED_PREFIX,
    HISTORY,
    PASSES,
    SEGMENTS,
    TASK_TEXT,
    Ablation,
    ablate,
    attribution_figures,
    attributions,
    by_position,
    loss_by_relevance,
    most_relevant_share,
)
from llmrec.diagnosis.plot import POSITION_LABELS, attribution_plot
from llmrec.examples.next_item import NextItemData
from llmrec.prompts.next_item import PromptTokenizer
from tests.catalogue.vocabularies import characters, spell
from tests.invariants.world import CONFIG, ROWS, TITLES, random_backbone, small_dataset, small_tokenizer
from tests.prompts.shipped import prompt, render

WORDING = CONFIG.dataset.wording
ITEMS = small_dataset().items
BY_HAND = {
    TASK_TEXT: [np.array([1.0, 2.0]), np.array([-4.0, 1.0, 1.0])],
    GENERATED_PREFIX: [np.array([0.0, -1.0]), np.array([0.0, 2.0, 3.0])],
    HISTORY: [np.array([0.5, -2.0]), np.array([1.0, 1.0, 1.0])],
}
"""|Sums|: task text 3 and 2, generated prefix 1 and 5, history 1.5 and 3; the auxiliary part 4 and 7."""
TOKENS = {TASK_TEXT: np.array([10, 10]), GENERATED_PREFIX: np.array([1, 2]), HISTORY: np.array([3, 12])}


@pytest.fixture
def ablation(tmp_path: Path) -> Ablation:
    """The eight rows of the small world."""
    return ablate(NextItemData(small_dataset(), random_backbone(), CONFIG, tmp_path), ROWS)


@pytest.mark.parametrize("plain", [False, True])
def test_attribution_is_the_difference_of_two_plain_passes(
    plain: bool, ablation: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 3)
    backbone = random_backbone()
    backbone.uses_plain_path = plain
    found, log_probability = attributions(backbone, ablation)
    for row in range(len(ROWS)):
        titles = [TITLES[item] for item in ROWS.history_of(row)]
        target = f'"{TITLES[ROWS.target[row]]}"'
        whole = one_by_one(backbone, render(WORDING, titles), target)
        listed = ", ".join(f'"{title}"' for title in titles) + "\n"
        expected = {
            TASK_TEXT: whole - one_by_one(backbone, listed, target),
            GENERATED_PREFIX: whole - one_by_one(backbone, render(WORDING, titles), target, prefix=False),
            HISTORY: whole - one_by_one(backbone, render(WORDING, []), target),
        }
        np.testing.assert_allclose(log_probability[row], whole, atol=2e-5)
        for segment in SEGMENTS:
            np.testing.assert_allclose(found[segment][row], expected[segment], atol=2e-5, err_msg=segment)


def test_first_token_has_no_prefix_to_lean_on(ablation: Ablation) -> None:
    found = attributions(random_backbone(), ablation)[0][GENERATED_PREFIX]
    assert [row[0] for row in found] == pytest.approx([0] * len(found), abs=1e-5)
    assert max(abs(row[1:]).max() for row in found) > 0.01


def test_model_that_ignores_its_input_leans_on_nothing(ablation: Ablation) -> None:
    backbone = random_backbone()
    embedding = backbone.causal_lm.get_input_embeddings().weight
    with torch.no_grad():
        # All input embeddings are equal, while the output still prefers some tokens.
        embedding.copy_(embedding[0].expand_as(embedding))
    for rows in attributions(backbone, ablation)[0].values():
        assert max(abs(row).max() for row in rows) == pytest.approx(0, abs=1e-5)


def test_attributions_tell_their_progress_and_leave_the_mode_as_it_was(ablation: Ablation) -> None:
    backbone, reported = random_backbone(), []
    backbone.train()
    attributions(backbone, ablation, reported.append)
    assert sum(reported) == PASSES * len(ROWS)
    assert backbone.training


def test_segments_have_the_tokens_that_the_prompts_hold(ablation: Ablation) -> None:
    tokenizer, tokens = small_tokenizer(), ablation.segment_tokens()
    empty = len(tokenizer(render(WORDING, []))["input_ids"])
    assert tokens[TASK_TEXT].tolist() == [empty] * len(ROWS)
    assert tokens[HISTORY][1] == len(tokenizer(render(WORDING, ["Braid", "Celeste"]))["input_ids"]) - empty
    # Without EOS, the last: it is what a prefix as long as the quoted title leads to.
    assert tokens[GENERATED_PREFIX][1] == len(title_tokens(tokenizer, '"Doom"'))


@pytest.mark.parametrize("end", [False, True])
def test_titles_stand_alone_as_far_as_the_prompt_keeps_them(end: bool, tmp_path: Path) -> None:
    tokenizer = characters(begin=True, end=end)
    limit = 1 + len(render(WORDING, ["BB", "CC"]))
    prompts = PromptTokenizer(prompt(tokenizer, wording=WORDING), ITEMS, limit, 0, tmp_path)
    alone = prompts.titles_alone([["AA", "BB", "CC"], ["DD"], []])
    assert prompts.histories([["AA", "BB", "CC"]]).truncated == 1
    texts = ["".join(spell(tokenizer, alone.of(row))) for row in range(3)]
    assert texts == ['<s>"BB", "CC"\n', '<s>"DD"\n', "<s>\n"]


def test_line_break_that_belongs_to_the_title_is_left_to_it(tmp_path: Path) -> None:
    tokenizer = characters(merges=[("\n", '"')])
    alone = PromptTokenizer(prompt(tokenizer, wording=WORDING), ITEMS, 1000, 1, tmp_path).titles_alone([["A"]])
    assert "".join(spell(tokenizer, alone.of(0))) == '"A"'


def test_sums_are_means_of_what_each_row_comes_to_without_its_sign() -> None:
    figures = attribution_figures(BY_HAND, TOKENS)
    assert figures["sum"] == {TASK_TEXT: 2.5, GENERATED_PREFIX: 3.0, HISTORY: 2.25, AUXILIARY: 5.5}
    assert figures["ratio"]["sum"] == pytest.approx(5.5 / 2.25)


def test_per_token_means_divide_each_row_by_its_own_tokens() -> None:
    figures = attribution_figures(BY_HAND, TOKENS)
    expected = {
        TASK_TEXT: (3 / 10 + 2 / 10) / 2,
        GENERATED_PREFIX: (1 / 1 + 5 / 2) / 2,
        HISTORY: (1.5 / 3 + 3 / 12) / 2,
        AUXILIARY: (4 / 11 + 7 / 12) / 2,
    }
    assert figures["per_token"] == pytest.approx(expected)
    assert figures["ratio"]["per_token"] == pytest.approx(expected[AUXILIARY] / expected[HISTORY])
    assert figures["tokens"] == {TASK_TEXT: 10, GENERATED_PREFIX: 1.5, HISTORY: 7.5, AUXILIARY: 11.5}


def test_row_without_history_counts_in_sums_only() -> None:
    figures = attribution_figures(BY_HAND, TOKENS | {HISTORY: np.array([0, 12])})
    assert figures["rows_with_tokens"] == {TASK_TEXT: 2, GENERATED_PREFIX: 2, HISTORY: 1, AUXILIARY: 2}
    assert figures["per_token"][HISTORY] == pytest.approx(3 / 12)
    assert figures["sum"][HISTORY] == 2.25


def test_ratio_to_a_history_that_gives_nothing_is_left_open() -> None:
    silent = BY_HAND | {HISTORY: [np.zeros(2), np.zeros(3)]}
    no_history = attribution_figures(silent, TOKENS | {HISTORY: np.array([0, 0])})
    assert no_history["sum"][HISTORY] == 0
    assert no_history["per_token"][HISTORY] is None
    assert no_history["ratio"] == {"sum": None, "per_token": None}
    json.dumps(no_history, allow_nan=False)


def test_positions_are_apart_up_to_nine_and_one_from_ten_on() -> None:
    long, short = np.arange(13.0), np.array([2.0, 4.0])
    figures = by_position({segment: [long, short] for segment in SEGMENTS})
    assert figures["mean"][HISTORY] == [1, 2.5, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    assert figures["tokens"] == [2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 3]
    assert figures["rows"] == [2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]


def test_positions_that_no_title_reaches_have_no_mean() -> None:
    assert by_position(BY_HAND)["mean"][TASK_TEXT] == [-1.5, 1.5, 1, *[None] * 8]


def test_losses_stand_by_the_relevance_of_their_tokens() -> None:
    # Twenty tokens of relevance 0.01, ..., 0.20, two a group; the last two are equal to six digits and share a group.
    relevance = np.log(np.arange(1, 21) / 100)
    relevance[18] = np.log(0.2 + 1e-9)
    loss = np.arange(20.0)
    found = loss_by_relevance([-loss[:7], -loss[7:]], [relevance[:7], relevance[7:]])
    assert found["loss"] == [0.5, 2.5, 4.5, 6.5, 8.5, 10.5, 12.5, 14.5, 16.5, 18.5]
    assert found["tokens"] == [2] * 10
    assert found["mean_relevance"] == pytest.approx([*np.arange(0.015, 0.17, 0.02), 0.175, 0.2])


def test_a_group_of_relevance_that_ties_leave_empty_has_no_loss() -> None:
    found = loss_by_relevance([np.array([-1.0, -3.0])], [np.log([0.5, 0.5])])
    assert sorted(found["tokens"]) == [0] * 9 + [2]
    assert [value for value in found["loss"] if value is not None] == [2.0]


def test_share_of_the_most_relevant_counts_given_slots() -> None:
    # Of six titles the highest and a fifth of the next are the 20 %: one recommendation of the first, two of the other.
    relevance = np.array([-9.0, -1.0, -5.0, -2.0, -8.0, -7.0])
    recommended = np.array([[1, 0, 3], [3, 4, -1]])
    assert most_relevant_share(recommended, relevance) == {"share": pytest.approx((1 + 2 / 5) / 5), "slots": 5}
    assert most_relevant_share(np.full((2, 3), -1), relevance) == {"share": None, "slots": 0}


def test_plot_draws_each_segment_by_position_and_a_gap_where_there_is_nothing() -> None:
    figures = attribution_figures(BY_HAND, TOKENS)
    plot = attribution_plot("games-sim, sft", {"before": figures, "after": figures})
    assert plot.get_suptitle() == "games-sim, sft"
    assert [axis.get_title() for axis in plot.axes] == ["before", "after"]
    for axis in plot.axes:
        assert axis.get_xlabel()
        assert [label.get_text() for label in axis.get_xticklabels()] == POSITION_LABELS
        lines = {line.get_label(): list(line.get_ydata()) for line in axis.get_lines() if line.get_label() in SEGMENTS}
        assert set(lines) == set(SEGMENTS)
        assert lines[TASK_TEXT][:3] == [-1.5, 1.5, 1]
        assert all(math.isnan(value) for value in lines[TASK_TEXT][3:])


def one_by_one(backbone: Backbone, prompt: str, title: str, prefix: bool = True) -> np.ndarray:
    """Returns log-probabilities of a title's tokens by the model's own forward pass over one sequence, float [length].

    With prefix=False, all are predicted from the last token of the prompt.
    """
    tokenizer = small_tokenizer()
    before, tokens = tokenizer(prompt)["input_ids"], title_tokens(tokenizer, title)
    tokens = [*tokens, tokenizer.eos_token_id]
    with torch.inference_mode():
        logits = backbone.model(torch.tensor([[*before, *tokens]])).logits[0].log_softmax(-1)
    columns = len(before) - 1 + (np.arange(len(tokens)) if prefix else np.zeros(len(tokens), dtype=int))
    return logits[columns, tokens].numpy()


def title_tokens(tokenizer: PreTrainedTokenizerFast, title: str) -> list[int]:
    """Returns a quoted title's tokens without EOS."""
    return tokenizer(title, add_special_tokens=False)["input_ids"]
