"""Finds titles of a catalogue by what a user types."""

import difflib
import heapq
import re
from collections.abc import Iterable, Sequence

COMPARED = 2000
"""Number of titles that are compared with an unknown one letter by letter."""
WORDS = 8
"""Number of words of an unknown title that are looked for in all titles, the longest ones."""


class TitleIndex:
    """The distinct titles of one or several catalogues."""

    def __init__(self, titles: Iterable[str]) -> None:
        self.titles = list(dict.fromkeys(titles))
        self.known = frozenset(self.titles)
        self.folded = [title.casefold() for title in self.titles]

    def complete(self, text: str, limit: int) -> list[str]:
        """Returns titles that contain a text, in any case.

        Titles that begin with the text come first, then those in which a word begins with it; shorter ones first.
        """
        text = text.strip().casefold()
        word = re.compile(r"\b" + re.escape(text))

        def order(place: int) -> tuple[int, int, int]:
            title = self.folded[place]
            return (0 if title.startswith(text) else 1 if word.search(title) else 2), len(title), place

        found = (place for place, title in enumerate(self.folded) if text in title)
        return [self.titles[place] for place in heapq.nsmallest(limit, found, key=order)]

    def near(self, title: str, limit: int = 3) -> list[str]:
        """Returns titles that are spelled like an unknown one, the most similar first.

        Of a large catalogue, only the titles that have most words in common with it are compared.
        """
        words = heapq.nlargest(WORDS, set(re.findall(r"\w+", title.casefold())), key=len)
        shared = [(sum(word in folded for word in words), place) for place, folded in enumerate(self.folded)]
        chosen = [place for count, place in heapq.nlargest(COMPARED, shared) if count]
        if len(self.titles) <= COMPARED:
            chosen = list(range(len(self.titles)))
        return self._most_similar(title.casefold(), chosen, limit)

    def _most_similar(self, text: str, places: Sequence[int], limit: int) -> list[str]:
        by_text = {self.folded[place]: self.titles[place] for place in places}
        return [by_text[found] for found in difflib.get_close_matches(text, by_text, limit)]
