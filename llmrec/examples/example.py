"""The base class of training examples: what an objective can make branches of in any task."""

from collections.abc import Sequence

import numpy as np
import torch

from llmrec.errors import InputError
from llmrec.examples.training_data import TrainingData
from llmrec.objectives.batch import FREE_TEXT, Branch, Response


class TrainingExample:
    """A row of the training sample; see `llmrec.objectives.batch.Example`.

    Attributes:
        data: The data module of the run's task.
        index: Index of the row in the training sample.
    """

    def __init__(self, data: TrainingData, index: int) -> None:
        self.data, self.index = data, index

    @property
    def prompt(self) -> np.ndarray:
        return self.data.sample_prompts.of(self.index)

    def generator(self) -> np.random.Generator:
        return np.random.default_rng([self.data.config.seed, self.data.epoch, self.index])

    def text_prompt(self, text: str) -> np.ndarray:
        return np.array(self.data.prompt.encode([text])[0], dtype=np.int32)

    def text_response(self, text: str) -> Response:
        prompt = self.data.prompt
        tokens = [*prompt.tokenizer(text, add_special_tokens=False)["input_ids"], prompt.end_token]
        fan_out = torch.full((len(tokens),), len(prompt.tokenizer))
        supervised = self.data.objective.supervised(fan_out).numpy()
        return Response(np.array(tokens, dtype=np.int32), np.full(len(tokens), FREE_TEXT), supervised)

    def title(self, title: int) -> Response:
        raise InputError(
            "an objective asks for a title as a response, which exists in task=next_item and candidates only"
        )

    def prompt_for(self, titles: Sequence[str]) -> np.ndarray:
        raise InputError(
            "an objective asks for the prompt of another history, which exists in task=next_item and candidates only"
        )

    def in_order(self, order: np.ndarray) -> Branch:
        raise InputError("an objective asks for another order of candidates, which exists in task=rerank only")
