"""Small tokenizers whose every token can be read off: characters, with the merges that a test asks for."""

import string
from collections.abc import Sequence

from tokenizers import Tokenizer, models, processors
from transformers import PreTrainedTokenizerFast

CHARACTERS = string.ascii_letters + string.digits + string.punctuation + " \n"
BOS, EOS, UNKNOWN = "<s>", "</s>", "<unk>"


def characters(
    merges: Sequence[tuple[str, str]] = (), begin: bool = False, end: bool = False, eos: str | None = EOS
) -> PreTrainedTokenizerFast:
    """One token a character and one a merge, in order of rank; no pre-tokenizer, so that merges may cross any border.

    begin, end: it adds BOS or EOS to every text by itself. Characters beyond ASCII are all the unknown token.
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
    """The tokens as text, one by one."""
    return tokenizer.convert_ids_to_tokens(list(map(int, tokens)))
