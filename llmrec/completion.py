"""Tab completion of `llmrec` in bash, switched on by `eval "$(llmrec --completion bash)"`.

Bash calls `llmrec --completion-of LINE` at each Tab. Commands and options are completed in 0.1 seconds, from the help
texts and the folders of YAML files; only a key with a dot needs the composed config.
"""

import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from llmrec.cli import COMMANDS
from llmrec.command import split_config_dir
from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError

SCRIPT = r"""_llmrec_complete() {
    local typed=${COMP_LINE:0:COMP_POINT} IFS=$'\n' start=
    local word=${typed##*[[:space:]]}
    # Bash replaces only what stands behind the last "=", unless "=" has been removed from its word breaks.
    [[ $COMP_WORDBREAKS == *=* && $word == *=* ]] && start=${word%"${word##*=}"}
    COMPREPLY=($("$1" --completion-of "$typed" 2>/dev/null))
    # No space after a key whose value or child is still missing. Outside of a Tab, compopt is an error.
    [[ ${COMPREPLY[0]-} == *[=.] ]] && compopt -o nospace 2>/dev/null
    COMPREPLY=("${COMPREPLY[@]#"$start"}")
}
complete -o default -F _llmrec_complete llmrec
"""
RUN_FLAGS = ("-m", "--config-dir", "--help", "--cfg", "--multirun", "--resolve")
"""Flags of `llmrec run`, whose help is Hydra's."""
ANY = ("",)
GROUPS = {
    "run": ANY, "plan": ANY, "evaluate": ANY, "measure": ("metrics",), "recommend": ("decoding",),
    "serve": ("decoding",), "diagnose": ("decoding",), "semantic-ids": ("dataset", "scale"),
}  # fmt: skip
"""The commands that take settings of a run, with the beginnings of those."""
TOP_KEYS = ("evaluation.", "paths.", "seed=", "validation.")
"""Settings of conf/config.yaml that belong to no group."""
ARGUMENT = re.compile(r"(?<![\w.=/?-])(?:[a-z_]+(?:\.[a-z_]+)?=|--[a-z][a-z-]+)")
"""An argument in the help text of a command."""


def main() -> None:
    """Entry point of `llmrec --completion bash`, and of the calls that its script makes."""
    flag, *arguments = sys.argv[1:]
    if flag == "--completion-of" and len(arguments) == 1:
        print("\n".join(completions(arguments[0])))
    elif arguments == ["bash"]:
        print(SCRIPT, end="")
    else:
        print('llmrec: --completion is for bash: eval "$(llmrec --completion bash)"', file=sys.stderr)
        sys.exit(2)


def completions(line: str) -> list[str]:
    """Returns what the last word of a command line can become.

    Args:
        line: The line up to the cursor, beginning with the name of the command.
    """
    _, *words = line.split()
    *before, word = words if words and not line[-1].isspace() else [*words, ""]
    if not before:
        commands = _fitting([*COMMANDS, "--completion", "--help", "--version"], word)
        if commands:
            return commands
    name, *others = before if before and before[0] in COMMANDS else ["run", *before]
    # `+` and `~` in front of a setting are Hydra's.
    sign = word[: len(word) - len(word.lstrip("+~"))]
    found = [*_arguments(name), *_settings(word[len(sign) :], others, GROUPS.get(name, ()))]
    return [sign + text for text in _fitting(dict.fromkeys(found), word[len(sign) :])]


def _fitting(texts: Sequence[str] | dict[str, None], word: str) -> list[str]:
    return sorted(text for text in texts if text.startswith(word))


def _arguments(name: str) -> Iterator[str]:
    """Yields the arguments that the help text of a command names."""
    if name == "run":
        yield from RUN_FLAGS
    else:
        text = importlib.import_module(COMMANDS[name].module).HELP
        # The help of `new` shows a command of another module.
        own = [line for line in text.splitlines() if "llmrec.run " not in line]
        yield from ("--help", *ARGUMENT.findall("\n".join(own)))


def _settings(word: str, before: Sequence[str], beginnings: Sequence[str]) -> Iterator[str]:
    """Yields settings of a run: groups with their options, and the keys beside the one that a word begins with."""
    try:
        own, _ = split_config_dir(before)
    except InputError:
        own = None
    groups = _groups([Path(conf_dir()), *([own] if own else [])])
    key, equals, value = word.partition("=")
    texts: list[str] = []
    if equals:
        # In a sweep, the options of a group are separated by commas.
        done = value[: value.rfind(",") + 1]
        texts = [f"{key}={done}{option}" for option in groups.get(key, ())]
    elif "." in key:
        texts = _keys(key.rpartition(".")[0], [text for text in before if text.partition("=")[0] in groups], own)
    else:
        texts = [*(f"{group}=" for group in groups), *TOP_KEYS]
    yield from (text for text in texts if text.startswith(tuple(beginnings)))


def _groups(folders: Sequence[Path]) -> dict[str, list[str]]:
    """Returns the options of each group in folders of YAML files."""
    groups: dict[str, list[str]] = {}
    for folder in folders:
        for file in folder.glob("*/**/*.yaml"):
            group = file.parent.relative_to(folder).as_posix()
            # `shared` holds parts of other files, and hydra/ what the group launcher sets.
            if not group.startswith("hydra/") and file.parent.name != "shared":
                groups.setdefault(group, []).append(file.stem)
    return groups


def _keys(parent: str, choices: Sequence[str], own: Path | None) -> list[str]:
    """Returns the keys in a mapping of a run's config, or nothing if there is no such mapping.

    Args:
        parent: The mapping's dotted key.
        choices: The words that choose options of groups.
        own: A folder of the user's own YAML files.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import DictConfig, OmegaConf

    # Of a sweep, the first option.
    overrides = [choice.partition(",")[0] for choice in choices]
    if own:
        overrides.append(f"hydra.searchpath=[file://{own.resolve()}]")
    try:
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            node = OmegaConf.select(compose("config", overrides), parent)
    except HydraException:
        return []
    if not isinstance(node, DictConfig):
        return []
    return [
        f"{parent}.{key!s}{'.' if OmegaConf.is_dict(value) else '='}"
        for key, value in node.items_ex(resolve=False)
        if key != "_target_"
    ]
