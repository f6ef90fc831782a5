"""Small character-level tokenizers with given merges, whose tokenizations are easy to derive by hand."""

import string
from collections.abc import Sequence

from tokenizers import Tokenizer, models, processors
from transformers import PreTrainedTokenizerFast

CHARACTERS = string.ascii_letters + string.digits + string.punctuation + " \n"
BOS, EOS, UNKNOWN = "<s>", "</s>", "<unk>"


def characters(
    merges: Sequence[tuple[str, str]] = (), begin: bool = False, end: bool = False, eos: str | None = EOS
) -> PreTrainedTokenizerFast:
    """Builds a BPE tokenizer with one token per ASCII character and per merge; other characters are unknown.

    It has no pre-tokenizer, so that merges may cross any boundary.

    Args:
        merges: The merges in order of rank.
        begin: Whether the tokenizer adds BOS to every text.
        end: Whether the tokenizer adds EOS to every text.
        eos: The EOS token; None for a tokenizer without one.
    """
    words = [BOS, EOS, UNKNOWN, *CHARACTERS, *("".join(pair) for pair in merges)]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges), unk_token=UNKNOWN))
    template = [BOS] * begin + ["$A"] + [EOS] * end
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join(template), special_tokens=[(BOS, vocabulary[BOS]), (EOS, vocabulary[EOS])]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=eos, unk_token=UNKNOWN)


def spell(tokenizer: PreTrainedTokenizerFast, tokens: Sequence[int]) -> list[str]:
    """Returns the text of each token."""
    return tokenizer.convert_ids_to_tokens(list(map(int, tokens)))
