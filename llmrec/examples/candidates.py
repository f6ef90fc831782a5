"""The Lightning data module of task candidates."""

import numpy as np

from llmrec.examples.next_item import NextItemData
from llmrec.prompts.candidates_text import CandidatesText


class CandidatesData(NextItemData):
    """As for task next_item, with prompts that show candidates.

    The valid tokens of a position are those of the whole catalogue's trie, not of the candidates alone (our choice).
    """

    text = CandidatesText

    def history_free_prompt(self) -> np.ndarray:
        """Returns the prompt with an empty history and no candidates, int32 [length].

        Source: our reading. It is the same for all rows, as a title's relevance to it must be.

        Raises:
            InputError: If the template has no form without history and candidates.
        """
        return self.prompt_tokenizer.without_history()
