"""Prepares a downloaded dataset: python -m llmrec.prepare reader=movielens path=downloads/ml-100k."""

import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.command import run_command, split_config_dir
from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError

if TYPE_CHECKING:
    from llmrec.dataset_yaml import DatasetYaml
    from llmrec.datasets.prepared import Prepared
    from llmrec.datasets.readers.base import Reader
    from llmrec.prepare_arguments import PrepareArguments

HELP = """\
Prepares a downloaded dataset: applies the k-core filter, builds histories and
splits them, once. The result is checked whenever it is read.

  python -m llmrec.prepare reader=movielens path=downloads/ml-100k
  python -m llmrec.prepare reader=amazon2023 path=downloads/ \\
    category=Video_Games out=data/games23
  python -m llmrec.prepare reader=lcrec path=downloads/Arts split=leave_one_out
  python -m llmrec.prepare reader=generic path=exports/shop \\
    interactions=orders.csv items=products.csv columns.user=customer_id \\
    columns.item=sku columns.time=ordered_at \\
    words.item=product words.verb=bought

reader=auto         the first of the following in whose layout the files are;
                    the default
reader=NAME         msl, generic, movielens, recbole, amazon2014, amazon2018,
                    amazon2023, minionerec, lcrec, steam, goodreads, yelp,
                    lastfm or sdpo, whose files docs/data.md lists; or
                    dataset/reader/NAME.yaml in the folder of --config-dir
reader=MODULE.CLASS a reader of your own without a YAML
KEY=VALUE           a setting of the reader, such as category=Video_Games
--config-dir FOLDER a folder with YAML files of your own
path=FOLDER         the downloaded files, which are not changed
path=URL            a database: sqlite:///shop.db (four slashes for an absolute
                    path) or postgresql://USER@HOST/DATABASE (the password from
                    PGPASSWORD, ~/.pgpass or the URL; it is stored nowhere)
out=FOLDER          a folder that does not exist yet; by default
                    $LLMREC_DATA/<name> or ./data/<name>
name=NAME           name of the dataset; by default the last part of out, else
                    movielens_100k, movielens_1m, movielens_latest, or the name
                    of the folder in path
dataset.KEY=VALUE   k_core, min_history, max_history or split instead of the
                    value in conf/dataset/shared/base.yaml; with reader=msl,
                    hold_out
split=leave_one_out the same as dataset.split=leave_one_out: the last event of
                    each user is test and the one before it validation, for
                    comparison with RecBole's tables; by default, split by time

Settings of reader=generic, which they imply:
interactions=FILE   the file in path, or a folder of Parquet parts; of a
                    database, a table, or a SELECT in quotes
items=FILE          the same for the items
columns.KEY=NAME    the column of user, item, time, rating, title or categories;
                    columns.id of the item's id in the items, if it has another
                    name there than in the interactions

words.item=product words.items=products words.verb=bought
                    writes the dataset's YAML with these words into dataset/ of
                    --config-dir (default mine/conf)
"""


def main() -> None:
    """Entry point of `llmrec prepare` and `python -m llmrec.prepare`."""
    run_command(HELP, _prepare)


def _prepare(arguments: Sequence[str]) -> None:
    from llmrec.datasets.database_urls import is_database
    from llmrec.prepare_arguments import parse_arguments

    started = time.monotonic()
    config_dir, arguments = split_config_dir(arguments)
    given = parse_arguments(arguments, config_dir)
    with _exported(given) if is_database(given.own.get("path", "")) else nullcontext(given) as in_files:
        _prepare_folder(in_files, config_dir, started)


def _prepare_folder(given: "PrepareArguments", config_dir: Path | None, started: float) -> None:
    from llmrec.datasets.readers.build import build_reader
    from llmrec.datasets.settings import check_settings
    from llmrec.datasets.source import source_at

    words, overrides = given.words, given.overrides
    path = _download_folder(given.own)
    reader = build_reader(given.reader).select(path)
    name, out = _name_and_folder(given.own, path, reader)
    dataset = {**_settings(reader, overrides), "reader": given.reader, "name": name, "source": "real"}
    check_settings(dataset)
    yaml = _yaml(config_dir, name, words, dataset) if words else None
    source = source_at(path, dataset, name, _cache_dir())

    from llmrec.datasets.load import prepare
    from llmrec.datasets.prepared import write_prepared
    from llmrec.datasets.readers.progress import shown_progress

    with shown_progress(reader.files(path)):
        prepared = prepare(source, dataset)
    write_prepared(prepared, out)
    print("\n".join([*_facts(prepared, dataset), f"written to {out} in {time.monotonic() - started:.1f} seconds"]))
    if yaml:
        yaml.write()
        print(f"words written to {yaml.path}")
    print(_next_step(name, out, [] if yaml else overrides, yaml.config_dir if yaml else config_dir))


def _yaml(config_dir: Path | None, name: str, words: Mapping[str, str], dataset: Mapping[str, Any]) -> "DatasetYaml":
    from llmrec.dataset_yaml import DatasetYaml
    from llmrec.datasets.settings import SEQUENCE_KEYS

    shared, shaping = _shared_settings(), (*SEQUENCE_KEYS, "hold_out")
    return DatasetYaml(config_dir, name, words, {key: dataset[key] for key in shaping if dataset[key] != shared[key]})


def _shared_settings() -> dict[str, Any]:
    """Returns the default settings that all datasets share."""
    from omegaconf import OmegaConf

    shared: Any = OmegaConf.to_container(OmegaConf.load(Path(conf_dir()) / "dataset/shared/base.yaml"))
    return dict(shared)


def _cache_dir() -> Path:
    from omegaconf import OmegaConf

    return Path(OmegaConf.load(Path(conf_dir()) / "config.yaml").paths.cache)


def _download_folder(own: Mapping[str, str]) -> Path:
    from llmrec.datasets.source import is_prepared

    if "source" in own:
        raise InputError(f"source={own['source']}: source= was renamed: write reader={own['source']}")
    if not own.get("path"):
        raise InputError("path=<the folder of the downloaded files> is missing (try --help)")
    path = Path(own["path"]).expanduser().resolve()
    if not path.is_dir():
        raise InputError(f"path={own['path']}: there is no folder {path}. Give the folder of the downloaded files")
    if is_prepared(path):
        raise InputError(f"path={own['path']}: {path} is prepared already. Give the folder of the downloaded files")
    return path


def _name_and_folder(own: Mapping[str, str], path: Path, reader: "Reader") -> tuple[str, Path]:
    given = own.get("out")
    out = Path(given).expanduser().absolute() if given else None
    name = own.get("name") or (out.name if out else reader.dataset_name(path))
    if out and out.name != name:
        raise InputError(f"out={given} does not end in the dataset's name {name}: dataset={name} would not find it")
    folder = out or Path(os.environ.get("LLMREC_DATA") or "data").absolute() / name
    if folder.exists():
        raise InputError(f"{folder} exists already: remove it, or give another out=FOLDER")
    return name, folder


@contextmanager
def _exported(given: "PrepareArguments") -> Iterator["PrepareArguments"]:
    """Copies a database's tables to files; yields the arguments by which they are read."""
    from llmrec.atomic import temporary_folder
    from llmrec.datasets.database_urls import database_name, parse_url, shown_url
    from llmrec.datasets.databases import export
    from llmrec.datasets.readers.build import build_reader
    from llmrec.datasets.readers.generic import Generic

    url, reader = given.own["path"], build_reader(given.reader)
    if not isinstance(reader, Generic):
        raise InputError(f"reader={reader.name} reads no database. Leave it out, or give reader=generic")
    own = given.own if "out" in given.own else {"name": database_name(url), **given.own}
    _, out = _name_and_folder(own, Path(), reader)
    with temporary_folder(out) as folder:
        selections = reader.selections()
        export(url, selections, folder)
        try:
            reading = {**given.reader, **dict.fromkeys(selections)}
            yield replace(given, own={**own, "path": str(folder)}, reader=reading)
        except InputError as error:
            # The files are gone when the message is read.
            text, shown = str(error), shown_url(parse_url(url))
            for name, selection in selections.items():
                text = text.replace(str(folder / f"{name}.parquet"), f"{shown}, {name}={selection.source}")
            raise InputError(text.replace(str(folder), shown)) from error


def _settings(reader: "Reader", overrides: Sequence[str]) -> dict[str, Any]:
    """Returns the settings that all datasets share, with those that shape the prepared dataset as overridden."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    dataset = _shared_settings()
    keys = {f"dataset.{key}": key for key in reader.shaping}
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise InputError(f"{text!r} cannot be parsed: {str(error).splitlines()[0]}") from error
        if override.is_delete() or override.is_sweep_override():
            raise InputError(f"{text}: give one value, as in dataset.k_core=5")
        if override.key_or_group == "dataset.split" and "split" not in reader.shaping:
            raise InputError(f"{text}: reader={reader.name} keeps the published splits as they are. Remove the setting")
        if override.key_or_group not in keys:
            raise InputError(f"{text}: reader={reader.name} only takes {', '.join(keys)} and its own settings")
        dataset[keys[override.key_or_group]] = override.value()
    return dataset


def _facts(prepared: "Prepared", dataset: Mapping[str, Any]) -> list[str]:
    import numpy as np

    from llmrec.datasets.leakage_summary import summary

    events = prepared.interactions
    if events is None:
        return summary(prepared.report)
    users = len(np.unique(events.user))
    counts = f"{len(events):,} interactions of {users:,} users with {len(prepared.items):,} items"
    return [f"{counts} in the {dataset['k_core']}-core", *summary(prepared.report)]


def _next_step(name: str, out: Path, overrides: Sequence[str], config_dir: Path | None) -> str:
    folders = [Path(conf_dir()), *([config_dir] if config_dir else [])]
    # The run needs the same settings, because it draws candidate lists of task rerank by them.
    arguments = [f"dataset={name}", *overrides]
    if config_dir:
        arguments = ["--config-dir", str(config_dir), *arguments]
    command = f"LLMREC_DATA={shlex.quote(str(out.parent))} python -m llmrec.run {shlex.join(arguments)}"
    if any((folder / "dataset" / f"{name}.yaml").is_file() for folder in folders):
        return f"next: {command}"
    return f"next: write a dataset/{name}.yaml with the words of its prompts (docs/data.md), then {command}"


if __name__ == "__main__":
    main()
