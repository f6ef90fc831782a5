"""One cell: python -m llmrec.run objective=msl dataset=games. Nothing heavy is imported before it is needed."""

import errno
import os
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from llmrec.atomic import check_writable, unwritable
from llmrec.conf_dir import conf_dir
from llmrec.errors import BUSY, BusyError, InputError
from llmrec.launcher.register import register_plugins
from llmrec.training.cells import cell_path
from llmrec.training.stages import PLANNED


def _cell(*, _root_: DictConfig) -> str:
    try:
        path = cell_path(_root_)
        _check_planned(Path(_root_.paths.runs) / path)
        # Hydra writes there before it calls `_run`, and says less when it cannot.
        check_writable(Path(_root_.paths.runs) / path)
        return path
    except InputError as error:
        # Hydra asks for the run's folder before it calls `_run`; an error there would come out as its own.
        _stop(error)
        raise


def _check_planned(folder: Path) -> None:
    planned = os.environ.get(PLANNED)
    if planned and Path(planned) != folder:
        raise InputError(
            f"a launcher planned this run as {planned}, now it would be {folder}: code, configuration or data have "
            "changed since the sweep began; start the sweep again"
        )


def _stop(error: InputError) -> None:
    print(f"llmrec: {error}", file=sys.stderr)
    sys.exit(BUSY if isinstance(error, BusyError) else 2)


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="config")
def _run(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    from llmrec.training.run_cell import run_cell

    composed = OmegaConf.create({**config, "hydra": HydraConfig.get()})
    try:
        run_cell(composed)
    except InputError as error:
        _stop(error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        _stop(unwritable(Path(error.filename or config.paths.runs), error))


def _follow() -> None:
    """What SLURM's tasks but the first do: they compose no config and write into no cell."""
    from llmrec.training.ranks import follow

    follow()


def main() -> None:
    """Entry point of `llmrec` and `python -m llmrec.run`."""
    # Threads that wait actively halt a machine that has other work; read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    OmegaConf.register_new_resolver("llmrec.cell", _cell, replace=True)
    register_plugins()
    try:
        if os.environ.get("SLURM_PROCID", "0") == "0":
            _run()
        else:
            _follow()
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
