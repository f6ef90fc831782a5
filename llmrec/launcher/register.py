"""Registers llmrec's launchers and its sweeper with Hydra."""

import sys
from types import ModuleType

from hydra.core.plugins import Plugins

from llmrec.launcher.local import LocalLauncher
from llmrec.launcher.plan import PlanLauncher
from llmrec.launcher.search import SearchSweeper
from llmrec.launcher.slurm import SlurmLauncher


def register_plugins() -> None:
    """Registers the plugins; must run before Hydra composes a sweep."""
    # Creating the instance registers installed plugins, which may import a real package hydra_plugins.
    plugins = Plugins.instance()
    # Hydra looks plugins up by name in that package only, and a module of llmrec cannot be part of it.
    sys.modules.setdefault("hydra_plugins", ModuleType("hydra_plugins"))
    for plugin in (LocalLauncher, SlurmLauncher, PlanLauncher, SearchSweeper):
        module = sys.modules.setdefault(plugin.__module__, ModuleType(plugin.__module__))
        setattr(module, plugin.__name__, plugin)
        plugins.register(plugin)
