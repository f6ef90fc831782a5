"""Prints the learning rate of the run with the best validation figure among those of an objective.

python experiments/gpu/choose_rate.py runs/<dataset> <objective>
"""

import json
import sys
from pathlib import Path

from omegaconf import OmegaConf


def main(folder: str, objective: str) -> None:
    """Looks at all finished runs below the folder."""
    found = {}
    for file in Path(folder).glob(f"next_item/*/{objective}/*/training.json"):
        chosen_by = json.loads(file.read_text())["chosen_by"]["valid/ndcg@10"]
        rate = float(OmegaConf.load(file.with_name("config.yaml")).trainer.learning_rate)
        print(f"{objective} {rate:g}: validation NDCG@10 {chosen_by:.4f}", file=sys.stderr)
        found[rate] = chosen_by
    print(max(found, key=lambda rate: (found[rate], -rate)) if found else 3e-4)


if __name__ == "__main__":
    main(*sys.argv[1:])
