"""Walks every key of every YAML under conf/: a value that makes no sense is refused in one line that names the key."""

import copy
import math
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmrec.compose import compose_run, shipped_config
from llmrec.conf_dir import conf_dir
from llmrec.settings.objects import check_objects
from llmrec.settings.run import Run
from llmrec.settings.typed import Check
from llmrec.training.run_folder import resolved_config

CONF = Path(conf_dir())
# The keys of conf/hydra/ are fields of Hydra's own plugins, which take their values from launcher and search.
FILES = sorted(str(file.relative_to(CONF)) for file in CONF.rglob("*.yaml") if "hydra" not in file.parts)
PARENTS = {
    "dataset/reader": [],
    "objective/oracle": ["objective=rosepo"],
    "objective/rejected": ["objective=dpo"],
    "objective/token_loss": ["objective=gdrt"],
}
"""What must be chosen for a group within another one."""
VALUES = {
    "a wrong type": {"other": [{}]},
    "negative": -1,
    "zero": 0,
    "NaN": math.nan,
    "an unknown choice": "unknown",
}
VALID = {
    ("zero", "a seed"): ["seed", "*.seed", "*.sample_seed"],
    ("zero", "the untuned model, or one without pretraining"): ["trainer.epochs", "backbone.pretraining.epochs"],
    ("zero", "no warm-up, decay or dropout"): ["trainer.warmup_steps", "*.weight_decay", "*.dropout"],
    ("zero", "no shrinkage"): ["baseline/itemknn.yaml baseline.shrink"],
    ("zero", "no length penalty"): ["decoding.length_penalty"],
    ("zero", "the assistant alone, or no assistant"): [
        "decoding/d3.yaml decoding.alpha",
        "decoding/grounding.yaml decoding.gamma",
    ],
    ("negative", "an exponent of either sign"): ["decoding.length_penalty"],
    ("zero", "leaves a term out of the loss"): [
        "objective/alro.yaml objective.alpha",
        "objective/alro.yaml objective.beta",
        "objective/apao.yaml objective.beta",
        "objective/cft.yaml objective.alpha",
        "objective/grpo.yaml objective.kl",
    ],
    ("zero", "no reward for the ranking"): ["objective/grpo.yaml objective.ranking"],
    ("zero", "weights that do not depend on the loss, the rank or the position"): [
        "objective/apao.yaml objective.eta",
        "objective*bear.yaml objective*topk_weight",
        "objective/cft.yaml objective.beta",
    ],
    ("zero", "no margin"): ["objective/simpo.yaml objective.gamma"],
    ("zero", "no moving average"): ["objective.ema"],
    ("zero", "no label noise"): ["objective.smoothing", "objective.oracle.cap", "objective.oracle.unseen"],
    ("zero", "uniform sampling"): ["objective.rejected.alpha", "dataset.simulator.zipf"],
    ("zero", "no series are continued"): ["dataset.simulator.loyalty"],
    ("zero", "lists without sampled negatives"): ["task.negatives"],
    ("zero", "the first GPU, or none on a cluster"): ["launcher.gpus"],
    ("an unknown choice", "a name of the user's own"): [
        "[!bi]*.name",
        "backbone.name",
        "baseline/[!n]* baseline.name",
        "scale",
        "logger.project",
        "launcher.group",
    ],
    ("an unknown choice", "a folder or file"): [
        "paths.*",
        "items.file",
        "adapter.path",
        "backbone.path",
        "backbone.gguf_file",
        "dataset.reader.interactions",
        "dataset.reader.items",
    ],
    ("an unknown choice", "a column of the user's file"): [
        "dataset.reader.columns.*",
        "dataset.reader.title",
        "dataset.reader.categories",
    ],
    ("an unknown choice", "a part of the names of files"): ["dataset.reader.category", "dataset.reader.genre"],
    ("an unknown choice", "an installed package"): ["backbone.package"],
    ("an unknown choice", "a kernel that transformers knows, or a hub's"): ["backbone.attention"],
    ("an unknown choice", "a name on the cluster"): ["launcher.partition", "launcher.account"],
    ("an unknown choice", "a folder, a hub name or a backbone"): [
        "dataset.reference.*",
        "objective.rejected.embeddings",
        "decoding.embeddings",
    ],
    ("an unknown choice", "words"): [
        "dataset.wording.*",
        "*.titles.number",
        "prompt.next_item",
        "prompt.rerank",
        "prompt.candidates",
    ],
    ("an unknown choice", "a range in Hydra's syntax"): ["search.space.*"],
    ("a wrong type", "options of sbatch"): ["launcher.more"],
}
"""Keys for which such a value is valid, with the reason."""


@pytest.mark.parametrize("file", FILES)
def test_every_key_is_checked(file: str) -> None:
    settings = composed(file)
    missed = []
    for key in keys_of(file):
        for kind, value in VALUES.items():
            message = refusal(settings, key, value)
            if (message is not None) == is_valid(file, key, kind):
                missed.append(f"{key}: {kind} is {'refused' if message else 'accepted'}")
            assert message is None or names(message, key), (key, kind, message)
    assert not missed


def test_no_reason_is_left_over() -> None:
    keys = [(file, key) for file in FILES for key in keys_of(file)]
    patterns = [pattern for listed in VALID.values() for pattern in listed]
    assert [pattern for pattern in patterns if not any(matches(file, key, pattern) for file, key in keys)] == []


def composed(file: str) -> dict[str, Any]:
    """Returns the settings of a run that uses a YAML."""
    group, _, option = file.removesuffix(".yaml").rpartition("/")
    chosen = [] if not group or group == "dataset/shared" else [*PARENTS.get(group, []), f"{group}={option}"]
    given = ["items.file=some.json"] if file == "items/tokens.yaml" else []
    with shipped_config():
        return resolved_config(compose_run([*chosen, *given]))


def keys_of(file: str) -> list[str]:
    """Returns the dotted keys that a YAML sets, where they stand in the config."""
    text = (CONF / file).read_text(encoding="utf-8")
    group = file.rpartition("/")[0].replace("/", ".").removesuffix(".shared")
    content = {key: value for key, value in (yaml.safe_load(text) or {}).items() if key not in ("defaults", "hydra")}
    package = "" if re.search(r"@package _global_", text) else group
    return [f"{package}.{key}" if package else key for key in leaves(content)]


def leaves(content: Mapping[str, Any]) -> Iterator[str]:
    """Yields the dotted keys of values that are no mappings, or empty ones."""
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from (f"{key}.{inner}" for inner in leaves(value))
        else:
            yield key


def refusal(settings: Mapping[str, Any], key: str, value: Any) -> str | None:
    """Returns the message that refuses a value of a key; None if it is accepted."""
    root, check = key.partition(".")[0], Check()
    changed = {root: copy.deepcopy(settings[root])}
    node, rest = changed, key
    while rest not in node and "." in rest:
        parent, _, rest = rest.partition(".")
        node = node[parent]
    node[rest] = value
    check.arguments(Run, changed, "", complete=False)
    check_objects(changed[root], root, check)
    return check.problems[0][1] if check.problems else None


def is_valid(file: str, key: str, kind: str) -> bool:
    """Returns whether a kind of value is valid for a key."""
    patterns = [pattern for (valid, _), listed in VALID.items() if valid == kind for pattern in listed]
    return any(matches(file, key, pattern) for pattern in patterns)


def matches(file: str, key: str, pattern: str) -> bool:
    """Returns whether a pattern, of a key or of a file and a key, stands for a key of a file."""
    return fnmatch(f"{file} {key}" if " " in pattern else key, pattern)


def names(message: str, key: str) -> bool:
    """Returns whether a message is one line that begins with a key, or with the mapping that it is an entry of."""
    named = re.split(r"[=: ]", message)[0]
    return "\n" not in message and (
        key == named or (key.startswith(f"{named}.") and ("." in named or named == "metrics"))
    )
