"""The interface of the texts on which `tiny` is pretrained."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import DictConfig
from transformers import PreTrainedTokenizerBase

from llmrec.datasets.dataset import Dataset
from llmrec.prompts.prompts import Prompts
from llmrec.prompts.text import PromptText


class PretrainingTexts(ABC):
    """A task's training prompts, each followed by its response.

    Attributes:
        components: Components (see `llmrec.components`) that determine the texts besides the class's own module.
        prompt: The text of the prompts.
        dataset: The dataset.
    """

    components: ClassVar[Sequence[str]] = ()

    def __init__(self, prompt: PromptText, dataset: Dataset) -> None:
        self.prompt, self.dataset = prompt, dataset

    @property
    def identity(self) -> Any:
        """What determines the texts besides the prompt, the dataset and the code, as JSON types."""
        return None

    @property
    def emphasized_tokens(self) -> int:
        """Number of tokens at the end of each text whose mean loss is added to the mean over all tokens."""
        return 0

    @abstractmethod
    def frame(self) -> str:
        """Renders the part that all texts share: a prompt without titles and ratings, and the fixed parts after it."""

    @abstractmethod
    def rows(self, tokenizer: PreTrainedTokenizerBase, backbone: DictConfig, cache_dir: Path) -> Prompts:
        """Tokenizes a sample of the texts.

        Args:
            tokenizer: The tokenizer of the model.
            backbone: The config group `backbone` (`max_length`, and `rows` and `seed` of the pretraining).
            cache_dir: llmrec's cache folder.

        Raises:
            InputError: If a text does not fit `max_length`.
        """
