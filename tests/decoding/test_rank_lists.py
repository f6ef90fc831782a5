"""Ranking candidate lists against plain forward passes, and parsing rankings from free text."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.permutations import Permutations
from llmrec.decoding import rank, rank_lists
from llmrec.decoding.rank_lists import parse, unconstrained_rankings
from llmrec.prompts.identifiers import Identifiers, find_identifiers
from llmrec.prompts.prompts import Prompts
from llmrec.prompts.rerank import reserved_tokens
from tests.backbones.models import backbone, gpt2, llama
from tests.catalogue.vocabularies import characters
from tests.decoding.small import EOS, random_backbone, random_prompts
from tests.prompts.shipped import prompt as shipped

LETTERS = (" A", " B", " C", " D")


@torch.no_grad()
def by_hand(model: Backbone, identifiers: Sequence[int], prompt: np.ndarray) -> list[int]:
    """Ranks greedily with one full forward pass per position."""
    order: list[int] = []
    for _ in identifiers:
        sequence = torch.tensor([[*prompt.tolist(), *(identifiers[place] for place in order)]])
        logits = model.model(input_ids=sequence).logits[0, -1]
        left = [place for place in range(len(identifiers)) if place not in order]
        order.append(max(left, key=lambda place: float(logits[identifiers[place]])))
    return order


@pytest.mark.parametrize("plain", [False, True], ids=["cached", "plain"])
@pytest.mark.parametrize("shared", [0, 4])
@pytest.mark.parametrize("size", [2, 3, 9])
def test_equals_plain_forward_passes(size: int, shared: int, plain: bool) -> None:
    model, identifiers = random_backbone(seed=3), list(range(20, 20 - size, -1))
    model.uses_plain_path = plain
    prompts = random_prompts(shared)
    ranked = rank_lists.rank_lists(model, Permutations.of(identifiers, EOS), Prompts.joined(prompts))
    assert ranked.tolist() == [by_hand(model, identifiers, prompt) for prompt in prompts]
    assert np.sort(ranked, axis=1).tolist() == [list(range(size))] * len(prompts)


def test_each_slot_depends_on_those_before_it() -> None:
    """Sorting the first position's logits would give another order."""
    model, identifiers = random_backbone(seed=3), list(range(20, 11, -1))
    prompts = Prompts.joined(random_prompts())
    ranked = rank_lists.rank_lists(model, Permutations.of(identifiers, EOS), prompts)
    for row, order in enumerate(ranked):
        logits = model.model(input_ids=torch.from_numpy(prompts.of(row).astype(np.int64))[None]).logits[0, -1]
        assert order[0] == logits[identifiers].argmax()
        assert order.tolist() != logits[identifiers].argsort(descending=True).tolist()


@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_batches_change_nothing(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With memory for one list per batch and for all lists, rows are returned in their order."""
    monkeypatch.setattr(rank, "CPU_MEMORY_BYTES", memory)
    model, identifiers, sizes = random_backbone(seed=3), list(range(5, 11)), []
    prompts = random_prompts() * 2
    ranked = rank_lists.rank_lists(model, Permutations.of(identifiers, EOS), Prompts.joined(prompts), sizes.append)
    assert sizes == ([1] * 8 if memory == 1 else [8])
    assert ranked.tolist() == [by_hand(model, identifiers, prompt) for prompt in prompts]


def test_no_lists() -> None:
    ranked = rank_lists.rank_lists(random_backbone(seed=3), Permutations.of([5, 6, 7], EOS), Prompts.joined([]))
    assert ranked.shape == (0, 3)


@pytest.mark.parametrize(
    ("text", "order", "departs"),
    [
        (" B D A C", [1, 3, 0, 2], False),
        ("B, D, A, C.\n", [1, 3, 0, 2], False),
        (" B B D A C", [1, 3, 0, 2], True),
        (" B D A C B", [1, 3, 0, 2], True),
        (" B D A", [1, 3, 0, 2], True),
        (" B D D A", [1, 3, 0, 2], True),
        ("The order is B D A C", [1, 3, 0, 2], True),
        (" b D A C B", [3, 0, 2, 1], True),
        (" BD A C D B", [0, 2, 3, 1], True),
        (" B D A E C", [1, 3, 0, 2], True),
    ],
)
def test_what_a_text_ranks(text: str, order: list[int], departs: bool) -> None:
    found, departed = parse(text, LETTERS, np.random.default_rng(0))
    assert found.tolist() == order
    assert departed is departs


@pytest.mark.parametrize(
    ("text", "order", "departs"),
    [
        ("BDAC", [1, 3, 0, 2], False),
        (" B D A C\n", [1, 3, 0, 2], False),
        ("BDBAC", [1, 3, 0, 2], True),
        ("BDA", [1, 3, 0, 2], True),
        ("B,D,A,C", [1, 3, 0, 2], True),
        ("BxDAC", [1, 3, 0, 2], True),
    ],
)
def test_identifiers_without_a_blank_stand_side_by_side(text: str, order: list[int], departs: bool) -> None:
    found, departed = parse(text, "ABCD", np.random.default_rng(0))
    assert found.tolist() == order
    assert departed is departs


def test_numbers_of_two_digits_are_one_identifier() -> None:
    numbers = [f" {number}" for number in range(1, 13)]
    text = " 12 1 2 11 10 9 8 7 6 5 4 3"
    found, departed = parse(text, numbers, np.random.default_rng(0))
    assert (found + 1).tolist() == [12, 1, 2, 11, 10, 9, 8, 7, 6, 5, 4, 3]
    assert not departed


def test_missing_ones_follow_in_an_order_of_the_seed() -> None:
    orders = [parse(" C", LETTERS, np.random.default_rng(seed))[0].tolist() for seed in range(60)]
    again = [parse(" C", LETTERS, np.random.default_rng(seed))[0].tolist() for seed in range(60)]
    assert orders == again
    assert all(order[0] == 2 and sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len({tuple(order) for order in orders}) == 6
    nothing, departed = parse("", LETTERS, np.random.default_rng(1))
    assert sorted(nothing.tolist()) == [0, 1, 2, 3]
    assert departed


def speaking(texts: dict[int, tuple[str, bool]], monkeypatch: pytest.MonkeyPatch) -> tuple[Backbone, Identifiers]:
    """Builds a model whose generated text, with or without EOS, is determined by the prompt's length."""
    tokenizer = characters()
    model = Backbone(backbone(llama).model, tokenizer)

    def say(_: Backbone, prompts: Sequence[np.ndarray], longest: int, end_token: int) -> np.ndarray:
        rows = np.full((len(prompts), longest), tokenizer.convert_tokens_to_ids("D"))
        for row, prompt in zip(rows, prompts, strict=True):
            text, ends = texts[len(prompt)]
            tokens = [*tokenizer.convert_tokens_to_ids(list(text)), *[end_token] * ends]
            row[: len(tokens)] = tokens
            assert ends or len(tokens) == longest
        return rows

    monkeypatch.setattr(rank_lists, "generate", say)
    return model, find_identifiers(shipped(tokenizer, task="rerank"), 4)


def test_free_rankings_are_read_up_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens after EOS are ignored, and a text without EOS fails whatever it contains."""
    texts = {3: ("BDAC", True), 9: ("CB", True), 6: ("BDAC" + " " * 6, False), 5: ("DCBA", True)}
    model, identifiers = speaking(texts, monkeypatch)
    assert identifiers.texts == ("A", "B", "C", "D")
    prompts, told = Prompts.joined([np.full(length, 7) for length in texts]), []
    found = unconstrained_rankings(model, identifiers, prompts, 0, told.append)
    order, failed = found.order, found.is_invalid
    assert order[[0, 2, 3]].tolist() == [[1, 3, 0, 2], [1, 3, 0, 2], [3, 2, 1, 0]]
    assert order[1, :2].tolist() == [2, 1]
    assert sorted(order[1].tolist()) == [0, 1, 2, 3]
    assert failed.tolist() == [False, True, True, False]
    assert sum(told) == 4


def test_a_failed_lists_order_is_of_the_seed_and_the_list_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = list(range(3, 43))
    model, identifiers = speaking(dict.fromkeys(lengths, ("B", True)), monkeypatch)
    prompts = [np.full(length, 7) for length in lengths]
    found = unconstrained_rankings(model, identifiers, Prompts.joined(prompts), seed=0)
    order, failed = found.order, found.is_invalid
    assert failed.all()
    assert len(np.unique(order, axis=0)) == 6
    fewer = unconstrained_rankings(model, identifiers, Prompts.joined(prompts[:5]), seed=0).order
    assert fewer.tolist() == order[:5].tolist()
    other = unconstrained_rankings(model, identifiers, Prompts.joined(prompts), seed=1).order
    assert other.tolist() != order.tolist()


def test_free_rankings_of_a_model() -> None:
    """A random model generates other text, but the result is still a permutation."""
    tokenizer = characters()
    model = Backbone(backbone(llama).model, tokenizer)
    prompts = Prompts.joined([np.array([5, 9, 7]), np.array([8, 6])])
    found = unconstrained_rankings(model, find_identifiers(shipped(tokenizer, task="rerank"), 4), prompts, seed=0)
    order, failed = found.order, found.is_invalid
    assert failed.all()
    assert np.sort(order, axis=1).tolist() == [[0, 1, 2, 3]] * 2


def test_free_rankings_stay_within_the_models_positions() -> None:
    model = backbone(gpt2)
    longest = Prompts.joined([np.full(128 - reserved_tokens(4), 5)])
    order = unconstrained_rankings(
        model, find_identifiers(shipped(model.tokenizer, task="rerank"), 4), longest, seed=0
    ).order
    assert sorted(order[0].tolist()) == [0, 1, 2, 3]
