"""Opens what llmrec.export writes: the folder of a run with its model and catalogue, but without its data."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.load import open_backbone
from llmrec.catalogue.item_tokens import read_item_tokens
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.decoding.probe import check_decoding
from llmrec.manifest import damage_named, folder_manifest
from llmrec.prompts.pretraining import PretrainingTexts
from llmrec.training.run_folder import RunFolder

CATALOGUE, ITEM_TOKENS = "catalogue.parquet", "items.index.json"
REMEDY = "Export the run again, or download the folder again"


def is_exported(run: RunFolder) -> bool:
    """Returns whether a folder was written by llmrec.export."""
    return (run.folder / CATALOGUE).is_file()


def write_catalogue(items: Items, folder: Path) -> None:
    """Writes the IDs, titles and categories of all items to a folder."""
    columns = {"item": pa.array(items.ids, pa.string()), "title": pa.array(items.titles, pa.string())}
    if items.categories is not None:
        columns["categories"] = pa.array(items.categories, pa.list_(pa.string()))
    pq.write_table(pa.table(columns), folder / CATALOGUE)


def exported_dataset(run: RunFolder) -> Dataset:
    """Returns the dataset of an exported run: its catalogue, without rows.

    Raises:
        InputError: A file is damaged.
    """
    folder_manifest(run.folder).check(REMEDY, CATALOGUE, ITEM_TOKENS)
    with damage_named(run.folder / CATALOGUE, REMEDY):
        table = pq.read_table(run.folder / CATALOGUE)
        categories = table["categories"].to_pylist() if "categories" in table.column_names else None
        items = Items(table["item"].to_pylist(), table["title"].to_pylist(), categories)
    if (run.folder / ITEM_TOKENS).is_file():
        items = Items(items.ids, items.titles, categories, read_item_tokens(run.folder / ITEM_TOKENS, items))
    trained_on, none = run.training["dataset"], _no_rows()
    return Dataset(
        name=trained_on["name"], simulated=trained_on["simulated"], items=items, train=none, sample=none, valid=none,
        test=none, content_hash=trained_on["content_hash"], report={},
    )  # fmt: skip


def exported_backbone(
    config: DictConfig, dataset: Dataset, texts: PretrainingTexts, cache_dir: Path, folder: Path
) -> Backbone:
    """Opens the model of an exported run; arguments and errors as for `trained_backbone`."""
    folder_manifest(folder).check(REMEDY)
    return open_backbone(config, dataset, texts, cache_dir, folder, trainable=False, check=check_decoding)


def _no_rows() -> Rows:
    empty = np.zeros(0, dtype=np.int32)
    return Rows(np.zeros(0, dtype=object), empty, np.zeros(1, dtype=np.int64), empty, empty.astype(np.int64))
