"""Bench arm: how long the rejected samplers that need no decoding take over games, 10,000 rows.

python experiments/bench/rejected.py
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from workload import dataset_and_config, preparation, random_llama

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.tiny import train_tokenizer
from llmrec.examples.next_item import NextItemData
from llmrec.objectives.rejected.popularity import Popularity
from llmrec.objectives.rejected.semantic import Semantic
from llmrec.objectives.sft import SFT
from llmrec.prompts.next_item_pretraining import NextItemTexts
from llmrec.prompts.next_item_text import NextItemText

SAMPLERS = {
    "popularity": Popularity(),
    "uniform": Popularity(alpha=0.0),
    "semantic, to the history": Semantic(),
    "semantic, to the target": Semantic(to="chosen"),
}
SIZE = 128
"""Of an embedding, as tiny's."""


def main() -> None:
    """Prints one JSON line: seconds of each sampler; the embeddings are given."""
    dataset, config = dataset_and_config("games", "dataset.train_samples=10000")
    tokenizer = train_tokenizer(4_096, NextItemTexts(NextItemText.of(config, dataset.items), dataset))
    backbone = Backbone(random_llama(len(tokenizer)), tokenizer)
    data = NextItemData(dataset, backbone, config, Path(config.paths.cache))
    data.setup_training(SFT(), dataset.valid.take(np.arange(1)))
    vectors = np.random.default_rng(0).normal(size=(len(data.titles), SIZE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shown = replace(preparation(backbone, data, Path(config.paths.cache)), embed_titles=lambda *_: vectors)
    seconds = {}
    for name, sampler in SAMPLERS.items():
        start = time.perf_counter()
        sampler.sample(shown, np.arange(len(data.sample.rows)), 1)
        seconds[name] = time.perf_counter() - start
    print(
        json.dumps(
            {
                "seconds": seconds,
                "rows": len(data.sample.rows),
                "titles": len(data.titles),
                "data": dataset.name,
            }
        )
    )


if __name__ == "__main__":
    main()
