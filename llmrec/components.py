"""Identifies the code that determines a result: versions of shipped components, edited files, the user's own modules.

Uses the standard library only.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llmrec.code_hash import PACKAGE, file_digest, imported_files, module_file
from llmrec.versions import NEUTRAL, VERIFIED, VERSIONS

COMPONENTS = {
    "backbones": (
        "llmrec.backbones.load",
        "llmrec.backbones.array_cache",
        "llmrec.backbones.embeddings",
        "llmrec.backbones.relevance",
    ),
    "backbones.gguf": ("llmrec.backbones.gguf",),
    "backbones.tiny": (
        "llmrec.backbones.tiny",
        "llmrec.prompts.candidates_pretraining",
        "llmrec.prompts.next_item_pretraining",
        "llmrec.prompts.rerank_pretraining",
    ),
    "baselines": ("llmrec.training.fit_baseline",),
    "baselines.itemknn": ("llmrec.baselines.itemknn",),
    "baselines.mean_rating": ("llmrec.baselines.mean_rating",),
    "baselines.popularity": ("llmrec.baselines.popularity",),
    "baselines.random": ("llmrec.baselines.random",),
    "baselines.sasrec": ("llmrec.baselines.sasrec",),
    "catalogue": ("llmrec.catalogue.cached", "llmrec.catalogue.item_tokens", "llmrec.catalogue.permutations"),
    "datasets": ("llmrec.datasets.load",),
    "datasets.lists": ("llmrec.datasets.stored_lists",),
    "datasets.readers.amazon": ("llmrec.datasets.readers.amazon",),
    "datasets.readers.generic": ("llmrec.datasets.readers.generic",),
    "datasets.readers.goodreads": ("llmrec.datasets.readers.goodreads",),
    "datasets.readers.lastfm": ("llmrec.datasets.readers.lastfm",),
    "datasets.readers.lcrec": ("llmrec.datasets.readers.lcrec",),
    "datasets.readers.minionerec": ("llmrec.datasets.readers.minionerec",),
    "datasets.readers.movielens": ("llmrec.datasets.readers.movielens",),
    "datasets.readers.msl": ("llmrec.datasets.readers.msl",),
    "datasets.readers.recbole": ("llmrec.datasets.readers.recbole",),
    "datasets.readers.sdpo": ("llmrec.datasets.readers.sdpo",),
    "datasets.readers.steam": ("llmrec.datasets.readers.steam",),
    "datasets.readers.yelp": ("llmrec.datasets.readers.yelp",),
    "datasets.simulator": ("llmrec.datasets.simulator",),
    "decoding.candidates_decoder": ("llmrec.decoding.candidates_decoder",),
    "decoding.catalogue_decoder": ("llmrec.decoding.catalogue_decoder",),
    "decoding.d3_decoder": ("llmrec.decoding.d3_decoder",),
    "decoding.exact_decoder": ("llmrec.decoding.exact_decoder",),
    "decoding.grounding_decoder": ("llmrec.decoding.grounding_decoder",),
    "decoding.list_decoder": ("llmrec.decoding.list_decoder",),
    "diagnosis": ("llmrec.diagnosis.diagnose_run", "llmrec.diagnosis.beam_run"),
    "examples": ("llmrec.examples.next_item", "llmrec.examples.rerank"),
    "metrics": (
        "llmrec.metrics",
        "llmrec.metrics.shipped",
        "llmrec.evaluation.significance",
        "llmrec.tasks.candidates_record",
        "llmrec.tasks.catalogue_record",
        "llmrec.tasks.list_record",
    ),
    "objectives.alro": ("llmrec.objectives.alro",),
    "objectives.apao": ("llmrec.objectives.apao",),
    "objectives.bear": ("llmrec.objectives.bear",),
    "objectives.cdpo": ("llmrec.objectives.cdpo",),
    "objectives.cft": ("llmrec.objectives.cft",),
    "objectives.dmpo": ("llmrec.objectives.dmpo",),
    "objectives.dpo": ("llmrec.objectives.dpo",),
    "objectives.gdrt": ("llmrec.objectives.gdrt",),
    "objectives.grpo": ("llmrec.objectives.grpo",),
    "objectives.igd": ("llmrec.objectives.igd",),
    "objectives.msl": ("llmrec.objectives.msl",),
    "objectives.oracle": ("llmrec.objectives.oracle",),
    "objectives.rejected.candidates": ("llmrec.objectives.rejected.candidates",),
    "objectives.rejected.mixture": ("llmrec.objectives.rejected.mixture",),
    "objectives.rejected.popularity": ("llmrec.objectives.rejected.popularity",),
    "objectives.rejected.self_hard": ("llmrec.objectives.rejected.self_hard",),
    "objectives.rejected.semantic": ("llmrec.objectives.rejected.semantic",),
    "objectives.rosepo": ("llmrec.objectives.rosepo",),
    "objectives.sdpo": ("llmrec.objectives.sdpo",),
    "objectives.simpo": ("llmrec.objectives.simpo",),
    "objectives.sft": ("llmrec.objectives.sft",),
    "objectives.sprec": ("llmrec.objectives.sprec",),
    "prompts": ("llmrec.prompts.chat", "llmrec.prompts.next_item", "llmrec.prompts.rerank"),
    "ranking": (
        "llmrec.tasks.catalogue_ranker",
        "llmrec.tasks.catalogue_rankings",
        "llmrec.tasks.list_ranker",
        "llmrec.tasks.list_rankings",
    ),
    "reference": ("llmrec.evaluation.reference_features",),
    "tasks": ("llmrec.tasks.next_item", "llmrec.tasks.rerank"),
    "tasks.candidates": ("llmrec.tasks.candidates",),
    "training": (
        "llmrec.training.train",
        "llmrec.training.open_dataset",
        "llmrec.tasks.catalogue_validation",
        "llmrec.tasks.list_validation",
    ),
}
"""The modules of each component; all that they import, directly or indirectly, belongs to it as well."""

COMPONENT_OF = {module: name for name, modules in COMPONENTS.items() for module in modules}

INFRASTRUCTURE = {
    **{
        f"llmrec.{file.stem}": "commands, files, errors and keys"
        for file in PACKAGE.glob("*.py")
        if file.stem not in ("__init__", "collectives")
    },
    "llmrec.launcher": "starts runs",
    "llmrec.processes": "starts processes",
    "llmrec.settings": "checks settings, which are part of keys",
}
"""Modules and packages that change no result, with the reason. Nobody's imports of them are followed."""
NO_RESULT = {
    **INFRASTRUCTURE,
    "llmrec.backbones.gguf": "makes base models, which have a key of their own",
    "llmrec.backbones.tiny": "makes base models, which have a key of their own",
    "llmrec.baselines.open": "opens what a key of its own identifies",
    "llmrec.datasets.simulator": "the data has a key of its own",
    "llmrec.datasets.source": "makes the key of the data",
    "llmrec.datasets.stored_lists": "a component of its own, which the tasks rerank and candidates use",
    "llmrec.diagnosis.beam_files": "prints, draws and writes",
    "llmrec.diagnosis.plot": "draws",
    "llmrec.diagnosis.stored": "writes and reads files",
    "llmrec.diagnosis.table": "prints",
    "llmrec.evaluation.reference_features": "a component of its own, for metrics and embeddings",
    "llmrec.evaluation.significance": "standard errors, which only the metrics have",
    "llmrec.metrics": "a component of its own, computed from rankings",
    "llmrec.tasks.base": "the interface of tasks, whose parts are components",
    "llmrec.tasks.candidates_record": "a part of the component metrics",
    "llmrec.tasks.candidates_tables": "prints",
    "llmrec.tasks.catalogue_record": "a part of the component metrics",
    "llmrec.tasks.catalogue_tables": "prints",
    "llmrec.tasks.console": "prints",
    "llmrec.tasks.list_record": "a part of the component metrics",
    "llmrec.tasks.list_tables": "prints",
    "llmrec.training.cluster": "finds out by what a rank was started",
    "llmrec.training.curves": "writes what was logged",
    "llmrec.training.logged_recommendations": "writes what was logged",
    "llmrec.training.open_run": "opens what a key of its own identifies",
    "llmrec.training.quiet": "silences libraries",
    "llmrec.training.rendezvous": "connects ranks",
    "llmrec.training.run_folder": "names and locks folders",
    "llmrec.training.stages": "finds stages, which have keys of their own",
}
"""The same for the imports of components; a component that names one of them follows it."""


@dataclass(frozen=True)
class Code:
    """The code that determines a result.

    Attributes:
        versions: The result versions of the shipped components in use.
        edited: Digests of their files that are not as they were when the versions were verified.
        own: Digests of other files: the user's modules, and what they import of llmrec beyond the components.
    """

    versions: dict[str, int]
    edited: dict[str, str]
    own: dict[str, str]

    def __or__(self, other: "Code") -> "Code":
        """Returns the code of two steps together."""
        return Code(self.versions | other.versions, self.edited | other.edited, self.own | other.own)


def code(components: Iterable[str], targets: Iterable[str] = ()) -> Code:
    """Identifies the code of components and of classes that settings name.

    Args:
        components: Names of shipped components.
        targets: Modules of the classes that settings name as `_target_`, shipped or of the user.

    Raises:
        InputError: A module does not exist, or a file cannot be parsed.
    """
    return _code(frozenset(components), frozenset(targets), tuple(sys.path))


@cache
def _code(components: frozenset[str], targets: frozenset[str], search_path: tuple[str, ...]) -> Code:
    """Does what `code` does; `search_path`, which is sys.path, is an argument only to be part of the cache's key."""
    own = sorted(target for target in targets if target not in COMPONENT_OF)
    files = imported_files(own, INFRASTRUCTURE) if own else set()
    named = components | {COMPONENT_OF[target] for target in targets - set(own)}
    files |= {file for name in named for file in component_files(name)}
    # A component may build on another one, as the self-hard sampler does on the decoder.
    reached = {COMPONENT_OF[module] for module in COMPONENT_OF if module_file(module) in files}
    in_use = sorted(named | reached)
    shipped = {file for name in in_use for file in component_files(name)}
    digests = {file_name(file): (file_digest(file), file in shipped) for file in sorted(files)}
    edited = {name: digest for name, (digest, known) in digests.items() if known and VERIFIED.get(name) != digest}
    others = {name: digest for name, (digest, known) in digests.items() if not known}
    return Code({name: VERSIONS[name] for name in in_use}, edited, others)


@cache
def component_files(component: str) -> frozenset[Path]:
    """Returns the files of a component."""
    modules = COMPONENTS[component]
    return frozenset(imported_files(modules, NO_RESULT.keys() - set(modules)))


def file_name(file: Path) -> str:
    """Returns the name of a file in keys, which does not depend on the folder that the package lies in."""
    shipped = file.is_relative_to(PACKAGE)
    return file.relative_to(PACKAGE).as_posix() if shipped else f"{file.parent.name}/{file.name}"


def digest(*parts: Any) -> str:
    """Hashes the parts of a key: settings, keys and code.

    Args:
        parts: Plain containers, numbers, texts and `Code`. Settings stand in a mapping by the name of their group.

    Returns:
        16 hex digits.
    """
    plain = [asdict(part) if isinstance(part, Code) else canonical(part) for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:16]


def canonical(settings: Any, name: str = "") -> Any:
    """Returns settings in the form in which keys contain them.

    Whole numbers become integers, so that 42.0 is 42, and sequences become lists. Settings with the value that NEUTRAL
    gives for their name are left out.
    """
    if isinstance(settings, Mapping):
        values = {str(key): (f"{name}.{key}" if name else str(key), value) for key, value in settings.items()}
        kept = {key: pair for key, pair in values.items() if pair[0] not in NEUTRAL or NEUTRAL[pair[0]] != pair[1]}
        return {key: canonical(value, dotted) for key, (dotted, value) in kept.items()}
    if isinstance(settings, list | tuple):
        return [canonical(value, name) for value in settings]
    return int(settings) if isinstance(settings, float) and settings.is_integer() else settings
