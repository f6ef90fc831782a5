"""The texts on which `tiny` is pretrained for task next_item."""

from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from transformers import PreTrainedTokenizerBase

from llmrec.catalogue.cached import load_catalogue
from llmrec.datasets.dataset import draw
from llmrec.prompts.next_item import PromptTokenizer, prompt_limit
from llmrec.prompts.pretraining import PretrainingTexts
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.prompts import Prompts


class NextItemTexts(PretrainingTexts):
    """The prompts of the training rows, each followed by the target's title."""

    def frame(self) -> str:
        return self.prompt.frame()

    def rows(self, tokenizer: PreTrainedTokenizerBase, backbone: DictConfig, cache_dir: Path) -> Prompts:
        prompt, items = Prompt(self.prompt, tokenizer), self.dataset.items
        titles, _, _ = load_catalogue(tokenizer, items, prompt.end, prompt.end_token, cache_dir)
        limit = prompt_limit(backbone.max_length, titles, items)
        settings, train = backbone.pretraining, self.dataset.train
        train = train.take(draw(len(train), settings.rows, settings.seed))
        prompts = PromptTokenizer(prompt, items, limit, titles.prompt_overlap, cache_dir).rows(train, items)
        targets = items.title_of[train.target]
        return Prompts.joined([np.concatenate([prompts.of(r), titles.of(title)]) for r, title in enumerate(targets)])
