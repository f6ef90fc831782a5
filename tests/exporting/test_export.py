"""Exported runs: what transformers and llmrec open gives what the run gives, without its data."""

import ast
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalTokenNotFoundError
from omegaconf import DictConfig, OmegaConf
from transformers import AutoModelForCausalLM, AutoTokenizer

import llmrec
from llmrec import export
from llmrec.backbones.load import save_trained
from llmrec.errors import InputError
from llmrec.exporting import hub
from llmrec.exporting.export_run import export_run
from llmrec.tasks.base import build_task
from llmrec.training.open_dataset import read_dataset
from llmrec.training.open_run import open_trained
from llmrec.training.recommending import Recommender
from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from tests.invariants.world import random_backbone
from tests.training.small import composed

PROMPT = "Given a list of video games, recommend one."
FAST = ("trainer.epochs=1", "objective=sft")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data, cache and runs of this file's tests."""
    return tmp_path_factory.mktemp("export")


@pytest.fixture(autouse=True)
def folders(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs look for data and cache in the workplace."""
    for name in ("data", "cache", "runs"):
        monkeypatch.setenv(f"LLMREC_{name.upper()}", str(workplace / name))


def trained(workplace: Path, *overrides: str) -> RunFolder:
    """A trained run, which later calls read."""
    with composed(workplace, *FAST, *overrides) as config:
        run_configuration(config)
        return RunFolder(workplace / "runs" / run_path(config))


@pytest.fixture
def run(workplace: Path) -> RunFolder:
    """A run that tuned all weights of `tiny`."""
    return trained(workplace)


@pytest.fixture
def adapted(workplace: Path) -> RunFolder:
    """A run that tuned an adapter of a saved model."""
    base = workplace / "base"
    if not base.exists():
        save_trained(random_backbone(), base)
    # With a high rate, so that the adapter changes the logits by more than rounding.
    rate = ("adapter.learning_rate=0.05", "backbone.max_length=200")
    return trained(workplace, "backbone=hf", f"backbone.path={base}", *rate)


def run_logits(run: RunFolder, adapter: bool = True) -> torch.Tensor:
    """The logits of the run's model after PROMPT."""
    config = run.config()
    backbone = open_trained(config, read_dataset(config), run)
    inputs = backbone.tokenizer(PROMPT, return_tensors="pt")
    with torch.no_grad():
        if adapter:
            return backbone.model(**inputs).logits
        with backbone.without_adapter():
            return backbone.model(**inputs).logits


def plain_logits(folder: Path) -> torch.Tensor:
    """The logits of what transformers opens."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model.eval()(**tokenizer(PROMPT, return_tensors="pt")).logits


def recommended(run: RunFolder, histories: Sequence[Sequence[str]]) -> list[list[Any]]:
    """The recommendations of a run, to be compared with those of another, whose scores may differ by rounding."""
    found = Recommender(run.config(), run).recommend(histories)
    return [[(one["title"], pytest.approx(one["score"], abs=1e-3), one["items"]) for one in row] for row in found]


def assert_same(run: RunFolder, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That transformers gets the run's logits, and llmrec its recommendations where there are no data."""
    torch.testing.assert_close(plain_logits(out), run_logits(run), atol=1e-5, rtol=0)
    titles = read_dataset(run.config()).items.distinct_titles
    histories = [titles[:3], ["Something else", titles[7]]]
    expected = recommended(run, histories)
    monkeypatch.setenv("LLMREC_DATA", str(out / "nowhere"))
    monkeypatch.setenv("LLMREC_CACHE", str(out.parent / "new cache"))
    opened = llmrec.open(out)
    assert opened.metrics == llmrec.open(run.folder).metrics
    found = [[(one["title"], one["score"], one["items"]) for one in row] for row in opened.recommend(histories)]
    assert found == expected
    assert len(found[0]) == 10


def test_all_weights(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_run(run, run.config(), tmp_path / "out", merge=False)
    assert_same(run, tmp_path / "out", monkeypatch)


def test_a_merged_adapter_needs_no_base(
    adapted: RunFolder, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_run(adapted, adapted.config(), tmp_path / "out", merge=True)
    assert not (tmp_path / "out" / "adapter_config.json").exists()
    change = run_logits(adapted) - run_logits(adapted, adapter=False)
    assert change.abs().max() > 1e-2
    assert_same(adapted, tmp_path / "out", monkeypatch)
    written = [file for file in (tmp_path / "out").rglob("*") if file.suffix in (".yaml", ".json", ".md")]
    assert [file for file in written if str(workplace) in file.read_text(encoding="utf-8")] == []


def test_an_adapter_refers_to_its_base(adapted: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_run(adapted, adapted.config(), tmp_path / "out", merge=False)
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert_same(adapted, tmp_path / "out", monkeypatch)


def test_an_adapter_of_a_local_base_that_has_moved(
    adapted: RunFolder, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    expected = run_logits(adapted)
    titles = read_dataset(adapted.config()).items.distinct_titles[:3]
    recommendations = recommended(adapted, [titles])
    monkeypatch.setattr("sys.argv", ["llmrec.export", f"run={adapted.folder}", f"out={tmp_path / 'out'}"])
    export.main()
    note = "The adapter needs its base model, the local folder base, which is not exported."
    assert note in capsys.readouterr().out
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert note in card
    assert 'llmrec.open("FOLDER", ["backbone.path=BASE"])' in card
    assert str(workplace) not in card

    (tmp_path / "out").rename(tmp_path / "moved")
    (workplace / "base").rename(tmp_path / "moved base")
    try:
        with pytest.raises(InputError, match=rf"backbone.path={workplace / 'base'}: .* is no folder"):
            llmrec.open(tmp_path / "moved").recommend([titles])
        opened = llmrec.open(tmp_path / "moved", [f"backbone.path='{tmp_path / 'moved base'}'"])
        assert [
            [(one["title"], one["score"], one["items"]) for one in opened.recommend([titles])[0]]
        ] == recommendations
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "moved base")
        model.load_adapter(str(tmp_path / "moved"))
        inputs = AutoTokenizer.from_pretrained(tmp_path / "moved")(PROMPT, return_tensors="pt")
        with torch.no_grad():
            torch.testing.assert_close(model.eval()(**inputs).logits, expected, atol=1e-5, rtol=0)
    finally:
        (tmp_path / "moved base").rename(workplace / "base")


def test_another_base_is_refused(adapted: RunFolder, tmp_path: Path) -> None:
    export_run(adapted, adapted.config(), tmp_path / "out", merge=False)
    other = random_backbone()
    with torch.no_grad():
        next(other.model.parameters()).add_(1)
    save_trained(other, tmp_path / "other")
    with pytest.raises(InputError, match="was trained with other base weights"):
        llmrec.open(tmp_path / "out", [f"backbone.path={tmp_path / 'other'}"]).recommend([["a"]])


def test_an_adapter_of_a_hub_model_names_no_folder(
    adapted: RunFolder, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_cache(workplace / "base", tmp_path / "hub", "somebody/base", monkeypatch)
    config = adapted.config()
    config.backbone.path = "somebody/base"
    export_run(adapted, config, tmp_path / "out", merge=False)
    written = [file for file in (tmp_path / "out").rglob("*") if file.suffix in (".yaml", ".json", ".md")]
    assert [file for file in written if str(workplace) in file.read_text(encoding="utf-8")] == []
    assert (
        json.loads((tmp_path / "out" / "adapter_config.json").read_bytes())["base_model_name_or_path"]
        == "somebody/base"
    )
    assert "needs its base model" not in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    (tmp_path / "out").rename(tmp_path / "moved")
    assert_same(adapted, tmp_path / "moved", monkeypatch)


def hub_cache(folder: Path, cache: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a saved model a downloaded one of the hub, which is not reached."""
    model = cache / f"models--{name.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    shutil.copytree(folder, model / "snapshots" / ("0" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.slow
def test_item_tokens_are_exported(
    workplace: Path, adapted: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = read_dataset(adapted.config()).items
    tokens = {name: [f"<a_{place % 7}>", f"<b_{place}>"] for name, place in zip(items.ids, items.title_of, strict=True)}
    file = workplace / "tokens.index.json"
    file.write_text(json.dumps(tokens), encoding="utf-8")
    base = ("backbone=hf", f"backbone.path={workplace / 'base'}", "backbone.max_length=200")
    run = trained(workplace, *base, "items=tokens", f"items.file={file}", "adapter.learning_rate=0.05")
    export_run(run, run.config(), tmp_path / "out", merge=True)
    assert_same(run, tmp_path / "out", monkeypatch)


def test_the_card_has_data_metrics_and_intervals(run: RunFolder, tmp_path: Path) -> None:
    export_run(run, run.config(), tmp_path / "out", merge=False)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    figures: dict[str, Any] = llmrec.open(run.folder).metrics["test"]
    value, error = figures["by_title"]["ndcg@10"], figures["by_title"]["ndcg@10_se"]
    low, high = value - 1.96 * error, value + 1.96 * error
    other = figures["popularity_baseline"]["by_title"]["ndcg@10"]
    assert f"| ndcg@10 | {value:.4f} | {low:.4f} to {high:.4f} | {other:.4f} |" in card
    assert "games-sim (SIMULATED" in card
    assert "The data is simulated: the figures say nothing about real users." in card
    assert "- simulated-data\n" in card
    assert "recommend a new {{ item }}" in card
    assert "_target_: llmrec.objectives.sft.SFT" in card


def test_the_prompt_of_the_card_is_that_of_the_training(run: RunFolder, tmp_path: Path) -> None:
    export_run(run, run.config(), tmp_path / "out", merge=False)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    (line,) = (line for line in card.splitlines() if line.startswith("prompt = "))
    ranker = llmrec.open(run.folder).recommender.ranker
    entries = build_task(run.config()).prompt(run.config(), ranker.data.dataset.items).sample_history()
    prompt = ranker.data.prompt_tokenizer.histories([[entry["title"] for entry in entries]], cached=False).of(0)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer(ast.literal_eval(line.removeprefix("prompt = ")))["input_ids"] == prompt.tolist()


def test_no_user_is_exported(run: RunFolder, tmp_path: Path) -> None:
    export_run(run, run.config(), tmp_path / "out", merge=False)
    parquet = [file.name for file in (tmp_path / "out").rglob("*.parquet")]
    assert parquet == ["catalogue.parquet"]


@pytest.mark.parametrize("name", ["catalogue.parquet", "model.safetensors"])
def test_damage_is_named(run: RunFolder, tmp_path: Path, name: str) -> None:
    export_run(run, run.config(), tmp_path / "out", merge=False)
    content = bytearray((tmp_path / "out" / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / "out" / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"out/{name} is damaged"):
        llmrec.open(tmp_path / "out").recommend([["a"]])


def test_what_cannot_be_exported_is_refused(workplace: Path, run: RunFolder, tmp_path: Path) -> None:
    baseline = trained(workplace, "baseline=popularity")
    with pytest.raises(InputError, match=r"holds a baseline \(popularity\)"):
        export_run(baseline, baseline.config(), tmp_path / "out", merge=False)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="exists already"):
        export_run(run, run.config(), tmp_path / "out", merge=False)
    with pytest.raises(InputError, match="is not trained yet"):
        export_run(RunFolder(tmp_path), run.config(), tmp_path / "other", merge=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize(
    ("changes", "merge", "message"),
    [
        ({"adapter": {"name": "lora", "eight_bit": True}}, True, "in 8 bits"),
        ({"adapter": {"name": "lora", "eight_bit": False}}, False, r"\(backbone=tiny\) has no name .* merge=true"),
    ],
)
def test_adapters_that_cannot_be_exported_so_are_refused(
    run: RunFolder, tmp_path: Path, changes: dict[str, Any], merge: bool, message: str
) -> None:
    config = OmegaConf.merge(run.config(), changes)
    assert isinstance(config, DictConfig)
    with pytest.raises(InputError, match=message):
        export_run(run, config, tmp_path / "out", merge)


class Hub:
    """Stands in for the Hub."""

    calls: list[Any]

    def __init__(self) -> None:
        Hub.calls = []

    def create_repo(self, name: str, **settings: Any) -> None:
        if name == "nobody/x":
            raise LocalTokenNotFoundError("no token\nmore")
        self.calls.append((name, settings))

    def upload_folder(self, **settings: Any) -> str:
        self.calls.append(settings)
        return "https://hub/me/x"


def test_push_creates_a_private_repository_and_uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HfApi", Hub)
    assert hub.push(tmp_path, "me/x") == "https://hub/me/x"
    assert Hub.calls[0] == ("me/x", {"private": True, "exist_ok": True})
    assert (Hub.calls[1]["folder_path"], Hub.calls[1]["repo_id"]) == (tmp_path, "me/x")


def test_a_push_that_is_refused_says_how_to_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HfApi", Hub)
    with pytest.raises(InputError, match=r"push=nobody/x: the Hub does not take it \(no token\).*hf upload nobody/x"):
        hub.push(tmp_path, "nobody/x")
