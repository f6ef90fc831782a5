"""The texts on which `tiny` is pretrained for task candidates."""

from typing import Any

from llmrec.prompts.next_item_pretraining import NextItemTexts


class CandidatesTexts(NextItemTexts):
    """The prompts of the training rows with their candidates, each followed by the target's title."""

    components = ("datasets.lists",)

    @property
    def identity(self) -> Any:
        return self.dataset.report["lists"]
