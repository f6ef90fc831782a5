"""A minimal reader of the published layout, so that metric tests do not depend on llmrec's readers."""

import csv
import json
import os
import re
from pathlib import Path

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows


def read_real(name: str, split: str) -> tuple[Items, Rows]:
    """Reads the items and one split of a real dataset in the folder LLMREC_DATA."""
    folder = Path(os.environ["LLMREC_DATA"]) / name
    title_of_id = json.loads((folder / "id2name4Rec.json").read_text(encoding="utf-8"))
    index = {item_id: position for position, item_id in enumerate(title_of_id)}
    with open(folder / f"{split}.csv", encoding="utf-8", newline="") as file:
        runs = list(csv.DictReader(file))
    windows = [[index[item_id] for item_id in re.findall(r"\d+", run["item_ids"])] for run in runs]
    rows = Rows(
        user=np.array([run["user_id"] for run in runs]),
        history=np.array([item for window in windows for item in window[:-1]], dtype=np.int32),
        offsets=np.cumsum([0, *(len(window) - 1 for window in windows)], dtype=np.int64),
        target=np.array([window[-1] for window in windows], dtype=np.int32),
        timestamp=np.array([int(run["timestamp"]) for run in runs], dtype=np.int64),
    )
    return Items(list(title_of_id), list(title_of_id.values())), rows
