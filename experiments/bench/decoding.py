"""Bench arm: the 10 best titles of Books for 24 users, batch 8, vocabulary 4,096.

python experiments/bench/decoding.py vocab|trie|huggingface|prefill

huggingface: generate with a prefix constraint looked up in a plain dict; prefill: one plain forward pass of the
prompts, which any way of decoding needs.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from workload import BATCH, SMALL_VOCABULARY, dataset_and_config, random_llama

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.tiny import train_tokenizer
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.session import SharedPrefix
from llmrec.examples.next_item import NextItemData
from llmrec.prompts.next_item_pretraining import NextItemTexts
from llmrec.prompts.next_item_text import NextItemText

USERS, BEAMS = 24, 10
Found = list[tuple[list[int], list[float]]]
"""Titles and scores of each user, best first."""


class DecoderCalls:
    """Counts the runs of a model's decoder, and times those that a batch begins with: the prefill."""

    def __init__(self, decoder: torch.nn.Module) -> None:
        self.calls, self.prefill_seconds, self.first = 0, 0.0, False
        decoder.register_forward_pre_hook(lambda *_: self._before())
        decoder.register_forward_hook(lambda *_: self._after())

    def batch_begins(self) -> None:
        """The next run is a prefill."""
        self.first = True

    def _before(self) -> None:
        self.started = time.perf_counter()

    def _after(self) -> None:
        self.calls += 1
        if self.first:
            self.prefill_seconds += time.perf_counter() - self.started
        self.first = False


def ours(backbone: Backbone, data: NextItemData, shared: np.ndarray, settings: BeamSearch) -> Callable[..., Found]:
    """llmrec's search; what the prompts share is run once, in the first batch."""
    prefix: list[SharedPrefix] = []

    def decode(prompts: list[np.ndarray], calls: DecoderCalls) -> Found:
        with torch.inference_mode():
            prefix.extend([SharedPrefix(backbone, shared)] if not prefix else [])
        calls.batch_begins()
        leaves, scores = search(backbone, data.trie, prompts, prefix[0], settings)
        return list(zip(data.trie.leaf_title[leaves].tolist(), scores.tolist(), strict=True))

    return decode


def huggingface(backbone: Backbone, data: NextItemData, *_: object) -> Callable[..., Found]:
    """generate(), num_beams 10, the constraint a dict from prefix to next tokens; a finished row gets EOS."""
    titles = data.titles
    following: dict[tuple[int, ...], set[int]] = {}
    for title in range(len(titles)):
        tokens = tuple(titles.of(title).tolist())
        for cut, token in enumerate(tokens):
            following.setdefault(tokens[:cut], set()).add(token)
    allowed = {prefix: sorted(tokens) for prefix, tokens in following.items()}
    title_of = {tuple(titles.of(title).tolist()): title for title in reversed(range(len(titles)))}
    pad, eos = backbone.tokenizer.pad_token_id, backbone.tokenizer.eos_token_id

    def decode(prompts: list[np.ndarray], calls: DecoderCalls) -> Found:
        ids = _padded(prompts, pad, side="left")
        width = ids.shape[1]
        calls.batch_begins()
        result = backbone.model.generate(
            ids, attention_mask=(ids != pad).long(), num_beams=BEAMS, num_return_sequences=BEAMS, do_sample=False,
            early_stopping=False, length_penalty=1.0, max_new_tokens=int(np.diff(titles.offsets).max()),
            prefix_allowed_tokens_fn=lambda _, row: allowed.get(tuple(row[width:].tolist()), [eos]),
            pad_token_id=pad, eos_token_id=eos, return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        new = [tuple(row[: row.index(eos) + 1]) for row in result.sequences[:, width:].tolist()]
        scores = result.sequences_scores.view(-1, BEAMS).tolist()
        found = [[title_of[tokens] for tokens in new[i : i + BEAMS]] for i in range(0, len(new), BEAMS)]
        return list(zip(found, scores, strict=True))

    return decode


def prefill(backbone: Backbone, *_: object) -> Callable[..., Found]:
    """One plain forward pass, no decoding."""

    def run(prompts: list[np.ndarray], calls: DecoderCalls) -> Found:
        calls.batch_begins()
        with torch.inference_mode():
            backbone.causal_lm.get_decoder()(input_ids=_padded(prompts, 0, side="right"), use_cache=False)
        return []

    return run


def _padded(prompts: list[np.ndarray], pad: int, side: str) -> Tensor:
    rows = [torch.from_numpy(prompt.astype(np.int64)) for prompt in prompts]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad, padding_side=side)


def main(arm: str) -> None:
    """Prints one JSON line: seconds for all users, decoder runs a batch, the prefill's share, titles and scores."""
    dataset, config = dataset_and_config("books")
    tokenizer = train_tokenizer(SMALL_VOCABULARY, NextItemTexts(NextItemText.of(config, dataset.items), dataset))
    backbone = Backbone(random_llama(len(tokenizer)).eval(), tokenizer)
    data = NextItemData(dataset, backbone, config, Path(config.paths.cache))
    prompts = data.split(dataset.test.take(np.arange(USERS))).prompts
    order = np.argsort(-prompts.lengths, kind="stable")
    batches = [[prompts.of(row) for row in order[i : i + BATCH]] for i in range(0, USERS, BATCH)]
    arms = {"vocab": ours, "trie": ours, "huggingface": huggingface, "prefill": prefill}
    settings = BeamSearch(BEAMS, "trie", 0.0) if arm == "trie" else BeamSearch(BEAMS, "vocab", 1.0)
    decode = arms[arm](backbone, data, prompts.shared_prefix(), settings)
    prefill(backbone)(batches[-1], DecoderCalls(torch.nn.Identity()))
    calls, found = DecoderCalls(backbone.causal_lm.get_decoder()), []
    start = time.perf_counter()
    for batch in batches:
        found += decode(batch, calls)
    seconds = time.perf_counter() - start
    figures = {
        "seconds": seconds,
        "users_a_second": USERS / seconds,
        "decoder_runs_a_batch": calls.calls / len(batches),
        "prefill_share": calls.prefill_seconds / seconds,
        "found": found,
        "data": dataset.name,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1])
