"""What a model says without the trie: greedy generation, and how often that is no title of the catalogue."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.ranks import divided
from llmrec.backbones.scoring import COLUMNS, batches_by_length
from llmrec.catalogue.titles import TitleTokens
from llmrec.datasets.data_module import NextItemData
from llmrec.datasets.prompts import Prompts


def unconstrained(
    backbone: Backbone, data: NextItemData, prompts: Prompts, progress: Callable[[int], None] = lambda done: None
) -> dict[str, float]:
    """How often greedy generation leaves the catalogue; prompts: at least one; progress: as in `generate_titles`.

    users: the prompts; invalid_title_rate: the share whose text, ended by EOS, is not exactly a quoted title. Texts are
    compared, so another tokenisation of a title is that title; what has not ended within the longest title is invalid.
    """
    generated = divided(len(prompts), lambda mine: generate_titles(backbone, prompts.take(mine), data.titles, progress))
    catalogue = [data.titles.of(title)[:-1] for title in range(len(data.titles))]
    valid = {text_after(backbone.tokenizer, prompts.of(0)[-1:], tokens) for tokens in catalogue}
    invalid = sum(text not in valid for text in generated)
    return {"invalid_title_rate": invalid / len(prompts), "users": len(prompts)}


def generate_titles(
    backbone: Backbone, prompts: Prompts, titles: TitleTokens, progress: Callable[[int], None] = lambda done: None
) -> list[str | None]:
    """The text that greedy generation gives after each prompt, without EOS; None = no EOS within the longest title.

    titles: of the catalogue; where they begin with tokens of the prompt's end (see `TitleTokens`), so do the texts.
    progress is told the rows of each finished batch.
    """
    backbone.eval()
    longest = int(np.diff(titles.offsets).max())
    texts: list[str | None] = [None] * len(prompts)
    for rows in batches_by_length(prompts.lengths + longest, COLUMNS[backbone.device.type]):
        generated = greedy(backbone, [prompts.of(row) for row in rows], longest)
        for row, tokens in zip(rows, generated, strict=True):
            ends = np.flatnonzero(tokens == backbone.tokenizer.eos_token_id)
            if len(ends):
                texts[row] = text_after(backbone.tokenizer, prompts.of(row)[-1:], tokens[: ends[0]])
        progress(len(rows))
    return texts


def greedy(backbone: Backbone, prompts: Sequence[np.ndarray], longest: int) -> np.ndarray:
    """The most likely token after the one before, int64 [prompts, up to longest]; anything stands behind an EOS."""
    if not backbone.plain:
        return _generated(backbone, prompts, longest)
    # Not every model on the plain path knows padding before a prompt: BART and RWKV do not.
    lengths = np.array([len(prompt) for prompt in prompts])
    tokens = np.full((len(prompts), longest), backbone.tokenizer.eos_token_id)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        generated = _generated(backbone, [prompts[int(row)] for row in rows], longest)
        tokens[rows, : generated.shape[1]] = generated
    return tokens


def _generated(backbone: Backbone, prompts: Sequence[np.ndarray], longest: int) -> np.ndarray:
    """Generates for one batch of prompts, padded on the left."""
    width = max(map(len, prompts))
    tokens = torch.full((len(prompts), width), backbone.tokenizer.eos_token_id)
    attended = torch.zeros_like(tokens)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = torch.from_numpy(prompt)
        attended[row, width - len(prompt) :] = 1
    greedily = _greedy_settings(backbone.causal_lm, backbone.tokenizer, longest)
    with torch.inference_mode(), backbone.autocast(), greedily:
        # Its types are for a class with a mix-in, which every causal LM has.
        generated = backbone.causal_lm.generate(  # type: ignore[operator]
            input_ids=tokens.to(backbone.device), attention_mask=attended.to(backbone.device)
        )
    return generated[:, width:].cpu().numpy()


@contextmanager
def _greedy_settings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, longest: int) -> Iterator[None]:
    # In place of the model's own, since arguments of `generate` leave standing what they do not name: a repetition
    # penalty, say, or other ends than the titles'.
    own = model.generation_config
    eos = tokenizer.eos_token_id
    model.generation_config = GenerationConfig(
        do_sample=False, num_beams=1, max_new_tokens=longest, eos_token_id=eos, pad_token_id=eos, use_cache=True
    )
    try:
        yield
    finally:
        model.generation_config = own


def text_after(tokenizer: PreTrainedTokenizerBase, before: np.ndarray, tokens: np.ndarray) -> str:
    """What the tokens say behind those `before` them: some tokenizers drop the blank that a text begins with."""
    lead, whole = (
        str(tokenizer.decode(part.tolist(), clean_up_tokenization_spaces=False))
        for part in (before, np.concatenate([before, tokens]))
    )
    return whole.removeprefix(lead)
