"""The text of the prompts of task rerank."""

from llmrec.prompts.text import SAMPLES, Entry, PromptText


class RerankText(PromptText):
    """Renders prompts that show a history, whose entries may have a rating, and candidates with an identifier each.

    Prompts of one list with its candidates in different orders are encoded as branches of one row, so they must begin
    with the same token.
    """

    key = "rerank"
    names = ("candidates", "rated")
    needs_fixed_start = True

    def sample_history(self) -> list[Entry]:
        return [{**entry, "rating": 3.5} for entry in SAMPLES]

    def sample_candidates(self, identifiers: str = "AB") -> list[Entry]:
        return [{**entry, "identifier": f" {text}"} for entry, text in zip(SAMPLES, identifiers, strict=True)]

    def check(self) -> None:
        super().check()
        history, candidates = self.sample_history()[:1], self.sample_candidates()
        original = self.render(history, candidates, True)
        swapped = [{**a, "title": b["title"]} for a, b in zip(candidates, candidates[::-1], strict=True)]
        if original == self.render(history, swapped, True):
            self.refuse("does not show the candidates", "{% for candidate in candidates %}... candidate.title ...")
        if original == self.render(history, self.sample_candidates("CD"), True):
            self.refuse("does not show the candidates' identifiers", "{{ candidate.identifier }} in their loop")
