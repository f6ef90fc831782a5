"""Random tables, written in every published layout, are read back as a plain-Python model says."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from llmrec.datasets.databases import export
from llmrec.datasets.readers.build import build_reader
from llmrec.datasets.readers.cleaning import clean
from llmrec.datasets.readers.dump import DumpReader
from llmrec.datasets.readers.generic import Generic
from llmrec.datasets.readers.interaction_reader import InteractionReader
from llmrec.errors import InputError
from tests.datasets.random_exports import EXPORTS
from tests.datasets.random_layouts import LAYOUTS
from tests.datasets.random_splits import PUBLISHED, SPLITS
from tests.datasets.read_back import EXAMPLES, shown, steady, values


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", LAYOUTS)
def test_interactions_are_read_as_they_were_written(name: str, examples: int) -> None:
    layout = LAYOUTS[name]

    @steady(examples)
    @given(layout.data)
    def check(data: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            layout.write(Path(folder), data)
            reader = build_reader({"_target_": f"llmrec.datasets.readers.{layout.reader}", **layout.settings})
            expected, counts = layout.expected(data)
            if isinstance(reader, DumpReader):
                dump = reader.read_dump(Path(folder))
                if not expected.events:
                    with pytest.raises(InputError, match="no event of an item with a title is left"):
                        clean(dump)
                    return
                items, events, dropped = clean(dump)
                assert dropped == counts
            else:
                assert isinstance(reader, InteractionReader)
                items, events = reader.read(Path(folder))
            assert values(items, events) == expected

    check()


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", EXPORTS)
def test_exports_are_read_as_they_were_written(name: str, examples: int) -> None:
    data, write, expected = EXPORTS[name]

    @steady(examples)
    @given(data)
    def check(data: Any) -> None:
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root)
            write(folder, data)
            reader = build_reader({"_target_": "llmrec.datasets.readers.generic.Generic"})
            assert isinstance(reader, Generic)
            if name == "sqlite":
                export(f"sqlite:///{folder}/shop.db", reader.selections(), folder)
            assert values(*reader.read(folder)) == expected(data)

    check()


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_splits_are_read_as_they_were_written(name: str, examples: int) -> None:
    data, write, expected = PUBLISHED[name]

    @steady(examples)
    @given(data)
    def check(data: Any) -> None:
        with tempfile.TemporaryDirectory() as root:
            write(Path(root), data)
            found = build_reader({"_target_": f"llmrec.datasets.readers.{name}"}).prepare(Path(root), {"hold_out": 0.1})
            ids = found.items.ids
            rows = {split: shown(getattr(found, split), ids) for split in SPLITS}
            assert (list(zip(ids, found.items.titles, strict=True)), rows) == expected(data)
            if found.sample is not None:
                # Of equal rows, the first is in the sample.
                sampled = [rows["train"][position] for position in found.sample]
                assert sampled == rows["train"][::2]

    check()
