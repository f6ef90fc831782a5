"""A file of item tokens for the simulated set of the golden runs."""

import json
from pathlib import Path

ITEMS = 200
"""More than the set has: llmrec ignores the others."""
CODES = 15


def save_item_tokens(file: Path) -> None:
    """Writes two tokens for each item."""
    entries = {str(item): [f"<a_{item // CODES}>", f"<b_{item % CODES}>"] for item in range(ITEMS)}
    file.write_text(json.dumps(entries), encoding="utf-8")
