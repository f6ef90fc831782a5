"""The YAML of a dataset with the words of its prompts, which llmrec.prepare writes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmrec.atomic import atomic_file
from llmrec.errors import InputError

WORDS = "words."
"""What the keys of words begin with on the command line of llmrec.prepare."""
DEFAULT_DIR = Path("mine/conf")


class DatasetYaml:
    """The YAML of a dataset in a user's config folder.

    Attributes:
        config_dir: The folder for --config-dir.
        path: The file.
        text: Its content.
    """

    def __init__(
        self, config_dir: Path | None, name: str, words: Mapping[str, str], settings: Mapping[str, Any]
    ) -> None:
        """Composes the text.

        Args:
            config_dir: The folder for --config-dir; DEFAULT_DIR if None.
            name: Name of the dataset.
            words: item, verb and, optionally, items, which is `item` with an s by default.
            settings: The settings by which the set was prepared that differ from those of shared/base.yaml.

        Raises:
            InputError: A word is missing or unknown, or another file has the path.
        """
        unknown = sorted(words.keys() - {"item", "items", "verb"})
        if unknown:
            raise InputError(f"{WORDS}{unknown[0]}: there is no such word. Give words.item, words.items or words.verb")
        missing = [word for word in ("item", "verb") if not words.get(word)]
        if missing:
            raise InputError(
                f"words.{missing[0]} is missing. Give all words, as in words.item=product words.verb=bought"
            )
        wording = {"items": f"{words['item']}s", **words}
        self.config_dir = config_dir or DEFAULT_DIR
        self.path = self.config_dir / "dataset" / f"{name}.yaml"
        self.text = "\n".join(
            [
                f"# python -m llmrec.run --config-dir {self.config_dir} dataset={name}",
                "defaults:\n  - shared/base@_here_\n  - _self_\n",
                f"name: {name}",
                "wording: {"
                + ", ".join(f"{word}: {_quoted(wording[word])}" for word in ("item", "items", "verb"))
                + "}",
                *(f"{key}: {_quoted(value)}" for key, value in settings.items()),
                "",
            ]
        )
        if self.path.exists() and self.path.read_text(encoding="utf-8") != self.text:
            raise InputError(f"{self.path} exists already: remove it, or leave out the words")

    def write(self) -> None:
        """Writes the file."""
        with atomic_file(self.path) as temporary:
            temporary.write_text(self.text, encoding="utf-8")


def _quoted(value: Any) -> str:
    # JSON is YAML. Plain words need no quotes, but yes, null and numbers would be read as something else.
    return json.dumps(value, ensure_ascii=False)
