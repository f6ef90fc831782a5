"""Adds the tokens of items to a pretrained tokenizer, and their rows to the embeddings and the head of its model."""

from collections.abc import Sequence

import torch
from tokenizers import AddedToken
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llmrec.backbones.pretrained import vocabulary_size
from llmrec.catalogue.item_tokens import ItemTokens
from llmrec.catalogue.titles import encode
from llmrec.errors import InputError

NOISE = 0.1
"""Standard deviation of the noise in a new row, relative to that of the existing rows in each dimension.

It is small, so that new tokens begin with about the mean logit, but distinguishes them."""
SEED = 0
"""Seed of the noise: all runs on a base model begin with the same rows."""


def add_tokens(tokenizer: PreTrainedTokenizerBase, tokens: ItemTokens) -> list[int]:
    """Adds the tokens of items to a tokenizer; the tokenization of a text without them stays the same.

    Args:
        tokenizer: The tokenizer, which is changed in place.
        tokens: The tokens of the items.

    Returns:
        The IDs of `tokens.vocabulary`, ascending and consecutive.

    Raises:
        InputError: If the tokenizer has one of the tokens already, or splits a sequence into other tokens.
    """
    existing = sorted(tokenizer.get_vocab().keys() & set(tokens.vocabulary))
    if existing:
        raise InputError(
            f"items.file: {len(existing):,} tokens are tokens of the tokenizer already, first {existing[0]!r}. Rename "
            "them, as in <a_12>"
        )
    tokenizer.add_tokens([_plain_token(text) for text in tokens.vocabulary])
    ids = token_ids(tokenizer, tokens)
    id_of = dict(zip(tokens.vocabulary, ids, strict=True))
    rows = encode(tokenizer, ["".join(sequence) for sequence in tokens.sequences])
    for sequence, row in zip(tokens.sequences, rows, strict=True):
        if row != [id_of[text] for text in sequence]:
            raise InputError(
                f"items.file: the text {''.join(sequence)} of the tokens {', '.join(sequence)} reads as "
                f"{', '.join(map(str, tokenizer.convert_ids_to_tokens(row)))}. Rename tokens that begin with others"
            )
    return ids


def token_ids(tokenizer: PreTrainedTokenizerBase, tokens: ItemTokens) -> list[int]:
    """Returns the IDs of `tokens.vocabulary` in a tokenizer that has them."""
    vocabulary = tokenizer.get_vocab()
    return [vocabulary[text] for text in tokens.vocabulary]


def _plain_token(text: str) -> AddedToken:
    """Returns a token that takes no blanks from its surroundings and may stand beside any character."""
    return AddedToken(text, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)


def add_rows(model: PreTrainedModel, ids: Sequence[int]) -> None:
    """Adds rows for new tokens to the embeddings and the head, or takes unused rows that are there for padding.

    A row is the mean of the existing rows plus noise (`NOISE`), in the data type of the model.

    Args:
        model: The model.
        ids: The IDs of the new tokens, consecutive, after all others.
    """
    first, end = ids[0], ids[-1] + 1
    if end > vocabulary_size(model):
        # The rows that transformers would draw depend on the global random state.
        model.resize_token_embeddings(end, mean_resizing=False)
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    _fill_rows(embeddings.weight, first, end)
    if head.weight is not embeddings.weight:
        _fill_rows(head.weight, first, end)
    if getattr(head, "bias", None) is not None:
        _fill_rows(head.bias, first, end)


@torch.no_grad()
def _fill_rows(weight: Tensor | nn.Module, first: int, end: int) -> None:
    assert isinstance(weight, Tensor)
    existing = weight[:first].float()
    noise = torch.randn((end - first, *weight.shape[1:]), generator=torch.Generator().manual_seed(SEED))
    weight[first:end] = (existing.mean(0) + NOISE * existing.std(0) * noise.to(weight.device)).to(weight.dtype)
