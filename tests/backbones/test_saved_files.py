"""Damaged files of a saved model are named before the model is opened."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llmrec.backbones.pretrained import open_pretrained, refuse_non_finite
from llmrec.backbones.saved_files import local_folder, refuse_damaged_files
from llmrec.errors import InputError
from tests.backbones.test_pretrained import CONFIG, large_enough, saved

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 98809\n"


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda content: POINTER, "is a git-lfs pointer"),
        (lambda content: content[:-20], r"is damaged \(.+\)\. Download or save it again"),
        (lambda content: b"", r"is damaged \(it is empty\)"),
    ],
)
def test_a_damaged_file_is_named(name: str, damage: Callable[[bytes], bytes], says: str, tmp_path: Path) -> None:
    saved(large_enough(), tmp_path)
    refuse_damaged_files(tmp_path)
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(InputError, match=rf"{tmp_path / name} {says}"):
        refuse_damaged_files(tmp_path)


def test_pickles_are_refused_unless_they_are_not_opened(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin is a pickle.*Save the model as safetensors"):
        refuse_damaged_files(tmp_path)
    refuse_damaged_files(tmp_path, pickles=True)
    save_file({"w": torch.zeros(1)}, tmp_path / "model.safetensors")
    refuse_damaged_files(tmp_path)


def test_a_missing_part_of_the_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"w": "model-2.safetensors"}}')
    with pytest.raises(InputError, match=r"model-2\.safetensors is missing"):
        refuse_damaged_files(tmp_path)


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    path, name = saved(large_enough(), tmp_path), "model.layers.0.mlp.up_proj.weight"
    weights = load_file(tmp_path / "model.safetensors")
    weights[name] = weights[name][1:].clone()
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=rf"{name} in model\.safetensors has the shape .* config\.json describes"):
        open_pretrained(path, CONFIG, torch.float32)


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    model = large_enough()
    with torch.no_grad():
        model.get_input_embeddings().weight[3, 5] = float("nan")
    path = saved(model, tmp_path)
    with pytest.raises(InputError, match=r"embed_tokens\.weight in model\.safetensors holds values that are not"):
        refuse_non_finite(open_pretrained(path, CONFIG, torch.float32)[0], path)


@pytest.mark.parametrize("path", ["/absent/model", "./absent", "~/absent-model", "absent/two/deep"])
def test_a_missing_folder_is_called_a_missing_folder(path: str) -> None:
    with pytest.raises(InputError, match=rf"backbone\.path={path}: there is no folder /"):
        local_folder(path)


def test_a_hub_name_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_folder("owner/model") is None
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_folder("~/") == tmp_path
