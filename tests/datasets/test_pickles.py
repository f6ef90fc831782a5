"""Pickled files are refused by name and never opened."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from llmrec.datasets.readers.auto import Auto
from llmrec.datasets.readers.generic import Generic
from llmrec.datasets.readers.sdpo import SDPO
from llmrec.errors import InputError

OBJECTS = np.array([{"seq": [1, 2]}], dtype=object)


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


PICKLES = {
    "train_data.df": pickle.dumps([1], protocol=4),
    "samples.pkl": pickle.dumps([1], protocol=0),
    "samples.pickle": pickle.dumps([1], protocol=2),
    "sequences.npy": saved(lambda file: np.save(file, OBJECTS, allow_pickle=True)),
    "sequences.npz": saved(lambda file: np.savez(file, allow_pickle=True, train=OBJECTS)),
    "items.pt": saved(lambda file: torch.save({"a": torch.zeros(2)}, file)),
}


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("reader", [Auto(), SDPO()])
def test_a_folder_of_pickles_is_refused_by_the_name_of_the_file(reader: Auto | SDPO, name: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(PICKLES[name])
    (tmp_path / "id2name.txt").write_text("1::Queen\n")
    with pytest.raises(InputError, match=rf"data/{name} is a pickle; llmrec does not unpickle files, since that runs"):
        reader.select(tmp_path)


def test_pickles_do_not_disturb_a_layout_and_arrays_of_numbers_are_none(tmp_path: Path) -> None:
    np.save(tmp_path / "embeddings.npy", np.zeros(3))
    np.savez(tmp_path / "embeddings.npz", train=np.zeros(3))
    with pytest.raises(InputError, match="is in no known layout"):
        Auto().select(tmp_path)
    (tmp_path / "samples.pkl").write_bytes(PICKLES["samples.pkl"])
    (tmp_path / "interactions.csv").touch()
    (tmp_path / "items.csv").touch()
    assert Auto().select(tmp_path).name == "generic"


def test_a_pickle_that_the_user_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "orders.pkl").write_bytes(PICKLES["samples.pkl"])
    (tmp_path / "items.csv").write_text("item,title\na,Red\n")
    with pytest.raises(InputError, match=r"orders\.pkl is a pickle; .* open it with pandas\.read_pickle and write"):
        Generic("orders.pkl").read(tmp_path)
