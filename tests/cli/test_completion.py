"""Tab completes commands, settings, options and arguments, also by bash itself."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmrec.cli import COMMANDS
from llmrec.completion import GROUPS, SCRIPT, completions

OBJECTIVES = [
    "alro", "apao", "bear", "cdpo", "cft", "dmpo", "dpo", "gdrt", "grpo", "igd", "msl", "rosepo", "sdpo", "sft",
    "simpo", "sprec", "sprec_sft",
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("llmrec re", ["recommend", "report", "reproduce"]),
        ("llmrec --v", ["--version"]),
        ("llmrec run bac", ["backbone="]),
        ("llmrec bac", ["backbone="]),
        ("llmrec run eval", ["evaluation."]),
        ("llmrec run objective/o", ["objective/oracle="]),
        ("llmrec run objective=", [f"objective={name}" for name in OBJECTIVES]),
        ("llmrec objective=", [f"objective={name}" for name in OBJECTIVES]),
        ("llmrec run -m objective=sft,m", ["objective=sft,msl"]),
        ("llmrec run +prompt=c", ["+prompt=chat"]),
        ("llmrec run objective=msl,dpo trainer.ep", ["trainer.epochs="]),
        ("llmrec run dataset.ref", ["dataset.reference."]),
        ("llmrec run objective=gdrt objective.token_loss.", []),
        ("llmrec run objective=msl objective.te", ["objective.temperature="]),
        ("llmrec run objective=sft objective.te", []),
        ("llmrec run objective=none_such objective.te", []),
        ("llmrec run nothing.of.the.kind", []),
        ("llmrec run --m", ["--multirun"]),
        ("llmrec compare ", ["--help", "metric=", "run=", "split="]),
        ("llmrec info --c", ["--clean"]),
        ("llmrec new ", ["--help"]),
        ("llmrec recommend run=runs/a dec", ["decoding.exclude_history=", "decoding="]),
        ("llmrec recommend bac", []),
        ("llmrec semantic-ids dataset=ga", ["dataset=games"]),
        ("llmrec serve run=ru", []),
    ],
)
def test_the_last_word_is_completed(line: str, expected: list[str]) -> None:
    assert completions(line) == expected


def test_every_command_has_completions_and_every_group_is_one_of_a_command() -> None:
    assert all(completions(f"llmrec {name} ") for name in COMMANDS)
    assert GROUPS.keys() <= COMMANDS.keys()


def test_options_of_ones_own_are_offered(tmp_path: Path) -> None:
    (tmp_path / "objective").mkdir()
    (tmp_path / "objective" / "mine.yaml").write_text("_target_: mine.Mine\nweight: 1\n")
    assert completions(f"llmrec run --config-dir {tmp_path} objective=mi") == ["objective=mine"]
    assert completions(f"llmrec run --config-dir {tmp_path} objective=mine objective.") == ["objective.weight="]
    assert completions(f"llmrec run --config-dir {tmp_path}/absent objective=mi") == []


def test_another_shell_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llmrec", "--completion", "fish"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert 'eval "$(llmrec --completion bash)"' in done.stderr


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which `llmrec` is the code under test."""
    program = tmp_path / "bin" / "llmrec"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m llmrec "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["llmrec", "recom"], ["recommend"]),
        # As bash splits `objective=m` by its default COMP_WORDBREAKS.
        (["llmrec", "run", "objective", "=", "m"], ["msl"]),
        (["llmrec", "run", "objective", "="], OBJECTIVES),
        (["llmrec", "serve", "run", "=", "ru"], []),
    ],
)
def test_bash_gets_what_replaces_its_last_word(words: list[str], expected: list[str], environment: dict) -> None:
    line = " ".join(words).replace(" = ", "=").replace(" =", "=")
    quoted = " ".join(f"'{word}'" for word in words)
    program = (
        'eval "$(llmrec --completion bash)"; '
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; COMP_POINT={len(line)}; "
        '_llmrec_complete llmrec; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-ic", program], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split() == expected


def test_tab_completes_in_a_terminal(environment: dict[str, str]) -> None:
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], {**environment, "PS1": "ready> ", "TERM": "dumb"})
    try:
        assert "ready> " in shown(terminal, "ready> ")
        os.write(terminal, b'eval "$(llmrec --completion bash)"\n')
        shown(terminal, "ready> ")
        os.write(terminal, b"llmrec run objective=ms\t trainer.ep\t")
        assert "llmrec run objective=msl  trainer.epochs=" in shown(terminal, "trainer.epochs=")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


def shown(terminal: int, end: str) -> str:
    """Returns what a terminal shows until a text appears in it, or for a minute."""
    text, last = "", time.monotonic() + 60
    while end not in text and time.monotonic() < last:
        if select.select([terminal], [], [], 1)[0]:
            text += os.read(terminal, 4096).decode()
    return text


def test_the_script_is_what_the_command_prints() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llmrec", "--completion", "bash"], capture_output=True, text=True, check=True
    )
    assert done.stdout == SCRIPT
