"""Markdown as a file has it, and as a terminal shows it."""

from llmrec.markdown_grid import escaped, unescaped

TEXT = r"0.07 [0.04, 0.12] * a|b <i>x</i> & _y_ `z` 50 % ~ #1 C:\dir"


def test_what_is_escaped_for_markdown_is_shown_as_it_was() -> None:
    assert unescaped(escaped(TEXT)) == TEXT
    assert escaped(TEXT) != TEXT
