"""The text of the prompts of task next_item."""

from llmrec.prompts.text import SAMPLES, Entry, PromptText


class NextItemText(PromptText):
    """Renders prompts that show a history."""

    key = "next_item"

    def sample_history(self) -> list[Entry]:
        return list(SAMPLES)
