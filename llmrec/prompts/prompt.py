"""A task's prompts for one tokenizer: how they are tokenized, how they end, and what ends a response."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from llmrec.catalogue.control_tokens import MARK, ControlTokens, encode_marked
from llmrec.errors import InputError
from llmrec.prompts.chat import chat_turn
from llmrec.prompts.text import Entry, PromptText


class Prompt:
    """Renders and tokenizes the prompts of a task.

    Attributes:
        text: The text, in which the config's template is rendered.
        tokenizer: The tokenizer.
        end: The last line that all prompts end with, line breaks included. Responses are tokenized after it.
        end_token: The token that ends a response: EOS or the chat template's end-of-turn token.
    """

    def __init__(self, text: PromptText, tokenizer: PreTrainedTokenizerBase) -> None:
        """Finds the end of prompts and responses.

        Args:
            text: The text.
            tokenizer: The tokenizer.

        Raises:
            InputError: If the tokenizer has no token that ends a response, or the prompts do not end alike.
        """
        self.text, self.tokenizer, self._control = text, tokenizer, ControlTokens(tokenizer)
        self._before, self._after, self.end_token = _frame(text, tokenizer)
        common = text.end + self._after
        if not common:
            raise InputError(
                f"{text.template.key} of prompt={text.name} ends with a text that depends on the history. End it with "
                "a fixed text, such as a line break, because titles are tokenized once as its continuation"
            )
        self.end = common[common.rstrip().rfind("\n") + 1 :]
        if text.needs_fixed_start:
            self._check_start()

    def render(self, history: Sequence[Entry], candidates: Sequence[Entry] = (), rated: bool = False) -> str:
        """Renders a prompt with the chat template's markup, if it has any; arguments as of `PromptText.render`."""
        if self.text.titles:
            history = [self._control.marked_entry(entry) for entry in history]
            candidates = [self._control.marked_entry(entry) for entry in candidates]
        return self._before + self.text.render(history, candidates, rated) + self._after

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenizes rendered prompts with the tokenizer's leading special tokens, but without a trailing EOS."""
        bos = self.tokenizer.bos_token
        # A BOS that the chat template has written must not be added again.
        has_bos = isinstance(bos, str) and self._before.startswith(bos)
        encoded: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=not has_bos, return_attention_mask=False, verbose=False
        )["input_ids"]
        # Some tokenizers append EOS to every text, but a response must be able to follow a prompt.
        ended = 1 if encoded[0][-1:] == [self.tokenizer.eos_token_id] else 0
        rows = [tokens[: len(tokens) - ended] for tokens in encoded]
        # The titles of marked texts contain special tokens, which have to be read as text.
        return [
            self._leading(has_bos, ended) + encode_marked(self.tokenizer, text) if MARK in text else row
            for text, row in zip(texts, rows, strict=True)
        ]

    def _leading(self, has_bos: bool, ended: int) -> list[int]:
        """Returns the special tokens that the tokenizer puts before a prompt."""
        bare, whole = (
            self.tokenizer("a", add_special_tokens=adds, return_attention_mask=False)["input_ids"]
            for adds in (False, not has_bos)
        )
        return list(whole[: len(whole) - len(bare) - ended])

    def _check_start(self) -> None:
        """Raises InputError if not all prompts begin with the same token."""
        samples = [self._before + text + self._after for text in self.text.samples()]
        if len({tuple(tokens[:1]) for tokens in self.encode(samples)}) > 1:
            raise InputError(
                f"{self.text.template.key} of prompt={self.text.name} begins with a text that depends on the user. "
                "Begin it with a fixed word"
            )


def _frame(text: PromptText, tokenizer: PreTrainedTokenizerBase) -> tuple[str, str, int]:
    """Returns the markup before and after the text, and the token that ends a response."""
    if text.is_chat:
        turn = chat_turn(tokenizer)
        return turn.before, turn.after, turn.end_token
    if tokenizer.eos_token_id is None:
        raise InputError(
            "the tokenizer has no EOS token, which has to end every response. Set tokenizer.eos_token and save it again"
        )
    return "", "", int(tokenizer.eos_token_id)
