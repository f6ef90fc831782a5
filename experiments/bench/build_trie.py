"""Bench arm: titles are tokenised as they occur after the prompt and made into a trie.

python experiments/bench/build_trie.py games|million
"""

import json
import sys
import time
from itertools import islice, product

from workload import dataset_and_config, llama3_tokenizer, peak_megabytes

from llmrec.catalogue.titles import tokenize_titles
from llmrec.catalogue.trie import build_trie
from llmrec.datasets.dataset import Dataset
from llmrec.prompts.next_item_text import NextItemText
from llmrec.prompts.prompt import Prompt

GAMES, MILLION = 17_256, 1_000_000
FIRST = ("Quiet", "Burning", "Hidden", "Winter", "Golden", "Broken", "Distant", "Midnight", "Iron", "Crimson")
SECOND = ("River", "Garden", "Throne", "Harbour", "Kingdom", "Letters", "Shore", "Crossing", "Empire", "Machine")
KIND = ("Racing", "Tactics", "Chronicles", "Simulator", "Quest", "Arena", "Legends", "Stories", "Puzzles", "Wars")
PLATFORM = ("PC", "Xbox 360", "PlayStation 4", "Nintendo Switch", "Wii U")
EDITION = ("", " - Collector's Edition", " [Download]", " &amp; Soundtrack")


def composed_titles(count: int) -> list[str]:
    """Distinct titles made of words, sequel numbers, platforms and editions; some are prefixes of others."""
    numbers = range(1, 2 + count // (len(FIRST) * len(SECOND) * len(KIND) * len(PLATFORM) * len(EDITION)))
    parts = product(FIRST, SECOND, KIND, numbers, PLATFORM, EDITION)
    return [f"{a} {b} {kind} {n} ({on}){edition}" for a, b, kind, n, on, edition in islice(parts, count)]


def titles_of(arm: str, dataset: Dataset) -> list[str]:
    """The titles of an arm: real ones where they are."""
    if arm == "games" and not dataset.simulated:
        return dataset.items.titles
    return composed_titles(GAMES if arm == "games" else MILLION)


def main(arm: str) -> None:
    """Prints one JSON line: seconds of both parts, nodes of the trie, peak memory and its growth."""
    dataset, config = dataset_and_config("games")
    tokenizer = llama3_tokenizer(dataset, config)
    titles, prompt = titles_of(arm, dataset), Prompt(NextItemText.of(config, dataset.items), tokenizer)
    loaded, start = peak_megabytes(), time.perf_counter()
    tokens = tokenize_titles(tokenizer, titles, prompt.end, prompt.end_token)
    tokenised = time.perf_counter()
    trie, _ = build_trie(tokens)
    built = time.perf_counter()
    figures = {
        "seconds": built - start,
        "tokenise_seconds": tokenised - start,
        "trie_seconds": built - tokenised,
        "titles": len(titles),
        "nodes": len(trie.leaf_low),
        "peak_mb": peak_megabytes(),
        "growth_mb": peak_megabytes() - loaded,
        "data": dataset.name if arm == "games" else "composed",
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1])
