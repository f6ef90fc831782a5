"""Reads archives of records in experiments/results/records/, which pack.py writes and tables read besides the runs."""

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import OmegaConf

from llmrec.cached_files import cached_folder, is_cached
from llmrec.conf_dir import conf_dir, tables_dir
from llmrec.errors import InputError
from llmrec.evaluation.record import ROWS_FILE
from llmrec.tables.runs import CURVES
from llmrec.training.plan import Job
from llmrec.training.run_folder import CONFIG, METRICS, TRAINING, RunFolder

RECORDS = "results/records"
"""Folder of the archives, relative to experiments/."""
SUFFIX = ".tar.gz"
OVERRIDES = ".hydra/overrides.yaml"
RUN_FILES = (CONFIG, TRAINING, CURVES, "leakage.json", OVERRIDES)
"""Files of a run in an archive, besides those of its evaluations."""
NAME = r"[^/.][^/]*"
RECORD_FILE = re.compile(
    rf"(?:{NAME}/){{5}}(?:{'|'.join(map(re.escape, RUN_FILES))}"
    rf"|rankings/{NAME}/(?:{re.escape(METRICS)}|{re.escape(ROWS_FILE)})"
    # Archives from before rankings and metrics were two layers.
    rf"|eval/{NAME}/(?:{re.escape(METRICS)}|users_[^/]*\.parquet))"
)
"""Names of the members of an archive. No part begins with a dot except .hydra, so that none leads out of the folder."""


@dataclass(frozen=True)
class Archive:
    """An unpacked archive of records.

    Attributes:
        name: Name of the archive as tables print it, records/<file>.
        folder: Folder with the unpacked records, laid out like the runs folder.
    """

    name: str
    folder: Path

    def located(self, job: Job) -> Job:
        """Returns the job with its folders moved into this archive, whether or not they exist."""
        run, evaluation = job.run.folder.parts[-5:], job.record.parts[-7:]
        return replace(job, run=RunFolder(self.folder.joinpath(*run)), record=self.folder.joinpath(*evaluation))


def read_archives() -> list[Archive]:
    """Unpacks the archives in experiments/results/records/ into the cache, unless they are there already.

    Returns:
        The archives, sorted by name; empty for an installed package, which has no results.

    Raises:
        InputError: An archive is damaged or contains anything but records, or the cache cannot be written.
    """
    files = sorted((Path(tables_dir()) / RECORDS).glob(f"*{SUFFIX}"))
    return [Archive(f"{file.parent.name}/{file.name}", _unpacked(file)) for file in files]


def _unpacked(file: Path) -> Path:
    cache = Path(OmegaConf.load(Path(conf_dir()) / "config.yaml").paths.cache)
    packed = file.read_bytes()
    folder = cache / "records" / hashlib.sha256(packed).hexdigest()[:16]
    if not is_cached(folder):
        # The archive is read completely before anything is written, so that a damaged one leaves nothing in the cache.
        contents = _contents(file, packed)
        with cached_folder(folder) as temporary:
            for name, content in contents.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).write_bytes(content)
    return folder


def _contents(file: Path, packed: bytes) -> dict[str, bytes]:
    """Returns the content of each member of an archive.

    Raises:
        InputError: The archive is damaged or contains anything but records.
    """
    found = {}
    try:
        # gzip's checksum is at the end of the file, which tarfile alone would not read.
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed)), mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or not RECORD_FILE.fullmatch(member.name):
                    raise InputError(
                        f"{file}: expected only regular files of records, got {member.name!r}. Remove the archive, "
                        "or pack it again with python -m llmrec.report pack=<runs folder>"
                    )
                found[member.name] = content.read()
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise InputError(f"{file} is damaged ({error}). Restore it from version control, or remove it") from error
    return found
