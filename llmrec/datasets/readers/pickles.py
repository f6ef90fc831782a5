"""Refuses pickled files, because unpickling runs code. Imports the standard library only."""

import zipfile
from pathlib import Path

from llmrec.errors import InputError

SUFFIXES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".npy", ".npz", ".df")
"""Names that pickles often have. Of these, a file is refused if its content is a pickle."""
HEADER_BYTES = 1024


def refuse_pickles(folder: Path) -> None:
    """Raises InputError if a file in a folder, or in one of its subfolders, is a pickle."""
    for file in sorted({*folder.glob("*"), *folder.glob("*/*")}):
        refuse_pickle(file)


def refuse_pickle(file: Path) -> None:
    """Raises InputError if a file is a pickle, an array of pickled objects, or an archive that holds one."""
    if file.suffix not in SUFFIXES or not file.is_file() or not _is_pickle(file):
        return
    loader = "numpy.load" if file.suffix in (".npy", ".npz") else "pandas.read_pickle"
    loader = "torch.load" if file.suffix in (".pt", ".pth") else loader
    raise InputError(
        f"{file} is a pickle; llmrec does not unpickle files, since that runs code. If you trust it, open it with "
        f"{loader} and write its tables to Parquet (DataFrame.to_parquet), which reader=generic reads"
    )


def _is_pickle(file: Path) -> bool:
    with open(file, "rb") as content:
        start = content.read(HEADER_BYTES)
    if start.startswith(b"\x93NUMPY"):
        return b"|O" in start
    if start.startswith(b"PK") and zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("data.pkl") or _holds_objects(archive, name) for name in archive.namelist())
    # Protocols 2 to 5 begin with their number. Protocols 0 and 1 have no mark, so that the name decides.
    return start[:1] == b"\x80" or file.suffix in (".pkl", ".pickle")


def _holds_objects(archive: zipfile.ZipFile, name: str) -> bool:
    return name.endswith(".npy") and b"|O" in archive.open(name).read(HEADER_BYTES)
