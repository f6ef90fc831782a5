"""What the arms measure: a dataset, simulated where the real set is absent, and a random Llama of hidden size 512."""

import os
import resource
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.tiny import train_tokenizer
from llmrec.conf_dir import conf_dir
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.load import load
from llmrec.examples.next_item import NextItemData
from llmrec.examples.rerank import RerankData
from llmrec.prompts.next_item_pretraining import NextItemTexts
from llmrec.prompts.next_item_text import NextItemText
from llmrec.tasks.base import build_task
from llmrec.training.preparation import RunPreparation

BATCH = 8
LLAMA3_VOCABULARY = 128_256
SMALL_VOCABULARY = 4_096


def dataset_and_config(name: str, *overrides: str) -> tuple[Dataset, DictConfig]:
    """A shipped dataset, real if it is under $LLMREC_DATA, and the run config that goes with it."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("config", [f"dataset={name}", "backbone.max_length=1024", *overrides])
    settings, cache_dir = OmegaConf.to_container(config.dataset, resolve=True), Path(config.paths.cache)
    loaded = load(settings, Path(config.paths.data), cache_dir)
    return build_task(config).prepare(loaded, config.dataset, cache_dir), config


def llama3_tokenizer(dataset: Dataset, config: DictConfig) -> PreTrainedTokenizerBase:
    """The real tokenizer if it is under $LLMREC_TOKENIZERS, else a small one made from the titles."""
    folder = Path(os.environ.get("LLMREC_TOKENIZERS", "tokenizers")) / "llama3"
    if folder.is_dir():
        return AutoTokenizer.from_pretrained(folder)
    return train_tokenizer(SMALL_VOCABULARY, NextItemTexts(NextItemText.of(config, dataset.items), dataset))


def random_llama(vocabulary: int) -> LlamaForCausalLM:
    """A float32 Llama of 4 layers, hidden size 512, SwiGLU of 1,376, 8 heads, input and output embeddings apart."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=512, intermediate_size=1_376, num_hidden_layers=4, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=2_048, tie_word_embeddings=False, attention_dropout=0.0,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def preparation(backbone: Backbone, data: NextItemData | RerankData, cache_dir: Path) -> RunPreparation:
    """What an objective is shown that needs neither another model nor embeddings."""
    return RunPreparation(
        backbone=backbone, open_base=lambda: backbone, trie=data.trie, data=data, cache_dir=cache_dir, stage=None,
        seed=0, embed_titles=lambda *_: np.zeros((1, 1), dtype=np.float32),
    )  # fmt: skip


def peak_megabytes() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
