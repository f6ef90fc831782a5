"""The arguments of llmrec.prepare reach the reader as they were typed."""

import pytest

from llmrec.prepare_arguments import parse_arguments


@pytest.mark.parametrize(
    "text",
    [
        "orders 2024",
        "it's",
        'say "x"',
        "SELECT * FROM orders WHERE sku LIKE '%\\_%' ESCAPE '\\'",
        "a\\b",
        "two\\\\",
        "a\\'b",
        "[a, {b: c}]",
        "",
    ],
)
def test_texts_are_taken_verbatim(text: str) -> None:
    reader = parse_arguments([f"interactions={text}", f"columns.user={text}"], None).reader
    assert (reader["interactions"], reader["columns"]["user"]) == (text, text)
