"""vocab scores equal Hugging Face's beam search with a prefix constraint: titles, order and scores."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import build_trie
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.session import SharedPrefix

EOS = 1


def random_titles(count: int, seed: int, quote: int | None) -> TitleTokens:
    """Distinct random titles over few tokens, so that prefixes are shared and some titles are prefixes of others."""
    generator = np.random.default_rng(seed)
    start = [] if quote is None else [quote]
    titles: set[tuple[int, ...]] = set()
    while len(titles) < count:
        titles.add((*start, *generator.integers(3, 12, generator.integers(1, 7)), EOS))
    rows = [np.array(title, dtype=np.int32) for title in sorted(titles)]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return TitleTokens(np.concatenate(rows), offsets)


def random_backbone(seed: int) -> Backbone:
    """A random two-layer Llama over 32 tokens, its logits spread enough to make scores differ."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=2, eos_token_id=EOS, initializer_range=0.3,
    )  # fmt: skip
    return Backbone(LlamaForCausalLM(config).eval(), tokenizer=None)


def allowed_after(titles: TitleTokens, prompt_length: int) -> Callable[[int, torch.Tensor], list[int]]:
    """The plain way: a dict from prefix to next tokens; what it does not know (a finished row) gets EOS."""
    following: dict[tuple[int, ...], set[int]] = {}
    for title in range(len(titles)):
        tokens = tuple(map(int, titles.of(title)))
        for cut, token in enumerate(tokens):
            following.setdefault(tokens[:cut], set()).add(token)
    return lambda _, ids: sorted(following.get(tuple(ids[prompt_length:].tolist()), {EOS}))


def huggingface(
    backbone: Backbone, titles: TitleTokens, prompt: np.ndarray, settings: BeamSearch
) -> tuple[list[tuple[int, ...]], list[float]]:
    """Titles as token tuples and their scores, those that Hugging Face made up from -1e9 padding left out."""
    result = backbone.model.generate(
        torch.from_numpy(prompt)[None], attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        num_beams=settings.beams, num_return_sequences=settings.beams, do_sample=False, early_stopping=False,
        length_penalty=settings.length_penalty, max_new_tokens=int(np.diff(titles.offsets).max()),
        prefix_allowed_tokens_fn=allowed_after(titles, len(prompt)), renormalize_logits=False,
        return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    found = []
    for row in result.sequences[:, len(prompt) :].tolist():
        found.append(tuple(row[: row.index(EOS) + 1]) if EOS in row else tuple(row))
    kept = [i for i, score in enumerate(result.sequences_scores.tolist()) if score > -1e8]
    return [found[i] for i in kept], [float(result.sequences_scores[i]) for i in kept]


@pytest.mark.parametrize("quote", [None, 31])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("beams", [2, 4, 10])
@pytest.mark.parametrize("plain", [False, True])
def test_equals_huggingface(quote: int | None, length_penalty: float, beams: int, plain: bool) -> None:
    titles = random_titles(200, seed=beams, quote=quote)
    trie, _ = build_trie(titles)
    backbone = random_backbone(seed=beams)
    backbone.plain = plain
    settings = BeamSearch(beams, "vocab", length_penalty)
    generator = np.random.default_rng(7)
    start = generator.integers(3, 32, 4)
    prompts = [np.concatenate([start, generator.integers(3, 32, n)]) for n in (3, 9, 6, 1)]
    leaves, scores = search(backbone, trie, prompts, SharedPrefix(backbone, start), settings)
    for prompt, row, row_scores in zip(prompts, leaves, scores, strict=True):
        expected, expected_scores = huggingface(backbone, titles, prompt, settings)
        found = [tuple(map(int, titles.of(int(trie.leaf_title[leaf])))) for leaf in row if leaf >= 0]
        assert found == expected
        assert row_scores[: len(expected)].tolist() == pytest.approx(expected_scores, abs=1e-4)
