"""Commands refuse settings in one line, with exit status 2, before they open or write anything."""

from pathlib import Path

import pytest

from tests.cli.commands import Done, Workplace
from tests.tiers import rest_slow

RUN, SWEEP = ("llmrec.run",), ("llmrec.run", "-m", "objective=sft,msl")
SEARCH = ("llmrec.run", "-m", "experiment=search")
REFUSED = [
    ((*RUN, "+objectve=msl"), "objectve: did you mean objective?"),
    ((*RUN, "objectve=msl"), "objectve: did you mean objective?"),
    (
        (*RUN, "objective.bounds=[5,1]"),
        "objective.bounds=[5, 1]: give a lower and an upper limit above 0, as in [1.5,5]",
    ),
    ((*RUN, "dataset.name=../../../evil"), "dataset.name=../../../evil: give a name of letters, digits and . _ + -, "),
    ((*SWEEP, "trainer.epochs=1,1.5"), "trainer.epochs=1.5: give a whole number of at least 0"),
    ((*SWEEP, "+trainer.epoch=1,2"), "trainer.epoch: did you mean trainer.epochs?"),
    ((*SWEEP, "decoding.beams=10,0"), "decoding.beams=0: give a whole number of at least 1"),
    ((*SWEEP, "objective.ema=0.5"), "objective.ema: the options that are chosen have no such setting"),
    (
        ("llmrec.semantic_ids", "dataset=games", "out=a.json", "dataset.sorce=real"),
        "dataset.sorce: did you mean dataset.s",
    ),
    (("llmrec.prepare", "path=.", "dataset.reader.depth=2"), "dataset.reader.depth: there is no such setting, because"),
    ((*SEARCH, "search.trials=x"), "search.trials=x: give a whole number of at least 1"),
    (("llmrec.reproduce", "sclae=smoke"), "sclae: did you mean scale?"),
    (("llmrec.report", "tabels=all"), "tabels: did you mean tables?"),
    (("llmrec.report", "out="), "out=: this is no folder. Give the folder to write the report to"),
    (("llmrec.report", "runs=nowhere"), "runs=nowhere: there is no such folder. Give the folder of the records"),
    ((*RUN, "+hydra.foo=1"), "hydra.foo: there is no such setting. Choose one of callbacks, "),
    ((*RUN, "+hydra.job.foo=1"), "hydra.job.foo: there is no such setting. Choose one of chdir, "),
    ((*RUN, "--foo"), "--foo: there is no such flag. Write settings as key=value"),
    ((*RUN, "--config-name"), "argument --config-name/-cn: expected one argument. Write settings as key=value"),
    (("llmrec.run", "trainer.epochs=1.5", "-m", "seed=1,2"), "trainer.epochs=1.5: give a whole number of at least 0"),
    (
        (*SEARCH, "objective.temperature=interval(-1,-2)"),
        "objective.temperature=interval(-1,-2): this is no range. Give the lower limit first, and limits above 0",
    ),
    (
        (*SEARCH, "objective.temperature=tag(log,interval(0,2))"),
        "objective.temperature=tag(log,interval(0,2)): this is",
    ),
    (("llmrec.diagnose", "user=3"), "user: did you mean users?"),
]


@pytest.mark.parametrize(("command", "message"), rest_slow(REFUSED, kept=10))
def test_setting_is_refused_in_one_line(command: tuple[str, ...], message: str, tmp_path: Path) -> None:
    place = Workplace(tmp_path, tmp_path / "cache")
    done = place.run(*command)
    assert done.status == 2, done.output
    (line,) = done.output.splitlines()
    assert line.startswith(f"llmrec: {message}")
    # Hydra's sweeper writes the overrides before the jobs are planned.
    assert {path.name for path in place.runs.rglob("*")} <= {"multirun.yaml"}
    assert not place.cache.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb", "not valid YAML: while parsing a flow sequence in "),
        ("- a\n- b\n", "objective=['a', 'b']: give keys and values, with _target_ naming a class"),
    ],
)
def test_a_yaml_of_ones_own_that_cannot_be_read_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine/objective").mkdir(parents=True)
    (tmp_path / "mine/objective/own.yaml").write_text(text)
    done = Workplace(tmp_path, tmp_path / "cache").run("llmrec.run", "--config-dir", "mine", "objective=own")
    assert done.status == 2, done.output
    (line,) = done.output.splitlines()
    assert line.startswith(f"llmrec: {message}")


@pytest.mark.parametrize(
    ("command", "override", "message"),
    [
        ("evaluate", "decoding.beams=0", "decoding.beams=0: give a whole number of at least 1"),
        ("evaluate", "decoding.beam=3", "decoding.beam: did you mean decoding.beams?"),
        ("evaluate", "evaluation.user=3", "evaluation.user: did you mean evaluation.users?"),
        ("evaluate", "decodng.beams=3", "decodng: did you mean decoding?"),
        ("evaluate", "evaluation.users=-1", "evaluation.users=-1: give a whole number of at least 1 or null"),
        ("measure", "metrics.own=3", "metrics.own: there is no such setting"),
        ("measure", "dataset.reference.relevance=3", "dataset.reference.relevance=3: give text, not empty or null"),
        ("diagnose", "decoding.length_penalty=nan", "decoding.length_penalty=nan: give a number"),
        ("recommend", "decoding.exclude_history=maybe", "decoding.exclude_history=maybe: give true or false"),
    ],
)
def test_setting_of_a_stored_run_is_refused(
    command: str, override: str, message: str, trained: tuple[Workplace, Done]
) -> None:
    place, run = trained
    history = ['history=["A"]'] if command == "recommend" else []
    done = place.run(f"llmrec.{command}", f"run={run.run()}", *history, override)
    assert done.status == 2, done.output
    assert done.last_line().startswith(f"llmrec: {message}")
    assert "Traceback" not in done.output
