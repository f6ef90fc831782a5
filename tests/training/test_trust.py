"""A run folder may be somebody else's: reading it runs no code that it names, unless the command says trust=true."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from llmrec import diagnose, evaluate, installed, recommend
from llmrec.backbones.adapters import load_adapter
from llmrec.backbones.embeddings import sentence_embeddings
from llmrec.baselines.base import Baseline
from llmrec.baselines.open import open_baseline
from llmrec.errors import InputError
from llmrec.evaluation.reference_model import reference_backbone
from llmrec.stored_config import shipped_class
from llmrec.training.open_dataset import read_dataset
from llmrec.training.overrides import override
from llmrec.training.plan import read_overrides
from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from llmrec.training.stages import Stage
from llmrec.training.train import _open_oracle
from llmrec.training.work import Work
from tests.invariants.world import random_backbone
from tests.training.small import composed, resolved

MSL = "llmrec.datasets.readers.msl.MSL"
POPULARITY = "llmrec.baselines.popularity.Popularity"
OWN = """
from pathlib import Path
from llmrec.baselines.popularity import Popularity

class Mine(Popularity):
    pass

Path("RAN").touch()
"""
COMMANDS: Mapping[str, Callable[[Path, str], None]] = {
    "evaluate": lambda run, trust: evaluate._evaluate([f"run={run}", trust, "decoding.beams=3"]),
    "recommend": lambda run, trust: recommend._recommend([f"run={run}", trust, 'history=["A"]']),
    "diagnose": lambda run, trust: diagnose._diagnose([f"run={run}", trust, "users=4"]),
}


@pytest.fixture
def stored(tmp_path: Path) -> RunFolder:
    """A run's folder that holds a config alone."""
    run = RunFolder(tmp_path / "stranger")
    run.folder.mkdir()
    OmegaConf.save(resolved(tmp_path, "baseline=popularity"), run.config_file)
    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_beside_the_config_is_not_run(command: str, stored: RunFolder) -> None:
    ran = stored.folder / "ran"
    (stored.folder / "hubconf.py").write_text(f"open({str(ran)!r}, 'w')\ndef model(): pass\n")
    hub = {"_target_": "torch.hub.load", "repo_or_dir": str(stored.folder), "model": "model", "source": "local"}
    change(stored, baseline={"name": "popularity", **hub})
    where = re.escape(f"{stored.config_file}, baseline._target_: torch.hub.load")
    with pytest.raises(InputError, match=rf"{where} is refused: .*add trust=true"):
        COMMANDS[command](stored.folder, "trust=false")
    assert not ran.exists()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "llmrec.processes.process.os.system",
        "llmrec.baselines.open.hydra.utils.instantiate",
        "llmrec.baselines.open.build_baseline",
        "llmrec.baselines.base.Path",
        "llmrec.baselines.base.np",
        "llmrec.objectives.sft.SFT",
        "llmrec.nobody.Knows",
        "llmrec..Knows",
        "llmrec",
        "collections.OrderedDict",
        "",
        7,
        None,
    ],
)
def test_a_target_that_is_no_baseline_of_llmrec_is_refused(target: Any, stored: RunFolder) -> None:
    change(stored, baseline={"name": "mine", "_target_": target})
    with pytest.raises(InputError, match=r"baseline\._target_: .* is refused: it is no baseline that ships"):
        stored.config()
    assert stored.config(trust=True).baseline._target_ == target


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"rows": {"_target_": "os.system", "command": "true"}}, "baseline.rows._target_"),
        ({"rows": [1, {"a": [{"_target_": "os.system"}]}]}, "baseline.rows.1.a.0._target_"),
        ({"_args_": [{"_target_": "os.system"}]}, "baseline._args_"),
        ({"_partial_": True}, "baseline._partial_"),
        ({"rows": {"_convert_": "all"}}, "baseline.rows._convert_"),
        ({"_recursive_": False}, "baseline._recursive_"),
    ],
)
def test_a_nested_target_is_refused_at_every_depth(settings: dict[str, Any], place: str, stored: RunFolder) -> None:
    change(stored, baseline={"name": "popularity", "_target_": POPULARITY, **settings})
    with pytest.raises(InputError, match=rf"{re.escape(place)}: .* is refused.*trust=true"):
        stored.config()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "my_reader.Mine",
        "llmrec.datasets.readers.build.importlib.import_module",
        "llmrec.datasets.readers.build.build_reader",
        "llmrec.baselines.popularity.Popularity",
        7,
    ],
)
def test_a_target_that_is_no_reader_of_llmrec_is_refused(target: Any, stored: RunFolder) -> None:
    change(stored, dataset={"reader": {"_target_": target}})
    with pytest.raises(InputError, match=r"dataset\.reader\._target_: .* is refused: it is no reader that ships"):
        stored.config()
    assert stored.config(trust=True).dataset.reader._target_ == target


def test_a_target_among_the_settings_of_a_reader_is_refused(stored: RunFolder) -> None:
    change(stored, dataset={"reader": {"_target_": MSL, "columns": [{"_target_": "os.system", "command": "true"}]}})
    with pytest.raises(InputError, match=r"dataset\.reader\.columns\.0\._target_: os\.system is refused"):
        stored.config()


def test_a_shipped_reader_is_accepted_and_an_older_run_gets_the_default(stored: RunFolder) -> None:
    change(stored, dataset={"reader": {"_target_": MSL}})
    assert stored.config().dataset.reader == {"_target_": MSL}
    config = OmegaConf.load(stored.config_file)
    del config.dataset.reader
    OmegaConf.save(config, stored.config_file)
    assert stored.config().dataset.reader == {"_target_": "llmrec.datasets.readers.auto.Auto"}


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "a ${seed} b", "${llmrec.run_path:}"])
@pytest.mark.parametrize("trust", [False, True])
def test_an_interpolation_is_refused_by_name(value: str, trust: bool, stored: RunFolder) -> None:
    change(stored, dataset={"wording": {"item": value}})
    where = re.escape(f"{stored.config_file}, dataset.wording.item: {value}")
    with pytest.raises(InputError, match=rf"{where} is an interpolation"):
        stored.config(trust)


@pytest.mark.parametrize("text", ["a: [", "- 1\n", "a: !!python/object/apply:os.system [true]\n"])
def test_a_file_that_is_no_config_is_named(text: str, stored: RunFolder) -> None:
    stored.config_file.write_text(text)
    with pytest.raises(InputError, match=str(stored.config_file)):
        stored.config()


@pytest.mark.parametrize(
    ("backbone", "place"),
    [({"trust_remote_code": True}, "trust_remote_code"), ({"attention": "somebody/kernel"}, "attention")],
)
def test_code_beside_weights_is_taken_only_with_trust(backbone: dict[str, Any], place: str, stored: RunFolder) -> None:
    change(stored, backbone=backbone)
    for command in COMMANDS.values():
        with pytest.raises(InputError, match=rf"backbone\.{place}: .* is refused.*trust=true"):
            command(stored.folder, "trust=false")
    assert stored.config(trust=True).backbone[place] == backbone[place]


def test_no_override_takes_code_beside_weights(stored: RunFolder) -> None:
    with pytest.raises(InputError, match=r"backbone\.trust_remote_code=true: a trained run takes only"):
        evaluate._evaluate([f"run={stored.folder}", "backbone.trust_remote_code=true"])


def test_no_override_imports_what_a_stored_config_names(stored: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    (stored.folder / "my_trap.py").write_text("class Trap:\n    pass\n")
    monkeypatch.syspath_prepend(stored.folder)
    trap = {"_target_": "my_trap.Trap"}
    change(stored, dataset={"own": trap}, objective=trap, evaluation={"own": trap}, paths={"own": trap})
    config = stored.config()
    override(config, ["dataset.reference=null", "evaluation.users=3", "decoding.beams=3", "paths.cache=elsewhere"])
    assert "my_trap" not in sys.modules
    with pytest.raises(InputError, match=r"evaluation\.users=-1"):
        override(config, ["evaluation.users=-1"])
    assert "my_trap" not in sys.modules


def test_trust_is_true_or_false(stored: RunFolder) -> None:
    with pytest.raises(InputError, match="trust=yes: give true"):
        evaluate._evaluate([f"run={stored.folder}", "trust=yes"])


def test_a_users_own_baseline_is_fitted_by_its_command_and_opened_with_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "my_baseline.py").write_text(OWN.replace("RAN", str(ran)))
    monkeypatch.syspath_prepend(tmp_path)
    run = trained(tmp_path, "baseline=popularity", "baseline._target_=my_baseline.Mine")
    del sys.modules["my_baseline"]
    ran.unlink()
    with pytest.raises(InputError, match=r"my_baseline\.Mine is refused"):
        COMMANDS["evaluate"](run.folder, "trust=false")
    assert not ran.exists()
    COMMANDS["evaluate"](run.folder, "trust=true")
    assert ran.exists()
    assert len(list((run.folder / "rankings").iterdir())) == 2


def test_only_the_weights_of_a_baselines_folder_are_read(tmp_path: Path) -> None:
    run = trained(tmp_path, "baseline=popularity")
    config = run.config()
    change(run, baseline={"name": "popularity", "_target_": "os.system"})
    dataset = read_dataset(config)
    assert type(open_baseline(run.folder, config.baseline, dataset)).__name__ == "Popularity"
    # The settings of a run's oracle, which ranks get as JSON, are those that the run's own command composes.
    stage = Stage(run.folder, OmegaConf.to_container(config.baseline))  # type: ignore[arg-type]
    work = Work(config, run, tmp_path, {"oracle": stage}, None)
    assert isinstance(_open_oracle(Work.from_json(work.to_json()).stages["oracle"], dataset), Baseline)


def test_an_assistant_of_a_decoder_that_is_no_baseline_of_llmrec_is_refused(stored: RunFolder) -> None:
    d3 = {"_target_": "llmrec.decoding.d3_decoder.D3Decoder"}
    change(stored, decoding=d3 | {"assistant": {"name": "mine", "_target_": "os.system"}})
    with pytest.raises(InputError, match=r"decoding\.assistant\._target_: os\.system is refused: it is no baseline"):
        stored.config()
    change(stored, decoding=d3 | {"assistant": {"name": "popularity", "_target_": POPULARITY}})
    assert stored.config().decoding.assistant._target_ == POPULARITY
    change(stored, decoding={"_target_": POPULARITY})
    with pytest.raises(InputError, match=r"decoding\._target_: .* is refused: it is no decoder"):
        stored.config()


def test_an_objective_of_ones_own_is_not_needed_to_measure_a_run(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_sft.py").write_text("from llmrec.objectives.sft import SFT\n\n\nclass Mine(SFT):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    overrides = ("objective=sft", "objective._target_=my_sft.Mine", "trainer.epochs=0")
    run = trained(tmp_path, f"paths.cache={cache}", *overrides)
    del sys.modules["my_sft"]
    monkeypatch.setenv("LLMREC_CACHE", str(cache))
    for command in COMMANDS.values():
        command(run.folder, "trust=false")
    assert "my_sft" not in sys.modules


def test_shipped_baselines_are_accepted() -> None:
    for name in ("ItemKNN", "Popularity", "Random", "SASRec"):
        assert shipped_class(f"llmrec.baselines.{name.lower()}.{name}", Baseline)


def test_a_reference_model_is_no_path_of_settings(tmp_path: Path) -> None:
    evil = tmp_path / "evil.yaml"
    evil.write_text("trust_remote_code: true\nbackbone: {trust_remote_code: true}\n")
    path = str(tmp_path / "evil")
    found = reference_backbone(path, "smoke")
    assert (found["trust_remote_code"], found["path"]) == (False, path)
    assert reference_backbone("tiny", path)["trust_remote_code"] is False
    assert reference_backbone("smollm2-135m", "smoke")["path"] == "HuggingFaceTB/SmolLM2-135M"


def test_a_package_is_found_without_importing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil" / "weights").mkdir(parents=True)
    (tmp_path / "evil" / "__init__.py").write_text("raise RuntimeError")
    (tmp_path / "evil" / "weights" / "__init__.py").write_text("")
    assert installed.installed_folder("evil.weights") is None
    assert installed.installed_folder("evil") == tmp_path / "evil"


def test_an_encoder_with_code_of_its_own_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    (tmp_path / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]')
    with pytest.raises(InputError, match=r"modules\.json: evil\.Module is code that comes with the model"):
        sentence_embeddings(tmp_path, ["A"], "cpu")


def test_an_adapter_that_names_a_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"megatron_config": {"a": 1}, "megatron_core": "evil"}))
    with pytest.raises(InputError, match=r"adapter_config\.json: adapters of Megatron"):
        load_adapter(random_backbone().causal_lm, tmp_path, False)


def test_what_was_typed_is_read_as_text(tmp_path: Path) -> None:
    (tmp_path / "overrides.yaml").write_text("- paths.runs=${oc.env:NOBODY_SETS_THIS}\n- 7\n")
    assert read_overrides(tmp_path / "overrides.yaml") == ["paths.runs=${oc.env:NOBODY_SETS_THIS}", "7"]


def trained(root: Path, *overrides: str) -> RunFolder:
    """The folder of a run after its training."""
    with composed(root, *overrides) as config:
        run_configuration(config)
        return RunFolder(root / "runs" / run_path(config))


def change(run: RunFolder, **groups: Any) -> None:
    """Changes settings in the config of a run's folder; a group `baseline` is replaced as a whole."""
    config = OmegaConf.load(run.config_file)
    assert isinstance(config, DictConfig)
    for group, settings in groups.items():
        config[group] = settings if group == "baseline" else {**config[group], **settings}
    OmegaConf.save(config, run.config_file)
