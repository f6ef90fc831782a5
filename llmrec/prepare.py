"""Prepares a downloaded dataset: python -m llmrec.prepare source=movielens path=downloads/ml-100k."""

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.command import run_command
from llmrec.errors import InputError

if TYPE_CHECKING:
    from llmrec.datasets.prepared import Prepared
    from llmrec.datasets.source import Source

HELP = """\
Prepares a downloaded dataset: applies the k-core filter, builds histories and
splits by time, once. The result is checked whenever it is read.

  python -m llmrec.prepare source=movielens path=downloads/ml-100k
  python -m llmrec.prepare source=movielens path=downloads/ml-1m out=sets/movielens_1m dataset.k_core=10
  python -m llmrec.prepare source=generic path=exports/shop name=shop dataset.split=[0.7,0.1,0.2]
  python -m llmrec.prepare source=msl path=downloads/books

source=movielens    MovieLens 100k (u.data, u.item), 1m (ratings.dat, movies.dat),
                    or latest, 20m, 25m and 32m (ratings.csv, movies.csv)
source=generic      interactions and items as CSV or Parquet
source=msl          train, valid and test with id2name4Rec.json
path=FOLDER         the downloaded files, which are not changed
out=FOLDER          a folder that does not exist yet; by default
                    $LLMREC_DATA/<name> or ./data/<name>
name=NAME           name of the dataset; by default the last part of out, else
                    movielens_100k, movielens_1m, movielens_latest, or the name
                    of the folder in path
dataset.KEY=VALUE   k_core, min_history, max_history or split instead of the
                    value in conf/dataset/shared/base.yaml; with source=msl,
                    hold_out
"""
SOURCES = ("movielens", "generic", "msl")
OWN = ("source", "path", "out", "name")


def main() -> None:
    """Entry point of `llmrec-prepare` and `python -m llmrec.prepare`."""
    run_command(HELP, _prepare)


def _prepare(arguments: Sequence[str]) -> None:
    from llmrec.training.overrides import split_arguments

    started = time.monotonic()
    own, overrides = split_arguments(arguments, OWN)
    path = _download_folder(own)
    name, out = _name_and_folder(own, path)
    if out.exists():
        raise InputError(f"{out} exists already: remove it, or give another out=FOLDER")
    dataset = {**_settings(own["source"], overrides), "name": name, "source": "real"}
    source = _source(own["source"], path, dataset)

    from llmrec.datasets.load import prepare
    from llmrec.datasets.prepared import write_prepared

    prepared = prepare(source, dataset)
    write_prepared(prepared, out)
    print("\n".join([*_facts(prepared, dataset), f"written to {out} in {time.monotonic() - started:.1f} seconds"]))
    print(_next_step(name, out, overrides))


def _download_folder(own: Mapping[str, str]) -> Path:
    if own.get("source") not in SOURCES:
        raise InputError(f"source={own.get('source', '')}: give one of {', '.join(SOURCES)} (try --help)")
    if not own.get("path"):
        raise InputError("path=<the folder of the downloaded files> is missing (try --help)")
    path = Path(own["path"]).expanduser().resolve()
    if not path.is_dir():
        raise InputError(f"path={own['path']}: there is no folder {path}. Give the folder of the downloaded files")
    return path


def _name_and_folder(own: Mapping[str, str], path: Path) -> tuple[str, Path]:
    from llmrec.datasets.source import movielens_layout

    layout = movielens_layout(path)
    given = own.get("out")
    out = Path(given).expanduser().absolute() if given else None
    name = own.get("name") or (out.name if out else f"movielens_{layout}" if layout else path.name)
    if out and out.name != name:
        raise InputError(f"out={given} does not end in the dataset's name {name}: dataset={name} would not find it")
    return name, out or Path(os.environ.get("LLMREC_DATA") or "data").absolute() / name


def _settings(kind: str, overrides: Sequence[str]) -> dict[str, Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    from llmrec.conf_dir import conf_dir
    from llmrec.datasets.settings import shaping_settings

    dataset: Any = OmegaConf.to_container(OmegaConf.load(Path(conf_dir()) / "dataset/shared/base.yaml"))
    # Only these keys change the prepared dataset.
    keys = {f"dataset.{key}": key for key in shaping_settings(dataset, kind)}
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise InputError(f"{text!r} cannot be parsed: {str(error).splitlines()[0]}") from error
        if override.key_or_group not in keys:
            raise InputError(f"{text}: source={kind} only takes {', '.join(keys)}")
        dataset[keys[override.key_or_group]] = override.value()
    return dict(dataset)


def _source(kind: str, path: Path, dataset: Mapping[str, Any]) -> "Source":
    from llmrec.datasets.settings import check_settings
    from llmrec.datasets.source import source_at

    check_settings(dataset)
    source = source_at(path, dataset, dataset["name"])
    if source.kind != kind:
        remedy = f"Give source={source.kind}" if source.kind in SOURCES else "It is prepared already"
        raise InputError(f"source={kind}: {path} is in the layout {source.kind}. {remedy}")
    return source


def _facts(prepared: "Prepared", dataset: Mapping[str, Any]) -> list[str]:
    from llmrec.datasets.leakage import summary

    events = prepared.interactions
    if events is None:
        return summary(prepared.report)
    users = len(set(events.user.tolist()))
    counts = f"{len(events):,} interactions of {users:,} users with {len(prepared.items):,} items"
    return [f"{counts} in the {dataset['k_core']}-core", *summary(prepared.report)]


def _next_step(name: str, out: Path, overrides: Sequence[str]) -> str:
    from llmrec.conf_dir import conf_dir

    # The run needs the same settings, because it draws candidate lists of task rerank by them.
    settings = "".join(f" {shlex.quote(override)}" for override in overrides)
    command = f"LLMREC_DATA={shlex.quote(str(out.parent))} python -m llmrec.run dataset={shlex.quote(name)}{settings}"
    if (Path(conf_dir()) / "dataset" / f"{name}.yaml").is_file():
        return f"next: {command}"
    return f"next: write a dataset/{name}.yaml with the words of its prompts (README, Real data), then {command}"


if __name__ == "__main__":
    main()
