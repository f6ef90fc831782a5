"""What `llmrec.prepare` does with the generic layout, in plain pandas.

python prepare_pandas.py FOLDER csv|parquet OUT
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

K_CORE, MIN_HISTORY, MAX_HISTORY = 5, 4, 10
SHARES = (0.8, 0.9)
"""Ends of train and valid."""


def read(folder: Path, kind: str) -> pd.DataFrame:
    """Reads and checks interactions; users and items become categories."""
    text = {"user": str, "item": str}
    if kind == "csv":
        events = pd.read_csv(folder / "interactions.csv", dtype=text)
        items = pd.read_csv(folder / "items.csv", dtype=str)
    else:
        events, items = (pd.read_parquet(folder / f"{stem}.parquet") for stem in ("interactions", "items"))
    if events.isna().any(axis=None) or items.item.duplicated().any() or not events.item.isin(items.item).all():
        raise ValueError("malformed")
    if not events.rating.between(0, 10, inclusive="right").all():
        raise ValueError("ratings out of range")
    return events.assign(
        user=events.user.astype("category"), item=pd.Categorical(events.item, items.item), rating=events.rating
    )


def k_core(events: pd.DataFrame) -> pd.DataFrame:
    """Filters users and items until each has K_CORE events."""
    while True:
        users, items = events.user.value_counts(), events.item.value_counts()
        kept = (events.user.map(users).astype(int) >= K_CORE) & (events.item.map(items).astype(int) >= K_CORE)
        if kept.all():
            return events
        events = events[kept]


def windows(events: pd.DataFrame) -> pd.DataFrame:
    """Makes a row of each event with MIN_HISTORY events before it; events are ordered by user and time."""
    before = events.groupby("user", observed=True).cumcount().to_numpy()
    target = np.flatnonzero(before >= MIN_HISTORY)
    start = target - np.minimum(before[target], MAX_HISTORY)
    item = events.item.cat.codes.to_numpy()
    rows = events.iloc[target][["user", "timestamp"]].assign(target=item[target])
    return rows.assign(history=[item[first:last] for first, last in zip(start, target, strict=True)])


def main() -> None:
    """Prepares and writes the splits, the interactions and their counts."""
    folder, kind, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    events = read(folder, kind)
    duplicates = int(events.duplicated().sum())
    core = k_core(events).sort_values(["user", "timestamp"], kind="stable", ignore_index=True)
    rows = windows(core).sort_values("timestamp", kind="stable")
    bounds = [0, *(int(len(rows) * share) for share in SHARES), len(rows)]
    out.mkdir(parents=True)
    seen: set[int] = set()
    for split, first, last in zip(("train", "valid", "test"), bounds, bounds[1:], strict=False):
        part = rows.iloc[first:last]
        print(split, len(part), "cold", int((~part.target.isin(seen)).sum()), "users", part.user.nunique())
        if split == "train":
            seen = set(part.target.unique()) | set(np.unique(np.concatenate(part.history.to_list())))
        part.to_parquet(out / f"{split}.parquet")
    core.to_parquet(out / "interactions.parquet")
    print("duplicates", duplicates)


if __name__ == "__main__":
    main()
