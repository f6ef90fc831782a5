"""GPU check, stage decoding: users a second of 10 beams over Books, on the shape of Llama-3.2-1B, bf16.

python experiments/gpu/decoding.py

Random weights, the Llama-3 tokenizer. Arms: one plain forward pass of the prompts, which any decoding needs; trie and
vocab scores; Hugging Face's generate with a prefix constraint, for fewer users, since it is slow.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from shapes import DEVICE, OUT, SMALL, keep, peak_gib, random_backbone, synchronize
from workload import dataset_and_config, llama3_tokenizer

from llmrec.backbones.backbone import Backbone
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.rank import rank_titles
from llmrec.examples.next_item import NextItemData
from llmrec.prompts.prompts import Prompts

BEAMS = 10
USERS, HF_USERS, PREFILL_ROWS = (24, 4, 8) if SMALL else (1024, 16, 128)


def plain_forward(backbone: Backbone, prompts: Prompts) -> None:
    """The prompts through the model once, in right-padded batches."""
    order = np.argsort(-prompts.lengths, kind="stable")
    with torch.inference_mode(), backbone.autocast():
        for start in range(0, len(order), PREFILL_ROWS):
            rows = [torch.from_numpy(prompts.of(row).astype(np.int64)) for row in order[start : start + PREFILL_ROWS]]
            tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(DEVICE)
            backbone.causal_lm.get_decoder()(input_ids=tokens, use_cache=False)


def huggingface(backbone: Backbone, data: NextItemData) -> Callable[[Prompts], None]:
    """generate() with the constraint in a dict from prefix to next tokens."""
    following: dict[tuple[int, ...], set[int]] = {}
    for title in range(len(data.titles)):
        tokens = tuple(data.titles.of(title).tolist())
        for cut, token in enumerate(tokens):
            following.setdefault(tokens[:cut], set()).add(token)
    allowed = {prefix: sorted(tokens) for prefix, tokens in following.items()}
    eos = backbone.tokenizer.eos_token_id

    def decode(prompts: Prompts) -> None:
        rows = [torch.from_numpy(prompts.of(row).astype(np.int64)) for row in range(len(prompts))]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=eos, padding_side="left")
        width = ids.shape[1]
        mask = torch.arange(width) >= width - torch.from_numpy(prompts.lengths)[:, None]
        with backbone.autocast():
            backbone.causal_lm.generate(
                ids.to(DEVICE), attention_mask=mask.long().to(DEVICE), num_beams=BEAMS, num_return_sequences=BEAMS,
                do_sample=False, early_stopping=False, length_penalty=1.0, eos_token_id=eos, pad_token_id=eos,
                max_new_tokens=int(np.diff(data.titles.offsets).max()),
                prefix_allowed_tokens_fn=lambda _, row: allowed.get(tuple(row[width:].tolist()), [eos]),
            )  # fmt: skip

    return decode


def main() -> None:
    """Measures the arms, one after another."""
    OUT.mkdir(parents=True, exist_ok=True)
    dataset, config = dataset_and_config("books")
    backbone = random_backbone(llama3_tokenizer(dataset, config), adapted=False).eval()
    data = NextItemData(dataset, backbone, config, Path(config.paths.cache))
    prompts = data.split(dataset.test.take(np.arange(USERS))).prompts

    def ours(settings: BeamSearch) -> Callable[[Prompts], None]:
        return lambda prompts: rank_titles(backbone, data.trie, prompts, settings, progress=batches.append) and None

    batches: list[int] = []
    arms: dict[str, tuple[int, Callable[[Prompts], None]]] = {
        "plain forward": (USERS, lambda prompts: plain_forward(backbone, prompts)),
        "trie": (USERS, ours(BeamSearch(BEAMS, "trie", 0.0))),
        "vocab": (USERS, ours(BeamSearch(BEAMS, "vocab", 1.0))),
        "huggingface": (HF_USERS, huggingface(backbone, data)),
    }
    for name, (users, run) in arms.items():
        run(prompts.take(np.arange(min(users, 4))))
        batches.clear()
        if DEVICE.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        synchronize()
        started = time.perf_counter()
        run(prompts.take(np.arange(users)))
        synchronize()
        seconds = time.perf_counter() - started
        keep("decoding", {"arm": name, "users": users, "users_s": users / seconds, "batches": [*batches],
                          "peak_gib": peak_gib()})  # fmt: skip


if __name__ == "__main__":
    main()
