"""GDRT from the command line: its groups in the record, its weights over time, any token loss underneath."""

import json

import pytest

from tests.cli.commands import Done, Workplace


@pytest.mark.slow
def test_gdrt_over_msl_leaves_its_groups_and_their_weights(place: Workplace) -> None:
    done = place.train("objective=gdrt", "objective/token_loss=msl", "dataset=games", "objective.group_count=4")
    assert done.run().parent.name == "gdrt-msl"
    groups = json.loads((done.run() / "training.json").read_text())["objective"]["groups"]
    assert [group["group"] for group in groups] == [0, 1, 2, 3]
    edges = [edge for group in groups for edge in group["relevance"]]
    assert edges == sorted(edges)
    assert all({"tokens", "mean_relevance", "mean_position"} <= group.keys() for group in groups)
    logged = [line.split(",") for line in (done.run() / "curves.csv").read_text().splitlines()[1:]]
    weights = [[float(value) for _, name, value in logged if name == f"train/group_weight/{n:02d}"] for n in range(4)]
    assert all(abs(sum(step) - 1) < 1e-6 for step in zip(*weights, strict=True))
    # Once a step, and moving.
    assert all(len(set(weight)) > len(weight) // 2 > 3 for weight in weights)


@pytest.mark.slow
def test_gdrt_takes_the_weights_of_an_sft_stage_as_its_reference(swept: tuple[Workplace, Done]) -> None:
    groups = {}
    for reference in ("sft", "base"):
        done = swept[0].train("objective=gdrt", f"objective.reference={reference}", "stage=sft", "dataset=games")
        training = json.loads((done.run() / "training.json").read_text())
        assert training["stages"]["start"]
        groups[reference] = training["objective"]["groups"]
    assert groups["sft"] != groups["base"]
