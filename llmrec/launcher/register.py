"""Makes llmrec's launchers known to Hydra."""

import sys
from types import ModuleType

from hydra.core.plugins import Plugins

from llmrec.launcher.local import LocalLauncher


def register_launchers() -> None:
    """Must run before Hydra composes a sweep."""
    # Registers what is installed, which may bring the real package hydra_plugins.
    plugins = Plugins.instance()
    # Hydra looks launchers up by name, in that package only, and one that ships inside another cannot lie there.
    sys.modules.setdefault("hydra_plugins", ModuleType("hydra_plugins"))
    module = sys.modules.setdefault(LocalLauncher.__module__, ModuleType(LocalLauncher.__module__))
    setattr(module, LocalLauncher.__name__, LocalLauncher)
    plugins.register(LocalLauncher)
