"""Packs the records of finished runs into an archive from which another checkout can make the tables."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from llmrec.atomic import atomic_file
from llmrec.errors import InputError
from llmrec.evaluation.record import ROWS_FILE
from llmrec.manifest import folder_manifest
from llmrec.tables.records import OVERRIDES, RUN_FILES, SUFFIX
from llmrec.tables.row_identity import without_identifiers
from llmrec.training.plan import read_overrides, run_overrides
from llmrec.training.run_folder import CONFIG, METRICS, TRAINING

# Hidden folders are left out, since records.py accepts no such name.
RUN_FOLDERS = "/".join(["[!.]*"] * 5)


@dataclass(frozen=True)
class Packed:
    """The result of packing.

    Attributes:
        finished: Number of packed runs.
        unfinished: Number of unfinished runs, which are left out.
        size: Size of the archive in bytes.
    """

    finished: int
    unfinished: int
    size: int


def pack_records(runs: Path, out: Path) -> Packed:
    """Writes an archive of the records of all finished runs. Equal records give equal bytes.

    The archive holds what tables are made from. It has no weights, logs, recommended titles, identifiers of users and
    items or paths of this machine.

    Args:
        runs: The runs folder, with runs in <dataset>/<task>/<backbone>/<objective>/<key>/.
        out: The archive. An existing file is replaced once the new one is complete.

    Raises:
        InputError: `runs` contains no finished run or a damaged file, or `out` cannot be written.
    """
    if not runs.is_dir():
        raise InputError(f"pack={runs}: there is no such folder. Give the folder that contains <dataset>/<task>/...")
    if not out.name.endswith(SUFFIX):
        raise InputError(f"out={out}: tables read only archives that end in {SUFFIX}. Choose such a name")
    folders = [file.parent for file in runs.glob(f"{RUN_FOLDERS}/{CONFIG}")]
    finished = [folder for folder in folders if (folder / TRAINING).is_file() and _evaluations(folder)]
    if not finished:
        raise InputError(
            f"pack={runs}: found no finished run there, and {len(folders)} unfinished. Give the folder that contains "
            "<dataset>/<task>/<backbone>/<objective>/<key>/"
        )
    contents = {file.relative_to(runs).as_posix(): _slim(file) for folder in finished for file in _files(folder)}
    with atomic_file(out) as temporary:
        _write(temporary, contents)
    return Packed(len(finished), len(folders) - len(finished), out.stat().st_size)


def _evaluations(run: Path) -> list[Path]:
    """The folders of a run's finished evaluations."""
    return [metrics.parent for metrics in run.glob(f"rankings/[!.]*/{METRICS}")]


def _files(run: Path) -> Iterator[Path]:
    yield from (file for name in RUN_FILES if (file := run / name).is_file())
    for evaluation in _evaluations(run):
        yield evaluation / METRICS
        yield evaluation / ROWS_FILE


def _slim(file: Path) -> bytes:
    """Returns the content of a file as it is packed.

    Raises:
        InputError: The file is damaged.
    """
    slim: dict[str, Callable[[Path], bytes]] = {
        CONFIG: _config,
        TRAINING: _training,
        Path(OVERRIDES).name: _overrides,
    }
    folder_manifest(file.parent).check("Remove its folder and make the run again", file.name)
    try:
        return _rows(file) if file.suffix == ".parquet" else slim.get(file.name, Path.read_bytes)(file)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{file} is damaged ({error}). Remove its folder and make the run again") from error


def _config(file: Path) -> bytes:
    config = OmegaConf.load(file)
    assert isinstance(config, DictConfig)
    config.pop("paths", None)
    return _yaml(config)


def _training(file: Path) -> bytes:
    content = json.loads(file.read_bytes())
    if "stages" in content:
        # Relative to the runs folder, so that the archive names no folder of this machine.
        content["stages"] = {name: "/".join(Path(folder).parts[-5:]) for name, folder in content["stages"].items()}
    return (json.dumps(content, indent=2) + "\n").encode()


def _overrides(file: Path) -> bytes:
    return _yaml(OmegaConf.create(run_overrides(read_overrides(file))))


def _yaml(config: DictConfig | ListConfig) -> bytes:
    return OmegaConf.to_yaml(config).encode()


def _rows(file: Path) -> bytes:
    packed = pa.BufferOutputStream()
    pq.write_table(without_identifiers(pq.read_table(file)), packed, compression="zstd")
    return bytes(packed.getvalue().to_pybytes())


def _write(file: Path, contents: Mapping[str, bytes]) -> None:
    """Writes an archive with its members sorted by name; the defaults of tarfile leave out times and owners."""
    with (
        open(file, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in sorted(contents):
            member = tarfile.TarInfo(name)
            member.size = len(contents[name])
            archive.addfile(member, io.BytesIO(contents[name]))
