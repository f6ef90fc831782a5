"""Prints the learning rate of the run with the best validation figure among the finished ones of an objective.

python experiments/gpu/choose_rate.py runs/<dataset> <objective> valid/ndcg@10 | valid/loss

A run's figure is its best over the epochs. Exits with 1 where no run is finished.
"""

import csv
import sys
from pathlib import Path

from omegaconf import OmegaConf


def main(folder: str, objective: str, metric: str) -> None:
    """Looks at all finished runs below the folder whose backbone is pretrained."""
    sign = -1 if metric.endswith("loss") else 1
    found = {}
    for file in Path(folder).glob(f"next_item/smollm2*/{objective}/*/training.json"):
        rate = float(OmegaConf.load(file.with_name("config.yaml")).trainer.learning_rate)
        curves = file.with_name("curves.csv")
        # An untuned model has none.
        lines = curves.read_text().splitlines() if curves.is_file() else []
        values = [sign * float(row["value"]) for row in csv.DictReader(lines) if row["metric"] == metric]
        if values:
            print(f"{objective} {rate:g}: {metric} {sign * max(values):.4f}", file=sys.stderr)
            found[rate] = max(values)
    if not found:
        sys.exit(f"no run of {objective} below {folder} is finished")
    print(max(found, key=lambda rate: (found[rate], -rate)))


if __name__ == "__main__":
    main(*sys.argv[1:])
