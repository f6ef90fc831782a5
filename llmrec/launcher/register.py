"""Makes llmrec's launchers and its sweeper known to Hydra."""

import sys
from types import ModuleType

from hydra.core.plugins import Plugins

from llmrec.launcher.local import LocalLauncher
from llmrec.launcher.search import SearchSweeper
from llmrec.launcher.slurm import SlurmLauncher


def register_plugins() -> None:
    """Must run before Hydra composes a sweep."""
    # Registers what is installed, which may bring the real package hydra_plugins.
    plugins = Plugins.instance()
    # Hydra looks plugins up by name, in that package only, and one that ships inside another cannot lie there.
    sys.modules.setdefault("hydra_plugins", ModuleType("hydra_plugins"))
    for plugin in (LocalLauncher, SlurmLauncher, SearchSweeper):
        module = sys.modules.setdefault(plugin.__module__, ModuleType(plugin.__module__))
        setattr(module, plugin.__name__, plugin)
        plugins.register(plugin)
