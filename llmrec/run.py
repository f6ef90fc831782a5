"""Trains and evaluates a run: python -m llmrec.run objective=msl dataset=games.

Heavy packages are imported inside functions, so that --help and planning stay fast.
"""

import os
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

import hydra
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationResolutionError, MissingMandatoryValue

from llmrec.atomic import check_writable, disk_error
from llmrec.command import (
    cleaning_up_at_sigterm,
    expand_home,
    flags_last,
    garbage_collection_paused,
    print_any_text,
    split_config_dir,
)
from llmrec.conf_dir import conf_dir
from llmrec.errors import BUSY, BusyError, InputError
from llmrec.launcher.register import register_plugins
from llmrec.renamed import refuse_renamed_overrides
from llmrec.settings.check import check_classes
from llmrec.settings.composition import (
    COMPOSITION_ERRORS,
    composition_error,
    refuse_group_values,
    refuse_unknown_flags,
    refuse_unknown_hydra_keys,
)
from llmrec.threads import limit_spinning
from llmrec.training.cluster import LaunchedRank, launched_rank
from llmrec.training.run_folder import resolved_config, run_path
from llmrec.training.stages import PLANNED

UNRESOLVED = (InterpolationKeyError, InterpolationResolutionError, MissingMandatoryValue)
"""Errors about settings that others refer to. A run itself works on a resolved config, which raises none of them."""


def _run_folder(*, _root_: DictConfig) -> str:
    """Returns the run's folder below runs/, as the resolver `llmrec.run_path` of conf/config.yaml."""
    try:
        settings = resolved_config(_root_)
        _import_packages(settings["logger"]["wandb"])
        check_classes(settings)
        path = run_path(_root_)
        _check_planned(Path(_root_.paths.runs) / path)
        # Hydra writes there before it calls `_run`, and its own error names neither cause nor remedy.
        check_writable(Path(_root_.paths.runs) / path)
        return path
    except InputError as error:
        # Hydra resolves the run's folder before it calls `_run`, and would report this error as one of its own.
        _exit_with(error)
        raise


@cache
def _import_packages(wandb: bool) -> None:
    """Imports what a run needs before its first training step, in the order that takes the least time.

    Args:
        wandb: Whether the run logs to W&B.
    """
    with garbage_collection_paused():
        if wandb:
            # What W&B imports when it starts defines classes with pydantic, which searches all imported modules for
            # the source of each class. After torch and transformers this takes 0.7 seconds longer than before them.
            # Where W&B is not installed, a run warns later and logs to curves.csv only.
            with suppress(ImportError):
                import_module("wandb.sdk.launch")
        import_module("llmrec.training.run_configuration")


def _check_planned(folder: Path) -> None:
    planned = os.environ.get(PLANNED)
    if planned and Path(planned) != folder:
        raise InputError(
            f"the launcher planned this run as {planned}, but now it is {folder}: code, configuration or data have "
            "changed since the sweep began; start the sweep again"
        )


def _exit_with(error: InputError) -> None:
    print(f"llmrec: {error}", file=sys.stderr)
    sys.exit(BUSY if isinstance(error, BusyError) else 2)


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="config")
def _run(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    from llmrec.training.run_configuration import run_configuration

    composed = OmegaConf.create({**config, "hydra": HydraConfig.get()})
    try:
        run_configuration(composed)
    except InputError as error:
        _exit_with(error)
    except (OSError, RuntimeError) as error:
        full = disk_error(error, Path(config.paths.runs))
        if full is None:
            raise
        _exit_with(full)


def _run_as_rank(me: LaunchedRank) -> None:
    """Runs one of the processes that a launcher has started; only rank 0 composes the config and writes results."""
    if {"-m", "--multirun"} & set(sys.argv[1:]):
        raise InputError(
            f"WORLD_SIZE is {me.world_size}, but a sweep (-m) is started as one process. Start it without torchrun or "
            "srun; with launcher=slurm each of its runs is a job"
        )
    with garbage_collection_paused():
        from llmrec.training.ranks import coordinator, follow_coordinator

    if me.rank:
        follow_coordinator(me)
        return
    with coordinator(me):
        _run()


def main() -> None:
    """Entry point of `llmrec run` and `python -m llmrec.run`."""
    limit_spinning()
    # Hydra raises its errors instead of printing them with the advice to add an unknown key.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    OmegaConf.register_new_resolver("llmrec.run_path", _run_folder, replace=True)
    register_plugins()
    print_any_text()
    sys.argv[1:] = flags_last(expand_home(sys.argv[1:]))
    with cleaning_up_at_sigterm():
        _main()


def _main() -> None:
    folders: list[str] = []
    try:
        config_dir, _ = split_config_dir(sys.argv[1:])
        folders += [str(config_dir)] if config_dir else []
        refuse_unknown_flags(sys.argv[1:])
        refuse_renamed_overrides(sys.argv[1:])
        refuse_unknown_hydra_keys(sys.argv[1:])
        refuse_group_values(sys.argv[1:], folders)
        me = launched_rank()
        if me is None:
            _run()
        else:
            _run_as_rank(me)
    except InputError as error:
        _exit_with(error)
    except (*COMPOSITION_ERRORS, *UNRESOLVED) as error:
        _exit_with(composition_error(error, folders))
    except CompactHydraException as error:
        # A sweep of which a job failed.
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except (OSError, RuntimeError) as error:
        # Of a launcher, or of Hydra, which writes the run's config.
        full = disk_error(error, Path.cwd())
        if full is None:
            raise
        _exit_with(full)


if __name__ == "__main__":
    main()
