"""Random catalogues, models and prompts that are small enough to decode by brute force."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import Trie
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.session import SharedPrefix

EOS, QUOTE = 1, 31
Title = tuple[int, ...]


def token_titles(titles: Sequence[Title]) -> TitleTokens:
    """Builds titles from their tokens, EOS included."""
    offsets = np.concatenate([[0], np.cumsum([len(title) for title in titles])]).astype(np.int64)
    return TitleTokens(np.concatenate([np.array(title, dtype=np.int32) for title in titles]), offsets)


def random_titles(count: int, seed: int, quote: int | None) -> TitleTokens:
    """Generates distinct random titles from few tokens, so that they share prefixes and some are prefixes of others.

    About every second title ends with several forced tokens.
    """
    generator = np.random.default_rng(seed)
    start = () if quote is None else (quote,)
    titles: set[Title] = set()
    while len(titles) < count:
        tail = generator.integers(3, 12, 6 * (len(titles) % 2))
        titles.add((*start, *generator.integers(3, 12, generator.integers(1, 7)).tolist(), *tail.tolist(), EOS))
    return token_titles(sorted(titles))


def random_backbone(seed: int) -> Backbone:
    """Builds a random two-layer Llama with 32 tokens whose logits vary enough for scores to differ."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=2, eos_token_id=EOS, initializer_range=0.3,
    )  # fmt: skip
    return Backbone(LlamaForCausalLM(config).eval(), tokenizer=None)


def random_prompts(shared: int = 4) -> list[np.ndarray]:
    """Generates four prompts of different lengths whose first `shared` tokens are equal."""
    generator = np.random.default_rng(7)
    start = generator.integers(3, 32, shared)
    return [np.concatenate([start, generator.integers(3, 32, n)]) for n in (3, 9, 6, 1)]


def found(
    backbone: Backbone,
    trie: Trie,
    prompts: Sequence[np.ndarray],
    settings: BeamSearch,
    shared: int = 0,
    excluded: Tensor | None = None,
) -> list[tuple[list[int], list[float]]]:
    """Returns titles and scores that the search finds for each prompt, without padding."""
    prefix = SharedPrefix(backbone, prompts[0][:shared])
    leaves, scores = search(backbone, trie, prompts, prefix, settings, excluded)
    assert ((leaves == -1) == (scores == float("-inf"))).all()
    is_title = leaves >= 0
    assert (is_title.sum(1)[:, None] > torch.arange(settings.beams))[is_title].all(), "padding follows the titles"
    return [
        (trie.leaf_title[row[real]].tolist(), points[real].tolist())
        for row, points, real in zip(leaves, scores, is_title, strict=True)
    ]


def following(titles: TitleTokens, left_out: Sequence[int] = ()) -> dict[Title, set[int]]:
    """Maps each prefix of a title to its valid next tokens, for a catalogue without the titles `left_out`."""
    known: dict[Title, set[int]] = {}
    for title in set(range(len(titles))) - set(left_out):
        tokens = tuple(titles.of(title).tolist())
        for depth, token in enumerate(tokens):
            known.setdefault(tokens[:depth], set()).add(token)
    return known


@torch.no_grad()
def log_probabilities(
    backbone: Backbone, prompt: np.ndarray, tokens: Title, valid: Sequence[set[int]], scores: str
) -> list[dict[int, float]]:
    """Computes the log-probabilities of the valid tokens at the last positions of a sequence in one forward pass.

    The last position is that after `tokens`; `valid` holds the valid tokens of each position.
    """
    sequence = torch.tensor([[*prompt.tolist(), *tokens]])
    logits = backbone.model(input_ids=sequence).logits[0, -len(valid) :].double()
    result = []
    for choices, row in zip(map(sorted, valid), logits, strict=True):
        normaliser = row.logsumexp(0) if scores == "vocab" else row[choices].logsumexp(0)
        result.append(dict(zip(choices, (row[choices] - normaliser).tolist(), strict=True)))
    return result


def title_scores(
    backbone: Backbone, prompt: np.ndarray, titles: TitleTokens, scores: str, left_out: Sequence[int] = ()
) -> dict[int, float]:
    """Computes the log-probability of every title that is not left out, best first."""
    known = following(titles, left_out)
    total = {}
    for title in set(range(len(titles))) - set(left_out):
        tokens = tuple(titles.of(title).tolist())
        valid = [known[tokens[:depth]] for depth in range(len(tokens))]
        positions = log_probabilities(backbone, prompt, tokens[:-1], valid, scores)
        total[title] = sum(scored[token] for scored, token in zip(positions, tokens, strict=True))
    return dict(sorted(total.items(), key=lambda pair: -pair[1]))
