"""Opens the runs and listens until a signal ends the server."""

import logging
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI
from omegaconf import DictConfig

from llmrec.command import TERMINATED
from llmrec.errors import InputError
from llmrec.run_selection import selected_runs
from llmrec.serve.app import build_app
from llmrec.serve.header_limit import HeaderLimit
from llmrec.serve.served_run import ServedRun, name_apart
from llmrec.tasks.base import build_task
from llmrec.training.overrides import override, trusts
from llmrec.training.run_folder import RunFolder

MAX_CONNECTIONS = 2000
"""Connections beyond it are refused with status 503."""
MAX_K = 1000
MAX_WAITING = 100_000
KEEP_ALIVE_S = 75
"""Longer than clients keep an idle connection, so that none sends a request on one that is being closed."""
DRAIN_MARGIN_S = 10.0
"""Time for sending the last answers, beyond that within which a request is answered."""


@dataclass(frozen=True)
class Settings:
    """The command's own arguments; see its help.

    Attributes:
        runs: Folders of runs, as `selected_runs` reads them.
        trust: Whether code that the runs' configs name is accepted.
    """

    runs: str
    trust: bool
    host: str = "127.0.0.1"
    port: int = 8000
    k: int = 10
    waiting: int = 256
    timeout_s: int = 30

    @classmethod
    def read(cls, own: Mapping[str, str]) -> "Settings":
        """Reads the arguments.

        Raises:
            InputError: A value is not a number or outside its range.
        """
        return cls(
            own["run"], trusts(own), own.get("host", cls.host),
            _number(own, "port", cls.port, 0, 65535), _number(own, "k", cls.k, 1, MAX_K),
            _number(own, "waiting", cls.waiting, 1, MAX_WAITING), _number(own, "timeout", cls.timeout_s, 1, 3600),
        )  # fmt: skip


def serve(settings: Settings, overrides: Sequence[str], config_dir: Path | None) -> None:
    """Serves runs until a signal ends the process.

    Args:
        settings: The command's own arguments.
        overrides: Overrides of the runs' configs.
        config_dir: A folder with YAML files of the user's own.

    Raises:
        InputError: A run cannot be opened, or the address cannot be listened on.
    """
    logging.basicConfig(level=logging.WARNING, format="llmrec: %(message)s")
    configs = run_configs(settings, overrides, config_dir)
    # Before the models, which take seconds to open.
    listener = bound_socket(settings.host, settings.port)
    runs = [ServedRun(config, RunFolder(folder), settings.waiting) for folder, config in configs.items()]
    name_apart(runs)
    app = build_app(runs, settings.k, settings.timeout_s)
    server = http_server(app, settings.timeout_s)
    names = ", ".join(run.name for run in runs)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"serving {names} at http://{host}:{listener.getsockname()[1]} (Ctrl-C ends)", flush=True)
    # uvicorn raises the signal again once it has finished the requests.
    signal.signal(signal.SIGTERM, _end)
    server.run([listener])


def http_server(app: FastAPI, timeout_s: float) -> uvicorn.Server:
    """Returns the server of an application, in which each request is answered within `timeout_s` seconds."""
    return uvicorn.Server(
        uvicorn.Config(
            app, http=HeaderLimit, log_level="warning", access_log=False, server_header=False,
            limit_concurrency=MAX_CONNECTIONS, timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(timeout_s + DRAIN_MARGIN_S),
        )
    )  # fmt: skip


def run_configs(settings: Settings, overrides: Sequence[str], config_dir: Path | None) -> dict[Path, DictConfig]:
    """Returns the config of each run by its folder, with overrides; arguments and errors as for `serve`."""
    return {folder: _config(folder, settings, overrides, config_dir) for folder in selected_runs(settings.runs)}


def _config(folder: Path, settings: Settings, overrides: Sequence[str], config_dir: Path | None) -> DictConfig:
    config = override(RunFolder(folder).config(settings.trust), overrides, config_dir)
    build_task(config).check_command("recommend", folder)
    # Beam search returns at most as many titles as it has beams. All requests use the same number, so that an answer
    # does not depend on the requests beside it.
    if "beams" in config.decoding:
        config.decoding.beams = max(settings.k, config.decoding.beams)
    return config


def bound_socket(host: str, port: int) -> socket.socket:
    """Returns a socket that is bound to an address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        raise InputError(
            f"host={host} port={port}: cannot listen there ({error.strerror}). Give another port or host"
        ) from error
    return listener


def _number(own: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = own.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10) or not least <= int(text) <= most:
        raise InputError(f"{name}={text}: give a whole number from {least} to {most}")
    return int(text)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)
