"""The text of the prompts of task candidates."""

from llmrec.prompts.next_item_text import NextItemText
from llmrec.prompts.text import SAMPLES, Entry


class CandidatesText(NextItemText):
    """Renders prompts that show a history and candidates."""

    key = "candidates"
    names = ("candidates",)

    def sample_candidates(self, identifiers: str = "AB") -> list[Entry]:
        return list(SAMPLES)

    def check(self) -> None:
        super().check()
        history, candidates = self.sample_history()[:1], self.sample_candidates()
        if self.render(history, candidates) == self.render(history, candidates[::-1]):
            self.refuse(
                "does not show the candidates", "{% for candidate in candidates %}{{ shown(candidate.title) }}..."
            )
