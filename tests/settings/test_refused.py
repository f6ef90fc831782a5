"""Settings that cannot be used are refused in one line, before anything is opened."""

import re
from collections.abc import Iterator

import pytest

from llmrec.compose import compose_run, shipped_config
from llmrec.errors import SettingsError
from llmrec.settings.check import check_classes
from llmrec.settings.composition import COMPOSITION_ERRORS, composition_error
from llmrec.training.run_folder import resolved_config

WHOLE = "give a whole number"
REFUSED = [
    ("+objectve=msl", "objectve: did you mean objective?"),
    ("objectve=msl", "objectve: did you mean objective?"),
    ("+foo=1", "foo: there is no such setting. Choose one of adapter, backbone, "),
    ("objective.temprature=2", "objective.temprature: did you mean objective.temperature?"),
    ("++objective.temprature=2", "objective.temprature: did you mean objective.temperature?"),
    ("+trainer.epoch=2", "trainer.epoch: did you mean trainer.epochs?"),
    ("+dataset.simulator.user=20", "dataset.simulator.user: did you mean dataset.simulator.users?"),
    ("+dataset.reader.depth=2", "dataset.reader.depth: there is no such setting, because dataset.reader has none"),
    ("+objective.most_epochs=3", "objective.most_epochs was renamed. Write objective.max_epochs"),
    ("objective.temperature=-1", "objective.temperature=-1: give a number above 0 or null"),
    ("objective=gdrt objective/token_loss=msl objective.token_loss.eta=nan", "objective.token_loss.eta=nan: give a"),
    ("objective=gdrt objective.temperature=nan", "objective.temperature=nan: give a number above 0"),
    ("objective=gdrt objective.temperature=inf", "objective.temperature=inf: give a number above 0"),
    ("objective.eta=nan", "objective.eta=nan: give a number above 0 and below 1"),
    ("objective.bounds=[5,1]", "objective.bounds=[5, 1]: give a lower and an upper limit above 0"),
    ("objective.ema=2", "objective.ema=2: give a number from 0 to below 1"),
    (
        "objective._target_=llmrec.objectives.sft.SFTT",
        "objective._target_=llmrec.objectives.sft.SFTT cannot be imported",
    ),
    (
        "objective=rosepo objective/rejected=mixture objective.rejected.semantic.nearest=0",
        f"semantic.nearest=0: {WHOLE}",
    ),
    ("trainer.epochs=1.5", f"trainer.epochs=1.5: {WHOLE} of at least 0"),
    ("trainer.epochs='2'", f"trainer.epochs=2: {WHOLE}"),
    ("trainer.warmup_steps=-1", f"trainer.warmup_steps=-1: {WHOLE} of at least 0"),
    ("trainer.micro_batch_size=0", "trainer.micro_batch_size=0: give auto, a whole number of at least 1 or null"),
    ("trainer.learning_rate=abc", "trainer.learning_rate=abc: give a number above 0"),
    ("trainer.progress=1", "trainer.progress=1: give true or false"),
    ("trainer.checkpoint_minutes=0", "trainer.checkpoint_minutes=0: give a number above 0"),
    ("trainer.checkpoint_steps=0.5", f"trainer.checkpoint_steps=0.5: {WHOLE} of at least 1"),
    ("decoding.exclude_history=maybe", "decoding.exclude_history=maybe: give true or false"),
    ("decoding.beams=0", f"decoding.beams=0: {WHOLE} of at least 1"),
    ("decoding.scores=foo", "decoding.scores=foo: choose one of trie, vocab"),
    ("decoding.length_penalty=nan", "decoding.length_penalty=nan: give a number"),
    ("evaluation.users=-1", f"evaluation.users=-1: {WHOLE} of at least 1 or null"),
    ("evaluation.splits=[train]", "evaluation.splits=['train']: give [valid,test], [valid] or [test]"),
    ("seed=x", f"seed=x: {WHOLE} from 0 to 4294967295"),
    ("seed=true", f"seed=true: {WHOLE} from 0 to 4294967295"),
    ("seed='${foo.bar}'", "Interpolation key 'foo.bar' not found"),
    ("dataset.name=../../../evil", "dataset.name=../../../evil: give a name of letters, digits and . _ + -"),
    ("dataset.name=''", "dataset.name=: give a name of letters, digits and . _ + -"),
    ("dataset.name=a..b", "dataset.name=a..b: give a name of letters, digits and . _ + -"),
    ("dataset.split=[0.5,0.4,0.2]", "dataset.split=[0.5, 0.4, 0.2]: give three positive fractions"),
    ("dataset.max_history=2", "dataset.max_history=2: give at least dataset.min_history=4"),
    ("baseline=sasrec baseline.heads=3", "baseline.heads=3: give a divisor of baseline.hidden_size=64"),
    ("task=rerank task.candidates=1", f"task.candidates=1: {WHOLE} of at least 2"),
    ("~trainer.clip", "trainer.clip is not set: give a number above 0"),
    ("seed=[1", "no viable alternative at input '[1'"),
    ("objective=mls", "objective=mls: did you mean objective=msl?"),
]


@pytest.fixture(autouse=True)
def initialized() -> Iterator[None]:
    """Initializes Hydra as a run does."""
    with shipped_config():
        yield


def check(*overrides: str) -> None:
    """Checks a command's settings as a run does."""
    try:
        check_classes(resolved_config(compose_run(overrides)))
    except COMPOSITION_ERRORS as error:
        raise composition_error(error) from error


@pytest.mark.parametrize(("overrides", "message"), REFUSED)
def test_setting_is_refused_in_one_line_that_names_it(overrides: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        check(*re.split(r" (?=[\w/.]+=)", overrides))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_equal_numbers_of_another_type_are_accepted() -> None:
    settings = resolved_config(compose_run(["seed=42.0", "trainer.weight_decay=0", "trainer.clip=1"]))
    assert repr(settings["seed"]) == "42"
    assert repr(settings["trainer"]["weight_decay"]) == "0.0"
    assert repr(settings["trainer"]["clip"]) == "1.0"
