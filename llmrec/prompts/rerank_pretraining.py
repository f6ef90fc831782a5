"""The texts on which `tiny` is pretrained for task rerank."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from transformers import PreTrainedTokenizerBase

from llmrec.datasets.dataset import draw
from llmrec.prompts.pretraining import PretrainingTexts
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.prompts import Prompts
from llmrec.prompts.rerank import rankings, render_lists_frame


class RerankTexts(PretrainingTexts):
    """The prompts of the training lists, each followed by its target ranking."""

    components = ("datasets.lists",)

    @property
    def identity(self) -> Any:
        return self.dataset.report["lists"]

    @property
    def emphasized_tokens(self) -> int:
        # In a single mean, the few tokens that teach the comparison of candidates would hardly count.
        return 1 + self.dataset.lists["train"].candidates.shape[1]

    def frame(self) -> str:
        return render_lists_frame(self.prompt, self.dataset.lists["train"])

    def rows(self, tokenizer: PreTrainedTokenizerBase, backbone: DictConfig, cache_dir: Path) -> Prompts:
        settings, lists = backbone.pretraining, self.dataset.lists["train"]
        lists = lists.take(draw(len(lists), settings.rows, settings.seed))
        return rankings(Prompt(self.prompt, tokenizer), lists, self.dataset.items, backbone.max_length)
