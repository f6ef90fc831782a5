"""Damaged files of every layout are refused by their names, or read as a dataset whose parts fit together."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmrec.datasets.load import load_dataset, prepare
from llmrec.datasets.prepared import Prepared, read_prepared, write_prepared
from llmrec.datasets.settings import SPLITS
from llmrec.datasets.source import locate
from llmrec.errors import InputError
from tests.datasets.dumps import events, write_amazon, write_minionerec, write_recbole, write_sdpo
from tests.datasets.layouts import group, write_generic, write_movielens, write_msl
from tests.datasets.review_dumps import (
    write_goodreads,
    write_goodreads_csv,
    write_json_lines,
    write_lastfm,
    write_lcrec,
    write_steam,
    write_yelp,
)  # fmt: skip
from tests.mutations import mutate
from tests.tiers import rest_slow

FEW, MANY = 8, 100
"""Mutations of a layout; the 23 layouts have 506, and with those that are slow 2,300."""
CASES = rest_slow(range(MANY), kept=FEW)
TITLES = [{"item": f"B{number}", "title": f"Thing {number}", "categories": ["Home", "Tea"]} for number in range(10)]
EVENTS = [dict(zip(("user", "item", "rating", "timestamp"), event, strict=True)) for event in events()]


def write_json(folder: Path) -> None:
    folder.mkdir()
    write_json_lines(folder / "items.jsonl", TITLES)
    write_json_lines(folder / "interactions.jsonl.gz", EVENTS)


def write_parquet(folder: Path) -> None:
    (folder / "interactions").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(TITLES), folder / "items.parquet")
    for number, part in enumerate((EVENTS[:50], EVENTS[50:])):
        pq.write_table(pa.Table.from_pylist(part), folder / f"interactions/part-{number}.parquet")


LAYOUTS: dict[str, Callable[[Path], Any]] = {
    "generic": write_generic,
    "generic_json": write_json,
    "generic_parquet": write_parquet,
    **{
        f"movielens_{version}": lambda folder, version=version: write_movielens(folder, version)
        for version in ("100k", "1m", "10m", "latest")
    },
    **{
        f"amazon_{year}{'' if is_compressed else '_plain'}": (
            lambda folder, year=year, is_compressed=is_compressed: write_amazon(folder, year, is_compressed)
        )
        for year in (2014, 2018, 2023)
        for is_compressed in (True, False)
    },
    "recbole": write_recbole,
    "msl": write_msl,
    "minionerec": write_minionerec,
    "sdpo": write_sdpo,
    "steam": write_steam,
    "yelp": write_yelp,
    "goodreads": write_goodreads,
    "goodreads_csv": write_goodreads_csv,
    "lastfm": write_lastfm,
    "lcrec": write_lcrec,
}
READERS = {
    "generic": "generic.Generic", "movielens": "movielens.MovieLens", "recbole": "recbole.RecBole", "msl": "msl.MSL",
    "amazon_2014": "amazon.Amazon2014", "amazon_2018": "amazon.Amazon2018", "amazon_2023": "amazon.Amazon2023",
    "minionerec": "minionerec.MiniOneRec", "sdpo": "sdpo.SDPO", "steam": "steam.Steam", "yelp": "yelp.Yelp",
    "goodreads": "goodreads.Goodreads", "lastfm": "lastfm.LastFM", "lcrec": "lcrec.LCRec",
}  # fmt: skip
UNTIMED = ("goodreads_csv", "lcrec")


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound folder in one of the layouts."""
    folder = tmp_path_factory.mktemp("sound") / request.param
    LAYOUTS[request.param](folder)
    return folder


def prepared(root: Path, name: str) -> Prepared:
    reader = next(target for start, target in READERS.items() if name.startswith(start))
    more = {"split": "leave_one_out"} if name in UNTIMED else {}
    target = {"_target_": f"llmrec.datasets.readers.{reader}"}
    dataset = group(name="own", source="real", k_core=1, min_history=1, reader=target, **more)
    return prepare(locate(dataset, root, root / "cache"), dataset)


def check_consistent(found: Prepared, folder: Path) -> None:
    """Checks that a set can be used, and is the same once it is stored."""
    count = len(found.items)
    assert len(set(found.items.ids)) == count > 0
    assert all(found.items.ids)
    for split in SPLITS:
        rows = getattr(found, split)
        assert len(rows) > 0
        assert len(rows.user) == len(rows.target) == len(rows.timestamp) == len(rows.offsets) - 1
        assert rows.offsets[0] == 0
        assert (np.diff(rows.offsets) > 0).all()
        assert rows.offsets[-1] == len(rows.history)
        for indices in (rows.history, rows.target):
            assert indices.min() >= 0
            assert indices.max() < count
        assert all(rows.user)
    write_prepared(found, folder)
    stored = read_prepared(folder, found.content_hash, folder / "cache")
    assert (stored.items.ids, stored.items.titles) == (found.items.ids, found.items.titles)
    assert stored.train.user.tolist() == found.train.user.tolist()


@pytest.mark.parametrize("seed", CASES)
def test_a_damaged_file_is_named_or_its_set_is_consistent(layout: Path, seed: int, tmp_path: Path) -> None:
    rng = random.Random(f"{layout.name} {seed}")
    shutil.copytree(layout, tmp_path / "own")
    file = rng.choice(sorted(path for path in (tmp_path / "own").rglob("*") if path.is_file()))
    mutate(rng, file)
    try:
        found = prepared(tmp_path, layout.name)
    except InputError as error:
        message = str(error)
    else:
        check_consistent(found, tmp_path / "stored")
        return
    assert str(tmp_path / "own") in message
    assert len(message) < 2000


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with raw data, the cache of their prepared set, and a prepared set of the user's own."""
    root = tmp_path_factory.mktemp("prepared")
    write_generic(root / "own")
    found = prepared(root, "generic")
    write_prepared(found, root / "ready")
    load_dataset(settings("own"), root, root / "cache")
    return root


def settings(name: str) -> dict[str, Any]:
    return group(name=name, source="real", k_core=1, min_history=1)


@pytest.mark.parametrize("folder", ["ready", "cache/datasets/*"])
@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_prepared_set_is_named_and_a_cached_one_made_anew(
    folder: str, seed: int, sound: Path, tmp_path: Path
) -> None:
    rng = random.Random(f"{folder} {seed}")
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    (found,) = tmp_path.glob(folder)
    file = rng.choice(sorted(path for path in found.iterdir() if path.is_file()))
    before = file.read_bytes()
    mutate(rng, file)
    try:
        loaded = load_dataset(settings("own" if folder != "ready" else "ready"), tmp_path, tmp_path / "cache")
    except InputError as error:
        message = str(error)
    else:
        # Blanks in the manifest change nothing.
        assert folder != "ready" or file.read_bytes() == before or file.name == "manifest.json"
        expected = load_dataset(settings("own"), sound, sound / "cache")
        assert loaded.report == expected.report
        assert loaded.items.titles == expected.items.titles
        for split in SPLITS:
            rows, sound_rows = getattr(loaded, split), getattr(expected, split)
            for part in ("user", "history", "offsets", "target", "timestamp"):
                assert getattr(rows, part).tolist() == getattr(sound_rows, part).tolist()
        return
    assert folder == "ready"
    assert str(tmp_path / "ready") in message
    assert file.name in message
