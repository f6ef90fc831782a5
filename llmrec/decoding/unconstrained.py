"""Unconstrained generation, greedy or with beams, and how often it yields a text that is no title of the catalogue."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.scoring import BATCH_TOKENS, batches_by_length
from llmrec.catalogue.titles import TitleTokens
from llmrec.collectives import map_across_ranks
from llmrec.examples.next_item import NextItemData
from llmrec.prompts.prompts import Prompts


def title_texts(
    backbone: Backbone, data: NextItemData, prompts: Prompts, progress: Callable[[int], None] = lambda done: None
) -> tuple[list[str | None], np.ndarray]:
    """Generates a text greedily after each prompt, without constraints, and checks whether it is a title.

    Texts are compared, not tokens, so a title is valid in any tokenization. A generation that does not end within the
    length of the longest title is invalid.

    Args:
        backbone: The model.
        data: The dataset for the backbone's tokenizer.
        prompts: At least one prompt, one per user.
        progress: Called with the number of rows of each finished batch.

    Returns:
        texts: See `generate_titles`.
        is_title: Whether each text is exactly a quoted title, bool `[prompts]`.
    """
    generated, catalogue = _texts_and_catalogue(backbone, data, prompts, progress)
    valid = set(catalogue)
    return generated, np.array([text in valid for text in generated])


def candidate_texts(
    backbone: Backbone,
    data: NextItemData,
    prompts: Prompts,
    candidates: np.ndarray,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[list[str | None], np.ndarray]:
    """Generates a text as `title_texts` does, and finds the candidate that it names.

    Args:
        backbone: The model.
        data: The dataset for the backbone's tokenizer.
        prompts: At least one prompt, one per row.
        candidates: The distinct titles of each row's candidates, int `[prompts, m]`.
        progress: Called with the number of rows of each finished batch.

    Returns:
        texts: See `generate_titles`.
        answers: The candidate whose quoted title is exactly the text, int `[prompts]`; -1 = none.
    """
    generated, catalogue = _texts_and_catalogue(backbone, data, prompts, progress)
    named = [
        next((title for title in titles if catalogue[title] == text), -1)
        for text, titles in zip(generated, candidates.tolist(), strict=True)
    ]
    return generated, np.array(named)


def _texts_and_catalogue(
    backbone: Backbone, data: NextItemData, prompts: Prompts, progress: Callable[[int], None]
) -> tuple[list[str | None], list[str]]:
    """Returns a generated text for each prompt, and each distinct title as the text that it would be."""
    generated = map_across_ranks(
        len(prompts), lambda rows: generate_titles(backbone, prompts.take(rows), data.titles, progress)
    )
    titles = [data.titles.of(title)[:-1] for title in range(len(data.titles))]
    return generated, [text_after(backbone.tokenizer, prompts.of(0)[-1:], tokens) for tokens in titles]


def generate_titles(
    backbone: Backbone, prompts: Prompts, titles: TitleTokens, progress: Callable[[int], None] = lambda done: None
) -> list[str | None]:
    """Generates a text greedily after each prompt, up to the token that ends a title.

    Args:
        backbone: The model.
        prompts: The prompts.
        titles: The catalogue's titles; the longest limits the generation. If they begin with tokens of the prompt's end
            (see `TitleTokens.prompt_overlap`), so do the texts.
        progress: Called with the number of rows of each finished batch.

    Returns:
        One text per prompt without its end; None if it does not end within the length of the longest title.
    """
    generated = generate_texts(backbone, prompts, titles, 1, progress)
    return [text if ended else None for text, ended in generated]


def generate_texts(
    backbone: Backbone,
    prompts: Prompts,
    titles: TitleTokens,
    beams: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[tuple[str, bool]]:
    """Generates the best text after each prompt, up to the token that ends a title or the length of the longest title.

    Args:
        backbone: The model.
        prompts: The prompts.
        titles: See `generate_titles`.
        beams: Number of beams of the search; 1 is greedy.
        progress: Called with the number of rows of each finished batch.

    Returns:
        For each prompt the text without its end, and whether it ended.
    """
    backbone.eval()
    longest = int(np.diff(titles.offsets).max())
    texts = [("", False)] * len(prompts)
    for rows in batches_by_length(beams * (prompts.lengths + longest), BATCH_TOKENS[backbone.device.type]):
        generated = generate(backbone, [prompts.of(row) for row in rows], longest, titles.end_token, beams)
        for row, tokens in zip(rows, generated, strict=True):
            ends = np.flatnonzero(tokens == titles.end_token)
            kept = tokens[: ends[0]] if len(ends) else tokens
            texts[row] = text_after(backbone.tokenizer, prompts.of(row)[-1:], kept), len(ends) > 0
        progress(len(rows))
    return texts


def generate(
    backbone: Backbone, prompts: Sequence[np.ndarray], longest: int, end_token: int, beams: int = 1
) -> np.ndarray:
    """Generates up to `longest` tokens after each prompt (int `[length]`), or up to `end_token`.

    Args:
        backbone: The model.
        prompts: The prompts.
        longest: Maximum number of tokens.
        end_token: The token that ends a text.
        beams: Number of beams, with the mean log-probability of the tokens as the score; 1 is greedy.

    Returns:
        int64 `[prompts, n]` with n <= `longest`. Tokens after `end_token` are meaningless.
    """
    if not backbone.uses_plain_path:
        return _generated(backbone, prompts, longest, end_token, beams)
    # Not every model on the plain path supports left padding: BART and RWKV do not. Prompts of equal length need none.
    lengths = np.array([len(prompt) for prompt in prompts])
    tokens = np.full((len(prompts), longest), end_token)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        generated = _generated(backbone, [prompts[int(row)] for row in rows], longest, end_token, beams)
        tokens[rows, : generated.shape[1]] = generated
    return tokens


def _generated(
    backbone: Backbone, prompts: Sequence[np.ndarray], longest: int, end_token: int, beams: int
) -> np.ndarray:
    """Generates for one batch of prompts, padded on the left; int64 `[prompts, n]`."""
    width = max(map(len, prompts))
    tokens = torch.full((len(prompts), width), end_token)
    attended = torch.zeros_like(tokens)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = torch.from_numpy(prompt)
        attended[row, width - len(prompt) :] = 1
    settings = _settings(backbone.causal_lm, longest, end_token, beams)
    with torch.inference_mode(), backbone.autocast(), settings:
        # `generate` is typed for a class with GenerationMixin, which every causal LM has.
        generated = backbone.causal_lm.generate(  # type: ignore[operator]
            input_ids=tokens.to(backbone.device), attention_mask=attended.to(backbone.device)
        )
    return generated[:, width:].cpu().numpy()


@contextmanager
def _settings(model: PreTrainedModel, longest: int, end_token: int, beams: int) -> Iterator[None]:
    """Replaces the model's generation config while the block runs."""
    # Arguments of `generate` would leave the model's other settings in force, such as a repetition penalty or further
    # EOS tokens.
    original = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False, num_beams=beams, max_new_tokens=longest, eos_token_id=end_token, pad_token_id=end_token,
        use_cache=True,
    )  # fmt: skip
    try:
        yield
    finally:
        model.generation_config = original


def text_after(tokenizer: PreTrainedTokenizerBase, before: np.ndarray, tokens: np.ndarray) -> str:
    """Decodes tokens as the continuation of the tokens `before` them (int `[length]` each).

    Decoded alone, a text would lose its leading blank with some tokenizers.
    """
    prefix, whole = (
        str(tokenizer.decode(part.tolist(), clean_up_tokenization_spaces=False))
        for part in (before, np.concatenate([before, tokens]))
    )
    return whole.removeprefix(prefix)
