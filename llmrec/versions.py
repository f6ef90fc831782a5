"""Result versions of the components that ship with llmrec.

A key holds the numbers of the components in use, not their code, as long as each of their files has the digest in
VERIFIED. `make golden` stores a new digest after it has found the component's golden values unchanged. A change that
moves the values of a component raises its number here first.
"""

from typing import Any

VERSIONS = {
    "backbones": 1,
    "backbones.gguf": 1,
    "backbones.tiny": 1,
    "baselines": 1,
    "baselines.mean_rating": 1,
    "baselines.popularity": 1,
    "baselines.random": 1,
    "baselines.sasrec": 1,
    "catalogue": 1,
    "datasets": 1,
    "datasets.lists": 1,
    "datasets.readers.generic": 1,
    "datasets.readers.movielens": 1,
    "datasets.readers.msl": 1,
    "datasets.simulator": 1,
    "decoding.catalogue_decoder": 1,
    "decoding.list_decoder": 1,
    "diagnosis": 1,
    "examples": 1,
    "metrics": 1,
    "objectives.alro": 1,
    "objectives.cdpo": 1,
    "objectives.dpo": 1,
    "objectives.gdrt": 1,
    "objectives.msl": 1,
    "objectives.oracle": 1,
    "objectives.rejected.mixture": 1,
    "objectives.rejected.popularity": 1,
    "objectives.rejected.self_hard": 1,
    "objectives.rejected.semantic": 1,
    "objectives.rosepo": 1,
    "objectives.sdpo": 1,
    "objectives.sft": 1,
    "prompts": 1,
    "ranking": 1,
    "reference": 1,
    "training": 1,
}

NEUTRAL: dict[str, Any] = {}
"""Settings that were added later, by dotted name, each with the value that leaves results as they were before."""

VERIFIED: dict[str, str] = {
    "backbones/model_files.py": "32389141a4969f8d",
    "evaluation/reference_features.py": "42252553ad6197a8",
    "evaluation/reference_model.py": "58a91926854613c4",
    "evaluation/streaming.py": "ed5fdb7b8e11510b",
    "tasks/catalogue_ranker.py": "720610e9d50040a3",
    "tasks/catalogue_validation.py": "408fced60f540c4c",
    "tasks/list_validation.py": "3cbf7b49053f7498",
    "training/early_stopping.py": "31ae4b88c3fa7760",
    "training/memory.py": "916d7a8ee86903f3",
    "training/module.py": "ef2df1458bf1e821",
    "training/preparation.py": "b48f0d338a171140",
    "training/sharded.py": "f6f5cb83dbd07634",
    "training/train.py": "9456e089d9963cdc",
}
"""The digest of each file when the golden values of its components were last found unchanged."""
