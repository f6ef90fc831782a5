"""Draws what a step of each objective consists of: docs/images/performance.svg, from results.json.

python experiments/bench/figure.py
"""

import json
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from objective_costs import PARTS

HERE = Path(__file__).parent
FILE = HERE.parents[1] / "docs" / "images" / "performance.svg"
COLORS = ("#7f7f7f", "#bcbd22", "#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd")


def draw() -> None:
    """Writes the figure: a bar an objective, in seconds, but for GRPO, whose groups make it several times as long."""
    (measured,) = json.loads((HERE / "results.json").read_text())["arms"]["objective_costs"]
    bars = {name: figures["seconds"] for name, figures in measured["objectives"].items() if "GRPO" not in name}
    # Without a salt of its own and a date, each drawing would differ from the last.
    matplotlib.rcParams["svg.hashsalt"] = "llmrec"
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    left = dict.fromkeys(bars, 0.0)
    for part, color in zip(PARTS, COLORS, strict=True):
        if any(seconds[part] > 0.001 for seconds in bars.values()):
            widths = [seconds[part] for seconds in bars.values()]
            axes.barh(list(bars), widths, left=list(left.values()), color=color, label=part)
            left = {name: left[name] + seconds[part] for name, seconds in bars.items()}
    axes.invert_yaxis()
    axes.set_xlabel("seconds of an optimizer step of 64 rows of office, tiny, two CPU cores")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FILE, metadata={"Date": None})


if __name__ == "__main__":
    draw()
