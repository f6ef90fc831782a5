"""Against Hugging Face's beam search with a prefix constraint: vocab scores are equal, trie scores never worse."""

import numpy as np
import pytest
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import build_trie
from llmrec.decoding.beam_search import BeamSearch
from tests.decoding.small import EOS, QUOTE, following, found, random_backbone, random_prompts, random_titles


def huggingface(
    backbone: Backbone, titles: TitleTokens, prompt: np.ndarray, settings: BeamSearch
) -> tuple[list[tuple[int, ...]], list[float]]:
    """Returns the titles as tuples of tokens, and their scores, without those that consist of -1e9 padding.

    With trie scores, a unique title occupies its beam up to its end, and the search ends when no better title can
    follow.
    """
    known, width = following(titles), len(prompt)
    result = backbone.model.generate(
        torch.from_numpy(prompt)[None], attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        num_beams=settings.beams, num_return_sequences=settings.beams, do_sample=False,
        early_stopping=False if settings.scores == "vocab" else "never",
        length_penalty=settings.length_penalty, max_new_tokens=int(np.diff(titles.offsets).max()),
        prefix_allowed_tokens_fn=lambda _, ids: sorted(known.get(tuple(ids[width:].tolist()), {EOS})),
        renormalize_logits=settings.scores == "trie", return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    sequences = []
    for row in result.sequences[:, len(prompt) :].tolist():
        sequences.append(tuple(row[: row.index(EOS) + 1]) if EOS in row else tuple(row))
    titles_only = [i for i, score in enumerate(result.sequences_scores.tolist()) if score > -1e8]
    return [sequences[i] for i in titles_only], [float(result.sequences_scores[i]) for i in titles_only]


@pytest.mark.parametrize("quote", [None, QUOTE])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("beams", [2, 4, 10])
@pytest.mark.parametrize("plain", [False, True])
def test_equals_huggingface(quote: int | None, length_penalty: float, beams: int, plain: bool) -> None:
    titles = random_titles(200, seed=beams, quote=quote)
    backbone, prompts = random_backbone(seed=beams), random_prompts(shared=4)
    settings = BeamSearch(beams, "vocab", length_penalty)
    backbone.uses_plain_path = plain
    ours = found(backbone, build_trie(titles)[0], prompts, settings, shared=4)
    for prompt, (row, scores) in zip(prompts, ours, strict=True):
        expected, expected_scores = huggingface(backbone, titles, prompt, settings)
        assert [tuple(titles.of(title).tolist()) for title in row] == expected
        assert scores == pytest.approx(expected_scores, abs=1e-4)


@pytest.mark.parametrize("length_penalty", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("beams", [2, 10])
def test_trie_scores_find_no_worse_titles_than_huggingface(length_penalty: float, beams: int) -> None:
    titles = random_titles(200, seed=beams, quote=QUOTE)
    backbone, prompts = random_backbone(seed=beams), random_prompts(shared=4)
    settings = BeamSearch(beams, "trie", length_penalty)
    ours = found(backbone, build_trie(titles)[0], prompts, settings, shared=4)
    for prompt, (_, scores) in zip(prompts, ours, strict=True):
        _, theirs = huggingface(backbone, titles, prompt, settings)
        assert len(scores) == len(theirs) == beams
        assert sum(scores) >= sum(theirs) - 1e-4
