"""Hugging Face's generate with the constraint gives catalogue titles only, those of its own prefix constraint."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import build_trie
from llmrec.decoding.beam_search import BeamSearch
from llmrec.errors import InputError
from llmrec.hf import TitleConstraint
from tests.decoding.small import EOS, QUOTE, found, random_backbone, random_prompts, random_titles

PROMPTS = torch.tensor([[4, 5, 6, 7], [9, 9, 3, 8], [2, 11, 5, 30]])


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    generator: LlamaForCausalLM = random_backbone(seed=3).model
    return generator


def generated(model: LlamaForCausalLM, constraint: TitleConstraint, **settings: object) -> list[tuple[int, ...]]:
    """Returns the generated tokens of every row, up to EOS."""
    rows = model.generate(
        PROMPTS, attention_mask=torch.ones_like(PROMPTS), logits_processor=[constraint.after(4)], max_new_tokens=14,
        **settings,
    )[:, 4:].tolist()  # fmt: skip
    return [tuple(row[: row.index(EOS) + 1]) for row in rows]


@pytest.mark.parametrize(
    "settings",
    [{"do_sample": False}, {"do_sample": True}, {"do_sample": False, "num_beams": 5, "num_return_sequences": 5}],
)
def test_every_generated_text_is_a_title(model: LlamaForCausalLM, settings: dict[str, object]) -> None:
    torch.manual_seed(0)
    titles = random_titles(60, seed=1, quote=QUOTE)
    known = {tuple(titles.of(title).tolist()) for title in range(len(titles))}
    rows = generated(model, TitleConstraint(build_trie(titles)[0], EOS), **settings)
    assert len(rows) == 3 * int(settings.get("num_return_sequences", 1))  # type: ignore[call-overload]
    assert set(rows) <= known


def test_beam_search_gives_the_titles_of_llmrecs_vocab_scores(model: LlamaForCausalLM) -> None:
    titles = random_titles(60, seed=1, quote=QUOTE)
    trie = build_trie(titles)[0]
    rows = generated(
        model, TitleConstraint(trie, EOS), do_sample=False, num_beams=5, num_return_sequences=5, length_penalty=0.0,
        early_stopping=False,
    )  # fmt: skip
    prompts = [np.array(prompt) for prompt in PROMPTS.tolist()]
    ours = found(random_backbone(seed=3), trie, prompts, BeamSearch(5, "vocab"))
    assert rows == [tuple(titles.of(title).tolist()) for row, _ in ours for title in row]


def test_the_allowed_tokens_are_those_of_the_titles_with_the_same_beginning() -> None:
    titles = TitleTokens(np.array([5, 6, EOS, 5, 7, EOS, 8, EOS], dtype=np.int32), np.array([0, 3, 6, 8]))
    constraint = TitleConstraint(build_trie(titles)[0], EOS).after(1)
    allowed = {(): [5, 8], (5,): [6, 7], (5, 6): [EOS], (8, EOS): [EOS], (6,): [EOS]}
    for tokens, expected in allowed.items():
        scores = constraint(torch.tensor([[9, *tokens]]), torch.arange(10.0)[None])
        assert torch.isfinite(scores[0]).nonzero()[:, 0].tolist() == expected
        assert scores[0, expected].tolist() == expected


def test_titles_are_tokenized_with_the_given_tokenizer() -> None:
    words = {word: number for number, word in enumerate(["</s>", "red", "blue", "kettle"])}
    backend = Tokenizer(WordLevel(words, unk_token="</s>"))
    backend.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    constraint = TitleConstraint.from_titles(["red kettle", "blue kettle", "red kettle"], tokenizer).after(0)
    assert constraint.trie.leaf_length.tolist() == [3, 3]
    scores = constraint(torch.tensor([[1]]), torch.zeros(1, 4))
    assert torch.isfinite(scores[0]).tolist() == [False, False, False, True]


def test_no_titles_are_refused() -> None:
    with pytest.raises(InputError, match="at least one title"):
        TitleConstraint.from_titles([], tokenizer=None)  # type: ignore[arg-type]


def test_prompts_of_other_lengths_share_the_trie() -> None:
    constraint = TitleConstraint(build_trie(random_titles(9, seed=0, quote=None))[0], EOS)
    assert constraint.after(len(random_prompts()[0])).trie is constraint.trie
