"""Jinja text, compiled and rendered in a sandbox; errors name the config key and the line."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, NoReturn

from jinja2 import StrictUndefined, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmrec.errors import InputError

ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
# The same prompt must be rendered each time, so nothing that draws random text is available.
del ENVIRONMENT.filters["random"], ENVIRONMENT.globals["lipsum"]
COMPILED = "<template>"
"""File name that Jinja gives to the code of a template in tracebacks."""


class Template:
    """A text in Jinja's syntax.

    Attributes:
        key: The config key that holds the text, for error messages.
        text: The text.
    """

    def __init__(self, key: str, text: str, names: Iterable[str]) -> None:
        """Compiles the text.

        Args:
            key: The config key that holds the text.
            text: The text.
            names: Names of the values that it may use.

        Raises:
            InputError: If the text has a syntax error or uses another name.
        """
        self.key, self.text = key, text
        try:
            syntax = ENVIRONMENT.parse(text)
            self._compiled = ENVIRONMENT.from_string(text)
        except TemplateSyntaxError as error:
            raise InputError(f"{key}, line {error.lineno}: {error.message}. Correct the template") from error
        self.names = meta.find_undeclared_variables(syntax)
        unknown = self.names - {*names, *ENVIRONMENT.globals}
        for name in syntax.find_all(nodes.Name):
            if name.name in unknown:
                raise InputError(f"{key}, line {name.lineno}: {name.name!r} is undefined. Use {_listed(names)}")

    def render(self, values: dict[str, Any]) -> str:
        """Renders the text.

        Args:
            values: The values that it may use, by name.

        Raises:
            InputError: If the text uses something that the values do not have or that the sandbox forbids.
        """
        try:
            return self._compiled.render(values)
        # The expressions of a template may raise any exception.
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        line = _template_line(error.__traceback__)
        raise InputError(
            f"{self.key}, line {line}: {error or type(error).__name__}. conf/prompt/alpaca.yaml describes what "
            "a template may use"
        ) from error


def _template_line(traceback: TracebackType | None) -> int:
    """Returns the line of the template that raised an exception."""
    line = 0
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == COMPILED:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _listed(names: Iterable[str]) -> str:
    *others, last = sorted(names)
    return f"{', '.join(others)} or {last}"
