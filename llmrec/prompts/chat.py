"""The user's turn of a tokenizer's chat template, without the system message that many templates add."""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from llmrec.catalogue.titles import encode
from llmrec.errors import InputError

FIRST, ANSWER, SECOND = "First question 1.", "Answer 2.", "Second question 3."
"""The messages of the conversation from which the markup of a turn is read."""


@dataclass(frozen=True)
class ChatTurn:
    """The markup of a user's turn and of the answer's end.

    Attributes:
        before: The text before the user's message, with BOS if the template writes one.
        after: The text after it, up to where the answer begins.
        end_token: The token that ends an answer.
    """

    before: str
    after: str
    end_token: int


def chat_turn(tokenizer: PreTrainedTokenizerBase) -> ChatTurn:
    """Returns the markup of a user's turn.

    It is that of the second turn of a conversation. Templates put texts of their own, such as a default system message
    or the date, before the first turn, and many do so even after an explicit empty system message.

    Args:
        tokenizer: A tokenizer with a chat template.

    Raises:
        InputError: If the tokenizer has no chat template, or the template does not mark turns in the same way in any
            conversation.
    """
    name = tokenizer.name_or_path or "of this backbone"
    if not tokenizer.chat_template:
        raise InputError(
            f"prompt.chat_template=true: the tokenizer {name} has no chat template. Choose an instruct model, or "
            "prompt=alpaca"
        )
    conversation = [
        {"role": "user", "content": FIRST},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": SECOND},
    ]
    # The template comes with the model, and may raise any exception; transformers renders it in a sandbox.
    try:
        answered = str(tokenizer.apply_chat_template(conversation[:2], tokenize=False))
        asked = str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))
    except Exception as error:
        raise InputError(f"the chat template of the tokenizer {name} fails: {error}. Choose prompt=alpaca") from error
    end = answered.rpartition(ANSWER)[2]
    second = asked.rpartition(ANSWER)[2]
    end_token = _end_token(tokenizer, end)
    if end_token is None or not second.startswith(end) or second.count(SECOND) != 1:
        raise InputError(
            f"the chat template of the tokenizer {name} has no turns that end with a special token and look the same "
            "in any conversation. Choose prompt=alpaca"
        )
    before, _, after = second.removeprefix(end).partition(SECOND)
    bos = tokenizer.bos_token
    if isinstance(bos, str) and asked.startswith(bos) and not before.startswith(bos):
        before = bos + before
    return ChatTurn(before, after, end_token)


def _end_token(tokenizer: PreTrainedTokenizerBase, end: str) -> int | None:
    """Returns the first special token of the text that ends an answer."""
    special = set(tokenizer.get_added_vocab().values())
    return next((token for token in encode(tokenizer, [end])[0] if token in special), None)
