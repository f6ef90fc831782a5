"""Prints the smallest differences that evaluations can show, from the records of runs that there are.

    python experiments/power.py

A difference is shown if a two-sided test at 5 % finds it with a probability of 80 %: it is then 2.80 standard errors of
the paired difference, clustered by user. The standard error is that of one pair of records and is extrapolated to other
numbers of rows by their square root. It holds for one seed a side; how much smaller it is with more is not estimated.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

from llmrec.tables.paired_runs import Evaluation, compare_evaluations, read_evaluation
from llmrec.tables.records import read_archives

SHOWN = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
"""A difference that is shown, in standard errors."""
TEST_ROWS = {"office": 1_925, "games": 14_940}
"""Number of test rows of the sets as they are published."""


@dataclass(frozen=True)
class Claim:
    """A gain that a paper claims, and the records whose variance is taken for that of its test.

    Attributes:
        text: What is claimed.
        metric: Path of the metric in a record.
        gain: The published relative change; None if it is not known to us.
        archive: Name of the archive of records.
        dataset: Name of the dataset.
        model: Folder of the backbone.
        objective: Folder of the objective.
    """

    text: str
    metric: str
    gain: float | None
    archive: str
    dataset: str
    model: str
    objective: str


COLUMNS = (
    "claim", "metric", "set, model of the records", "rows", "SFT", "published", "shown with these rows",
    "with all rows",
    "rows for half of the gain",
)  # fmt: skip
NDCG, MGU = "by_title.ndcg@10", "fairness.popularity.mgu@5"
PRETRAINED = "smollm2-135m-instruct-q4_1-lora"
CLAIMS = [
    *(Claim("MSL over SFT", NDCG, 0.42, "gpu_h100_office_games", name, PRETRAINED, "msl") for name in TEST_ROWS),
    *(Claim("MSL over SFT", NDCG, 0.42, f"objectives_{name}", name, "tiny", "msl") for name in TEST_ROWS),
    *(Claim("GDRT over SFT", NDCG, 0.24, f"objectives_{name}", name, "tiny", "gdrt-sft") for name in TEST_ROWS),
    *(Claim("GDRT over SFT", MGU, -0.37, f"objectives_{name}", name, "tiny", "gdrt-sft") for name in TEST_ROWS),
    *(
        Claim("RosePO over SFT", metric, None, f"objectives_{name}", name, "tiny", "rosepo-sasrec-self_hard")
        for metric in (NDCG, MGU)
        for name in TEST_ROWS
    ),
    *(
        Claim(text, metric, gain, "claims_games", "games", "tiny", objective)
        for text, metric, gain, objective in (
            ("MSL over SFT", NDCG, 0.42, "msl"),
            ("GDRT over SFT", NDCG, 0.24, "gdrt-sft"),
            ("GDRT over SFT", MGU, -0.37, "gdrt-sft"),
            ("RosePO over SFT", NDCG, None, "rosepo-sasrec-self_hard"),
            ("RosePO over SFT", MGU, None, "rosepo-sasrec-self_hard"),
        )
    ),
]


def evaluation(claim: Claim, objective: str) -> Evaluation:
    """Returns the test evaluation of an objective in a claim's archive; of several seeds, the first."""
    (archive,) = [each.folder for each in read_archives() if Path(each.name).name == f"{claim.archive}.tar.gz"]
    runs = archive / claim.dataset / "next_item" / claim.model / objective
    ranking = min(runs.glob("*/rankings/*"))
    return read_evaluation(ranking.parents[1], ranking, "test")


def described(claim: Claim) -> str:
    """Returns a claim's row of the table."""
    first, reference = evaluation(claim, claim.objective), evaluation(claim, "sft")
    found = compare_evaluations(first, reference, claim.metric)
    value = reference.record["splits"]["test"]
    for key in claim.metric.split("."):
        value = value[key]
    smallest, whole = SHOWN * found.standard_error, TEST_ROWS[claim.dataset]
    with_all = smallest * (found.rows / whole) ** 0.5
    gain, needed = "not known", ""
    if claim.gain is not None:
        rows = found.rows * (smallest / (claim.gain * value / 2)) ** 2
        gain, needed = f"{claim.gain:+.0%}", f"{rows:,.0f} of {whole:,}"
    cells = [
        claim.text,
        claim.metric,
        f"{claim.dataset}, {claim.model.removesuffix('-lora')}",
        f"{found.rows:,}",
        f"{value:.4f}",
        gain,
        *(f"{difference:.4f} ({difference / value:.0%})" for difference in (smallest, with_all)),
        needed,
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Prints the table in Markdown."""
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for claim in CLAIMS:
        print(described(claim), flush=True)


if __name__ == "__main__":
    main()
