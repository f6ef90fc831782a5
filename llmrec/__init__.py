"""llmrec: tunes language models as recommenders with interchangeable objectives and compares their recommendations.

The Python API is `train`, `open`, `compare` and `Run`, described in `llmrec.api`; `llmrec.hf` constrains Hugging Face's
`generate` to titles. Importing the package imports none of the heavy libraries.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmrec.api import Run, compare, open, train

__version__ = "0.1.0"
__all__ = ["Run", "compare", "open", "train"]


def __getattr__(name: str) -> Any:
    """Imports the API when one of its names is first used."""
    if name in __all__:
        return getattr(importlib.import_module("llmrec.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
