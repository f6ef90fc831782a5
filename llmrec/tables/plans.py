"""Plans of jobs, kept between commands: composing a cell's config and those of its stages takes up to a second."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from omegaconf import OmegaConf

from llmrec.atomic import atomic_file
from llmrec.code_hash import PACKAGE
from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError
from llmrec.training.cells import Cell
from llmrec.training.plan import Job, plan_job

Overrides = tuple[str, ...]
FILE = "plans.json"


def plan_jobs(asked: Mapping[Overrides, str]) -> dict[Overrides, Job | InputError]:
    """The job of each command, or why it cannot be planned; asked: overrides -> the name of their set.

    A plan follows from the code, conf/, the variables LLMREC_* and the files of the set. While none of these changes
    it is read from plans.json in the cache.
    """
    paths = OmegaConf.load(Path(conf_dir()) / "config.yaml").paths
    file, state = Path(paths.cache) / FILE, _state()
    kept = _kept(file, state)
    files = {dataset: _files(Path(paths.data) / dataset) for dataset in set(asked.values())}
    keys = {overrides: _digest([*overrides, *files[dataset]]) for overrides, dataset in asked.items()}
    missing = [overrides for overrides in asked if not _fits(kept.get(keys[overrides]), overrides)]
    if missing:
        with ProcessPoolExecutor() as pool:
            for overrides, plan in zip(missing, pool.map(_plan, missing, chunksize=4), strict=True):
                kept[keys[overrides]] = plan
        with atomic_file(file) as temporary:
            temporary.write_text(json.dumps({"state": state, "plans": kept}), encoding="utf-8")
    return {overrides: _opened(kept[key]) for overrides, key in keys.items()}


def _plan(overrides: Overrides) -> dict[str, Any]:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        try:
            return _packed(plan_job(overrides))
        except InputError as error:
            return {"error": str(error)}


def _packed(job: Job) -> dict[str, Any]:
    return {
        "overrides": job.overrides,
        "cell": str(job.cell.folder),
        "record": str(job.record),
        "stages": [_packed(stage) for stage in job.stages],
        "name": job.name,
    }


def _opened(plan: dict[str, Any]) -> Job | InputError:
    return InputError(plan["error"]) if "error" in plan else _unpacked(plan)


def _unpacked(plan: dict[str, Any]) -> Job:
    return Job(
        overrides=tuple(plan["overrides"]),
        cell=Cell(Path(plan["cell"])),
        record=Path(plan["record"]),
        stages=tuple(_unpacked(stage) for stage in plan["stages"]),
        name=plan["name"],
    )


def _kept(file: Path, state: str) -> dict[str, Any]:
    """The plans in a file, none if it was written in another state or cut short."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return dict(found["plans"]) if found["state"] == state else {}
    except (OSError, ValueError, KeyError):
        return {}


def _fits(plan: dict[str, Any] | None, asked: Overrides) -> bool:
    """Whether a kept plan runs only what was asked for and the stages that ship with llmrec.

    The cache may be somebody else's, and a plan holds commands.
    """
    if plan is None:
        return False
    if "error" in plan:
        return True
    shipped = [file.read_text(encoding="utf-8") for file in Path(conf_dir(), "stage").glob("*.yaml")]
    text = "\n".join([*asked, *shipped])
    words = [word for stage in plan["stages"] for word in stage["overrides"]]
    unknown = [word for word in words if word not in text and not re.fullmatch(r"task=\w+|stage=none", word)]
    nested = any(stage["stages"] for stage in plan["stages"])
    return tuple(plan["overrides"]) == asked and not nested and not unknown


def _state() -> str:
    sources = sorted([*PACKAGE.rglob("*.py"), *Path(conf_dir()).rglob("*.yaml")])
    variables = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("LLMREC_")]
    contents = [hashlib.sha256(source.read_bytes()).hexdigest() for source in sources]
    return _digest([*map(str, sources), *contents, *variables])


def _files(folder: Path) -> list[str]:
    """Name, size and time of change of each file of a set; a set that is not there has none."""
    found = [(file, file.stat()) for file in sorted(folder.glob("*")) if file.is_file()]
    return [f"{file.absolute()} {state.st_size} {state.st_mtime_ns}" for file, state in found]


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
