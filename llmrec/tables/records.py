"""Archives of records in experiments/results/records/: pack.py writes them, tables read them beside the runs folder."""

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import OmegaConf

from llmrec.atomic import atomic_folder
from llmrec.conf_dir import conf_dir, tables_dir
from llmrec.errors import InputError
from llmrec.tables.runs import CURVES
from llmrec.training.cells import CONFIG, METRICS, TRAINING, Cell
from llmrec.training.plan import Job

RECORDS = "results/records"
"""Below experiments/."""
SUFFIX = ".tar.gz"
OVERRIDES = ".hydra/overrides.yaml"
RUN_FILES = (CONFIG, TRAINING, CURVES, "leakage.json", OVERRIDES)
"""What an archive holds of a run, beside its evaluations."""
NAME = r"[^/.][^/]*"
RECORD_FILE = re.compile(
    rf"(?:{NAME}/){{5}}(?:{'|'.join(map(re.escape, RUN_FILES))}"
    rf"|eval/{NAME}/(?:{re.escape(METRICS)}|users_[^/]*\.parquet))"
)
"""The names that an archive may hold. No part of one begins with a dot, except .hydra, so none leads out of it."""


@dataclass(frozen=True)
class Archive:
    """An unpacked archive of records.

    Args:
        name: The file's name as tables print it, records/<file>.
        folder: Where its records are unpacked, laid out as a runs folder.
    """

    name: str
    folder: Path

    def located(self, job: Job) -> Job:
        """The job with its folders in this archive, whether or not they exist."""
        run, evaluation = job.cell.folder.parts[-5:], job.record.parts[-7:]
        return replace(job, cell=Cell(self.folder.joinpath(*run)), record=self.folder.joinpath(*evaluation))


def read_archives() -> list[Archive]:
    """Unpacks the archives of experiments/results/records/ into the cache, each once.

    Returns:
        The archives in the order of their names; none in an installed package, which has no results.

    Raises:
        InputError: If an archive is damaged or holds anything but records, or if the cache cannot be written.
    """
    files = sorted((Path(tables_dir()) / RECORDS).glob(f"*{SUFFIX}"))
    return [Archive(f"{file.parent.name}/{file.name}", _unpacked(file)) for file in files]


def _unpacked(file: Path) -> Path:
    cache = Path(OmegaConf.load(Path(conf_dir()) / "config.yaml").paths.cache)
    packed = file.read_bytes()
    folder = cache / "records" / hashlib.sha256(packed).hexdigest()[:16]
    if not folder.is_dir():
        # Read as a whole before anything is written: the cache has all of an archive or nothing.
        contents = _contents(file, packed)
        with atomic_folder(folder) as temporary:
            for name, content in contents.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).write_bytes(content)
    return folder


def _contents(file: Path, packed: bytes) -> dict[str, bytes]:
    """The contents of an archive by name. Raises InputError, naming the file, as `read_archives` does."""
    found = {}
    try:
        # Decompressed to the end, where gzip's checksum stands; tarfile alone would stop before it.
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed)), mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or not RECORD_FILE.fullmatch(member.name):
                    raise InputError(
                        f"{file}: expected only regular files of records, found {member.name!r}. Remove the archive, "
                        "or pack it again with python -m llmrec.report pack=<runs folder>"
                    )
                found[member.name] = content.read()
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise InputError(f"{file} is damaged ({error}). Restore it from version control, or remove it") from error
    return found
