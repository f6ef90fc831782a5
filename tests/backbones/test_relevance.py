"""Relevance is cached under a hash of everything it depends on, and a wrong or damaged file is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from llmrec.backbones import relevance
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.relevance import title_relevance
from llmrec.backbones.scoring import log_probabilities
from llmrec.errors import InputError
from tests.damage import DAMAGES
from tests.invariants.world import random_backbone

PROMPT = np.arange(20, 30)
TITLES = [np.array([40, 41, 1]), np.array([40, 42, 43, 1])]


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every later run of the model fail."""

    def run(*_: object) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(relevance, "log_probabilities", run)


def kept(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "relevance").glob("*"))


def test_relevance_is_the_titles_probability_after_the_prompt(tmp_path: Path) -> None:
    found = title_relevance(random_backbone(), PROMPT, TITLES, tmp_path)
    expected = log_probabilities(random_backbone(), [PROMPT] * 2, TITLES, 0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_it_is_read_where_it_is_kept(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    first = title_relevance(random_backbone(), PROMPT, TITLES, tmp_path)
    request.getfixturevalue("no_model")
    for one, other in zip(title_relevance(random_backbone(), PROMPT, TITLES, tmp_path), first, strict=True):
        assert (one == other).all()


def changed(backbone: Backbone) -> Backbone:
    with torch.no_grad():
        next(backbone.parameters())[0, 0] += 1e-3
    return backbone


@pytest.mark.parametrize("what", ["weights", "config", "prompt", "titles"])
def test_other_content_is_another_file(what: str, tmp_path: Path) -> None:
    title_relevance(random_backbone(), PROMPT, TITLES, tmp_path)
    backbone = changed(random_backbone()) if what == "weights" else random_backbone()
    if what == "config":
        backbone.causal_lm.config.rms_norm_eps *= 10
    title_relevance(
        backbone, PROMPT[1:] if what == "prompt" else PROMPT, TITLES[::-1] if what == "titles" else TITLES, tmp_path
    )
    assert len(kept(tmp_path)) == 2


def test_an_adapter_that_is_switched_off_leaves_the_base(tmp_path: Path) -> None:
    adapted = random_backbone(lora=True)
    with adapted.without_adapter():
        found = title_relevance(adapted, PROMPT, TITLES, tmp_path)
    with_it = title_relevance(adapted, PROMPT, TITLES, tmp_path)
    expected = log_probabilities(random_backbone(), [PROMPT] * 2, TITLES, 0)
    for base, other, own in zip(expected, found, with_it, strict=True):
        np.testing.assert_allclose(other, base, atol=1e-5)
        assert np.abs(own - base).max() > 1e-3
    # Another adapter on the same base model, as of another seed, uses the base model's cached file.
    again = random_backbone(lora=True)
    with torch.no_grad():
        for name, weight in again.named_parameters():
            if "lora_" in name:
                weight.add_(1.0)
    with again.without_adapter():
        title_relevance(again, PROMPT, TITLES, tmp_path)
    assert len(kept(tmp_path)) == 2


def test_nothing_is_kept_without_a_cache(tmp_path: Path) -> None:
    title_relevance(random_backbone(), PROMPT, TITLES, None)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_anew(damage: Callable[[Path], None], tmp_path: Path) -> None:
    title_relevance(random_backbone(), PROMPT, TITLES, tmp_path)
    (file,) = kept(tmp_path)
    content = file.read_bytes()
    damage(file)
    title_relevance(random_backbone(), PROMPT, TITLES, tmp_path)
    assert file.read_bytes() == content


def test_an_unreadable_file_without_a_checksum_is_named(tmp_path: Path) -> None:
    title_relevance(random_backbone(), PROMPT, TITLES, tmp_path)
    (file,) = kept(tmp_path)
    file.write_bytes(file.read_bytes()[:20])
    shutil.rmtree(tmp_path / "checksums")
    with pytest.raises(InputError, match=rf"{file.name} cannot be read .*delete it"):
        title_relevance(random_backbone(), PROMPT, TITLES, tmp_path)


def test_a_stale_file_without_a_checksum_is_named(tmp_path: Path) -> None:
    title_relevance(random_backbone(), PROMPT, TITLES, tmp_path)
    (file,) = kept(tmp_path)
    title_relevance(changed(random_backbone()), PROMPT, TITLES, tmp_path / "other")
    (other,) = kept(tmp_path / "other")
    file.write_bytes(other.read_bytes())
    shutil.rmtree(tmp_path / "checksums")
    with pytest.raises(InputError, match=rf"{file.name} is of other weights, titles or another prompt: delete it"):
        title_relevance(random_backbone(), PROMPT, TITLES, tmp_path)
