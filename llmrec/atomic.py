"""Atomic writes: readers see the old file or folder or the complete new one, never a partial write."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmrec.errors import InputError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary file in the same folder that replaces `path` when the block ends without an error.

    Args:
        path: The file to write; missing parent folders are created.

    Raises:
        InputError: If the folder is not writable or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        # mkstemp creates files with mode 0600, but a file that others share must stay readable for them.
        os.chmod(name, 0o666 & ~_umask())
    except OSError as error:
        raise unwritable(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        os.chmod(temporary, 0o777 & ~_umask())
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        try:
            os.rename(temporary, path)
        except OSError:
            if not path.is_dir():
                raise
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    return InputError(
        f"cannot write {path}: {error.strerror or error}. Free some space, make the folder writable, or choose another "
        "folder with LLMREC_RUNS, LLMREC_CACHE, paths.runs=... or paths.cache=... Existing files are unchanged"
    )


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
