"""Atomic writes: readers see the old file or folder or the complete new one, never a partial write."""

import errno
import fcntl
import fnmatch
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from llmrec.errors import InputError

LEFTOVER = ".partial"
"""Ending of the names of temporary folders."""
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
DISK_FULL = ("No space left", "quota exceeded", "PytorchStreamWriter", "inline_container", "unexpected pos")
"""Substrings of the errors that torch and safetensors raise on a full disk."""


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary file beside `path` that replaces `path` when the block ends without an error.

    Args:
        path: The file to write; missing parent folders are created.

    Raises:
        InputError: If the folder is not writable or the disk is full.
    """
    # In a folder of its own, whose lock stays if a library replaces the file that it writes.
    with temporary_folder(path) as folder:
        temporary = folder / path.name
        temporary.touch()
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder that is renamed to `path` when the block ends without an error.

    If another process has created `path` in the meantime, its folder is kept: the name of a folder that is written this
    way determines its content, so both are equal.

    Args:
        path: The folder to create; missing parent folders are created.

    Raises:
        InputError: If the parent folder is not writable or the disk is full.
    """
    with temporary_folder(path) as temporary:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        try:
            os.rename(temporary, path)
        except OSError:
            if not path.is_dir():
                raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on the file `path` while the block runs, and waits for it if another process holds it.

    The operating system releases the lock of a process that dies.

    Raises:
        InputError: If the folder is not writable.
    """
    check_writable(path.parent)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_writable(folder: Path) -> None:
    """Checks that a folder can be written to, and creates it if it does not exist.

    Raises:
        InputError: If the folder cannot be created or is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(path: Path, error: OSError) -> InputError:
    """Returns the InputError to raise for a path that could not be written."""
    # pyarrow's errors have texts of their own.
    reason = os.strerror(error.errno) if error.errno in DISK_ERRORS else error.strerror or error
    return InputError(
        f"cannot write {path}: {reason}. Free some space, make the folder writable, or choose another "
        "folder with LLMREC_RUNS, LLMREC_CACHE, paths.runs=... or paths.cache=... Existing files are unchanged"
    )


def disk_error(error: Exception, path: Path) -> InputError | None:
    """Returns the InputError to raise for an error of writing `path`; None if the error is of another kind.

    A full disk is an OSError in Python, but torch.save and safetensors raise errors of their own.
    """
    if isinstance(error, OSError):
        return unwritable(Path(error.filename or path), error) if error.errno in DISK_ERRORS else None
    if any(substring in str(error) for substring in DISK_FULL):
        return unwritable(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    return None


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yields a new folder beside `path`, which is removed at the end unless it was moved.

    Args:
        path: What the folder is needed for; missing parent folders are created.

    Raises:
        InputError: If the parent folder is not writable or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers_once(path.parent)
        temporary, lock = _locked_temporary(path)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield temporary
    except OSError as error:
        raise unwritable(path, error) from error
    except Exception as error:
        full = disk_error(error, path)
        if full is None:
            raise
        raise full from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


def _locked_temporary(path: Path) -> tuple[Path, int]:
    """Creates a temporary folder, and locks it for as long as this process writes it."""
    while True:
        temporary = Path(tempfile.mkdtemp(LEFTOVER, f".{path.name}.", path.parent))
        try:
            # mkdtemp creates with mode 0700, but what others share must stay readable for them.
            os.chmod(temporary, 0o777 & ~_umask())
            lock = os.open(temporary, os.O_RDONLY)
        except FileNotFoundError:
            continue  # Another process took it for a leftover before it was locked.
        with suppress(OSError):  # Some file systems have no locks.
            fcntl.flock(lock, fcntl.LOCK_EX)
        if temporary.exists():
            return temporary, lock
        os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Removes what killed processes have left anywhere below a folder: temporary folders that no process holds."""
    # Other processes create and remove folders meanwhile. os.walk skips those that vanish; Path.rglob would fail.
    for parent, names, _ in os.walk(folder):
        for name in fnmatch.filter(names, f".*{LEFTOVER}"):
            _remove_unheld(Path(parent, name))


@cache
def _remove_leftovers_once(folder: Path) -> None:
    """Removes what killed processes have left in the folder itself, once per process."""
    for leftover in folder.glob(f".*{LEFTOVER}"):
        _remove_unheld(leftover)


def _remove_unheld(temporary: Path) -> None:
    with suppress(OSError):
        lock = os.open(temporary, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(temporary, ignore_errors=True)
        finally:
            os.close(lock)


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
