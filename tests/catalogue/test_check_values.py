"""The published sets with the Llama-3 tokenizer: mean number of valid tokens, fan-out of the root, forced share."""

import os
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from llmrec.catalogue.titles import tokenize_titles
from llmrec.catalogue.trie import build_trie
from llmrec.datasets.readers.msl_tables import read_rows, read_titles
from tests.prompts.shipped import PROMPT_END


def measured(name: str) -> tuple[str, int, str]:
    """Returns mean fan-out, the root's fan-out and the share of forced tokens over train_10000's responses with EOS."""
    folder = Path(os.environ["LLMREC_DATA"]) / name
    tokenizer = AutoTokenizer.from_pretrained(Path(os.environ["LLMREC_TOKENIZERS"]) / "llama3")
    items = read_titles(folder / "id2name4Rec.json")
    targets = items.title_of[read_rows(folder / "train_10000.csv", items).target]
    titles = tokenize_titles(tokenizer, items.distinct_titles, PROMPT_END, tokenizer.eos_token_id)
    trie, path = build_trie(titles)
    starts, ends = titles.offsets[targets], titles.offsets[targets + 1]
    on_path = np.concatenate([path[start:end] for start, end in zip(starts, ends, strict=True)])
    fan_out = trie.fan_out.numpy()
    return f"{fan_out[on_path].mean():.2f}", int(fan_out[0]), f"{(fan_out[on_path] == 1).mean():.3f}"


@pytest.mark.llama3_tokenizer
@pytest.mark.real_data("books")
def test_books() -> None:
    assert measured("books") == ("70.90", 64, "0.770")


@pytest.mark.llama3_tokenizer
@pytest.mark.real_data("office")
def test_office() -> None:
    assert measured("office") == ("8.97", 24, "0.843")


@pytest.mark.llama3_tokenizer
@pytest.mark.real_data("games")
def test_games() -> None:
    assert measured("games") == ("77.27", 50, "0.599")
