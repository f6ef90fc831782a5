"""Plans jobs and caches the plans between commands."""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from llmrec.atomic import atomic_file
from llmrec.code_hash import PACKAGE
from llmrec.compose import shipped_config
from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError
from llmrec.training.plan import Job, plan_job
from llmrec.training.run_folder import RunFolder

Overrides = tuple[str, ...]
FILE = "plans.json"
NAMED_CHOICES = re.compile(r"task=\w+|stage=\w+|stage\.rounds=\d+")
"""Overrides of stages that name what the run's own YAML files chose."""


def plan_jobs(datasets: Mapping[Overrides, str]) -> dict[Overrides, Job | InputError]:
    """Plans the job of each command.

    A plan depends on the code, conf/, the environment variables LLMREC_*, the installed packages (some settings
    default to what is installed) and the files of the dataset. As long as none of these changes, it is read from
    plans.json in the cache.

    Args:
        datasets: Name of the dataset of each command, by its overrides.

    Returns:
        The job by overrides, or the error because of which it cannot be planned.
    """
    paths = OmegaConf.load(Path(conf_dir()) / "config.yaml").paths
    file, state = Path(paths.cache) / FILE, _state()
    plans = _cached_plans(file, state)
    files = {dataset: _files(Path(paths.data) / dataset) for dataset in set(datasets.values())}
    keys = {overrides: _digest([*overrides, *files[dataset]]) for overrides, dataset in datasets.items()}
    missing = [overrides for overrides in datasets if not _fits(plans.get(keys[overrides]), overrides)]
    if missing:
        with shipped_config():
            plans |= {keys[overrides]: _plan(overrides) for overrides in missing}
        with atomic_file(file) as temporary:
            temporary.write_text(json.dumps({"state": state, "plans": plans}), encoding="utf-8")
    return {overrides: _job_or_error(plans[key]) for overrides, key in keys.items()}


def _plan(overrides: Overrides) -> dict[str, Any]:
    try:
        return _as_json(plan_job(overrides))
    except InputError as error:
        return {"error": str(error)}


def _as_json(job: Job) -> dict[str, Any]:
    return {
        "overrides": job.overrides,
        "run": str(job.run.folder),
        "record": str(job.record),
        "measuring_key": job.measuring_key,
        "stages": [_as_json(stage) for stage in job.stages],
        "assistants": [_as_json(assistant) for assistant in job.assistants],
        "name": job.name,
    }


def _job_or_error(plan: dict[str, Any]) -> Job | InputError:
    return InputError(plan["error"]) if "error" in plan else _as_job(plan)


def _as_job(plan: dict[str, Any]) -> Job:
    return Job(
        overrides=tuple(plan["overrides"]),
        run=RunFolder(Path(plan["run"])),
        record=Path(plan["record"]),
        measuring_key=plan["measuring_key"],
        stages=tuple(_as_job(stage) for stage in plan["stages"]),
        assistants=tuple(_as_job(assistant) for assistant in plan["assistants"]),
        name=plan["name"],
    )


def _cached_plans(file: Path, state: str) -> dict[str, Any]:
    """Returns the plans in a file; none if the file is incomplete or was written in another state."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return dict(found["plans"]) if found["state"] == state else {}
    except (OSError, ValueError, KeyError):
        return {}


def _fits(plan: dict[str, Any] | None, requested: Overrides) -> bool:
    """Whether a cached plan runs only the requested command and the stages that ship with llmrec.

    The check is needed since a plan contains commands, and the cache may have been written by someone else.
    """
    if plan is None:
        return False
    if "error" in plan:
        return True
    shipped = [file.read_text(encoding="utf-8") for file in Path(conf_dir(), "stage").glob("*.yaml")]
    baselines = [f"baseline={file.stem}" for file in Path(conf_dir(), "baseline").glob("*.yaml")]
    assistant = [text.replace("decoding.assistant.", "baseline.") for text in requested]
    text = "\n".join([*requested, *shipped, *baselines, *assistant])
    needed = [*plan["stages"], *plan["assistants"]]
    try:
        known = all(word in text or NAMED_CHOICES.fullmatch(word) for word in _words(needed))
    except HydraException:
        return False
    return tuple(plan["overrides"]) == requested and known


def _words(stages: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yields the overrides of stages and of the stages and assistants that these need."""
    for stage in stages:
        for word in stage["overrides"]:
            yield from _listed(word)
        yield from _words([*stage["stages"], *stage["assistants"]])


def _listed(word: str) -> list[str]:
    """Returns the overrides that stage.start=[...] lists; any other override alone."""
    if not word.startswith("stage.start="):
        return [word]
    value = OverridesParser.create().parse_override(word).value()
    return [str(override) for override in value] if isinstance(value, list) else [word]


def _state() -> str:
    """Hashes the code, conf/, the environment variables LLMREC_* and the names and versions of installed packages."""
    sources = sorted([*PACKAGE.rglob("*.py"), *Path(conf_dir()).rglob("*.yaml")])
    variables = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("LLMREC_")]
    contents = [hashlib.sha256(source.read_bytes()).hexdigest() for source in sources]
    # importlib.metadata would open a file of each package.
    packages = sorted(info.name for folder in sys.path for info in Path(folder).glob("*.dist-info"))
    return _digest([*map(str, sources), *contents, *variables, *packages])


def _files(folder: Path) -> list[str]:
    """Lists path, size and modification time of each file of a dataset; empty if there is no such folder."""
    found = [(file, file.stat()) for file in sorted(folder.glob("*")) if file.is_file()]
    return [f"{file.absolute()} {state.st_size} {state.st_mtime_ns}" for file, state in found]


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
