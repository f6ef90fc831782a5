"""Unconstrained greedy generation equals a plain loop, and which texts count as valid titles."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tokenizers import decoders
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.titles import TitleTokens
from llmrec.decoding import unconstrained as module
from llmrec.decoding.unconstrained import generate_titles, title_texts
from llmrec.examples.next_item import NextItemData
from llmrec.prompts.prompts import Prompts
from tests.backbones.models import FAST, PLAIN, backbone, llama, sequence
from tests.catalogue.vocabularies import EOS, characters
from tests.decoding.small import token_titles
from tests.invariants.world import CONFIG, ROWS, random_backbone, small_dataset

TWELVE = token_titles([(3, 1), (*[5] * 11, 1)])
"""Two titles, the longer of which has twelve tokens."""
PROMPTS = Prompts.joined([sequence(length, seed=length) for length in (3, 9, 6, 14, 5, 4, 11, 8, 12, 13, 17, 23)])


def small_data(backbone: Backbone, cache: Path) -> NextItemData:
    """Sets up the dataset with a `max_length` that suffices for prompts with one token per character."""
    config = OmegaConf.merge(CONFIG, {"backbone": {"max_length": 1000}})
    return NextItemData(small_dataset(), backbone, config, cache)


def ending(backbone: Backbone) -> Backbone:
    """Modifies the backbone so that EOS is often the most likely token."""
    with torch.no_grad():
        backbone.causal_lm.get_output_embeddings().weight[backbone.tokenizer.eos_token_id] *= 3
    return backbone


def fused(merges: Sequence[tuple[str, str]] = (), *more: decoders.Decoder) -> PreTrainedTokenizerFast:
    """Builds a tokenizer of characters and merges that decodes tokens without blanks between them."""
    tokenizer = characters(merges)
    tokenizer.backend_tokenizer.decoder = decoders.Sequence([decoders.Fuse(), *more])
    return tokenizer


def speaking(architecture: Callable[[], PreTrainedModel] = llama) -> Backbone:
    """Builds a random model that often generates EOS."""
    return ending(Backbone(backbone(architecture, seed=1).model, fused()))


@torch.no_grad()
def argmax_loop(backbone: Backbone, prompt: np.ndarray, longest: int) -> str | None:
    """Generates greedily for one prompt with one full forward pass per token."""
    tokens: list[int] = []
    for _ in range(longest):
        sequence = torch.tensor([[*prompt.tolist(), *tokens]])
        token = int(backbone.model(input_ids=sequence, use_cache=False).logits[0, -1].argmax())
        if token == backbone.tokenizer.eos_token_id:
            return backbone.tokenizer.decode(tokens)
        tokens.append(token)
    return None


def assert_greedy(backbone: Backbone, prompts: Prompts, titles: TitleTokens) -> None:
    longest = int(np.diff(titles.offsets).max())
    expected = [argmax_loop(backbone.eval(), prompts.of(row), longest) for row in range(len(prompts))]
    assert any(expected), "some must say something and end"
    assert generate_titles(backbone, prompts, titles) == expected


@pytest.mark.parametrize("lora", [False, True])
def test_equals_a_plain_loop(lora: bool, tmp_path: Path) -> None:
    world = ending(random_backbone(lora))
    data = small_data(world, tmp_path)
    assert_greedy(world, data.split(ROWS).prompts, data.titles)


@pytest.mark.parametrize("architecture", [*FAST, *PLAIN])
def test_equals_a_plain_loop_for_other_architectures(architecture: Callable[[], PreTrainedModel]) -> None:
    own = speaking(architecture)
    own.uses_plain_path = architecture in PLAIN
    assert_greedy(own, PROMPTS, TWELVE)


def test_the_models_own_generation_settings_are_set_aside() -> None:
    own = speaking()
    settings = own.causal_lm.generation_config
    settings.update(repetition_penalty=5.0, do_sample=True, num_beams=3, eos_token_id=[3, 4, 5], min_new_tokens=6)
    assert_greedy(own, PROMPTS, TWELVE)
    assert own.causal_lm.generation_config is settings


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    own, sizes = speaking(), []
    whole = generate_titles(own, PROMPTS, TWELVE)
    monkeypatch.setitem(module.BATCH_TOKENS, "cpu", 60)
    assert generate_titles(own, PROMPTS, TWELVE, sizes.append) == whole
    assert sum(sizes) == len(PROMPTS)
    assert len(sizes) > 4


def test_a_model_that_learnt_a_title_says_it(tmp_path: Path) -> None:
    own = random_backbone()
    data = small_data(own, tmp_path)
    prompts = data.split(ROWS).prompts
    assert title_texts(own, data, prompts)[1].tolist() == [False] * 8
    title = data.dataset.items.distinct_titles.index('Doom" Box')
    memorise(own, prompts, data.titles.of(title))
    assert generate_titles(own, prompts, data.titles) == ['"Doom" Box"'] * 8
    assert title_texts(own, data, prompts)[1].tolist() == [True] * 8


def memorise(backbone: Backbone, prompts: Prompts, title: np.ndarray) -> None:
    """Trains the backbone until it answers every prompt with the same title."""
    optimizer = torch.optim.Adam(backbone.parameters(), lr=0.01)
    answer = torch.from_numpy(title).long()
    for _ in range(40):
        for row in range(len(prompts)):
            sequence = torch.cat([torch.from_numpy(prompts.of(row)).long(), answer])[None]
            logits = backbone.model(input_ids=sequence).logits[0, -len(answer) - 1 : -1]
            torch.nn.functional.cross_entropy(logits, answer).backward()
            optimizer.step()
            optimizer.zero_grad()


def rate_of(
    texts: Sequence[Sequence[str]], tokenizer: PreTrainedTokenizerFast, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> float:
    """Returns the invalid title rate of a model that generates the given tokens, one text per row of ROWS."""
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8,
        num_hidden_layers=1, num_attention_heads=1))  # fmt: skip
    scripted = Backbone(model, tokenizer)
    data = small_data(scripted, cache)
    prompts = data.split(ROWS.take(np.arange(len(texts)))).prompts
    answers = {bytes(prompts.of(row)): tokenizer.convert_tokens_to_ids(list(text)) for row, text in enumerate(texts)}
    longest = max(map(len, texts))

    def answer(backbone: Backbone, asked: Sequence[np.ndarray], limit: int, end_token: int, beams: int) -> np.ndarray:
        padding = [tokenizer.convert_tokens_to_ids("x")] * longest
        return np.array([[*answers[bytes(prompt)], *padding][:longest] for prompt in asked])

    monkeypatch.setattr(module, "generate", answer)
    return float(1 - title_texts(scripted, data, prompts)[1].mean())


GO, FEZ = ['"', "G", "o", '"'], ['"', "F", "e", "z", '"']


def test_what_is_exactly_a_quoted_title_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    valid = [[*GO, EOS], [*FEZ, EOS], ['"', *"Doom", '"', *" Box", '"', EOS, *GO]]
    assert rate_of(valid, fused(), tmp_path, monkeypatch) == 0


@pytest.mark.parametrize(
    "text",
    [
        [*GO],  # no EOS
        [EOS],
        ["G", "o", EOS],
        ['"', "G", EOS],
        ['"', "g", "o", '"', EOS],
        [" ", *GO, EOS],
        [*GO, " ", EOS],
        [*GO, "<s>", EOS],
        [*GO, *FEZ, EOS],
    ],
)
def test_anything_else_is_invalid(text: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text, [*FEZ, EOS], [*FEZ, EOS], [*FEZ, EOS]]
    assert rate_of(texts, fused(), tmp_path, monkeypatch) == 1 / 4


def test_another_tokenisation_of_a_title_is_that_title(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = fused(merges=[("G", "o")])
    assert tokenizer.tokenize('"Go"') == ['"', "Go", '"']
    assert rate_of([[*GO, EOS], ['"', "Go", '"', EOS]], tokenizer, tmp_path, monkeypatch) == 0


def test_the_prompts_end_that_belongs_to_the_titles_is_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = fused(merges=[("\n", '"')])
    # Only the first two make `### Response:\n"Go"` of the prompt.
    texts = [['\n"', *GO[1:], EOS], ["\n", *GO, EOS], ["\n", "\n", *GO, EOS], [*GO, EOS]]
    assert rate_of(texts, tokenizer, tmp_path, monkeypatch) == 2 / 4


def test_a_blank_that_the_tokenizer_drops_at_a_texts_beginning_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = fused((), decoders.Strip(" ", 1, 0))
    assert tokenizer.decode(tokenizer.convert_tokens_to_ids([" ", *GO])) == '"Go"'
    assert rate_of([[" ", *GO, EOS], [*GO, EOS]], tokenizer, tmp_path, monkeypatch) == 1 / 2
