"""Runs with another prompt: trained, evaluated and read again with it, or refused before anything is trained."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from llmrec.backbones.load import save_trained
from llmrec.errors import InputError
from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from tests.invariants.world import random_backbone
from tests.prompts.shipped import group
from tests.prompts.test_chat import SYSTEM, TURNS
from tests.training.small import composed


@pytest.mark.parametrize("task", ["next_item", "rerank"])
def test_a_chat_model_is_trained_and_decoded_in_its_template(task: str, tmp_path: Path, cache: Path) -> None:
    backbone = random_backbone(task=task)
    backbone.tokenizer.add_special_tokens({"additional_special_tokens": ["<end>"]})
    backbone.tokenizer.chat_template = SYSTEM + TURNS
    backbone.causal_lm.resize_token_embeddings(len(backbone.tokenizer))
    save_trained(backbone, tmp_path / "base")
    overrides = ["backbone=hf", f"backbone.path={tmp_path / 'base'}", "backbone.max_length=320", "trainer.epochs=1"]
    overrides += [f"paths.cache={cache}", f"task={task}", "objective=sft", "evaluation.unconstrained=true"]
    overrides += ["task.candidates=4"] * (task == "rerank")
    with composed(tmp_path, *overrides, "prompt=chat") as config:
        run_configuration(config)
        run = RunFolder(tmp_path / "runs" / run_path(config))
    assert run.trained
    assert run.config().prompt == OmegaConf.create(group("chat"))


def test_a_run_of_before_there_were_prompts_has_alpaca(tmp_path: Path) -> None:
    with composed(tmp_path) as config:
        stored = OmegaConf.masked_copy(config, [key for key in config if key not in ("hydra", "prompt")])
    OmegaConf.save(OmegaConf.create(OmegaConf.to_container(stored, resolve=True)), tmp_path / "config.yaml")
    assert RunFolder(tmp_path).config().prompt == OmegaConf.create(group("alpaca"))


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["prompt=chat"], r"prompt\.chat_template=true: backbone=tiny has no chat template"),
        (
            ["prompt.next_item='Recommend a {{ item }}.'"],
            r"prompt=alpaca does not show the titles",
        ),
        (["prompt.next_item='{{ history[0].titel }}.'"], r"prompt\.next_item, line 1: .*'titel'"),
        (
            ["prompt.next_item='{{ history[0].title }} {{ history[0].category }}.'"],
            r"next_item, line 1: .*'category'",
        ),
        (["prompt.next_item='{% for }'"], r"prompt\.next_item, line 1"),
        (["task=rerank", "objective=sft", "prompt.rerank=null"], r"prompt=alpaca has no text for task=rerank"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused(overrides: list[str], problem: str, tmp_path: Path) -> None:
    with composed(tmp_path, *overrides) as config, pytest.raises(InputError, match=problem):
        run_configuration(config)
    assert not list((tmp_path / "cache").glob("tiny/*/model.safetensors"))


def test_a_template_is_checked_before_the_stage_is_trained(tmp_path: Path) -> None:
    broken = "prompt.next_item='{{ history[0].titel }}.'"
    with composed(tmp_path, "objective=dpo", broken) as config, pytest.raises(InputError, match="'titel'"):
        run_configuration(config)
    assert not list((tmp_path / "runs").rglob("config.yaml"))
