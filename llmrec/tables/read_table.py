"""Reads tables from experiments/<table>.yaml and checks them; errors name the file and the key."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from llmrec.conf_dir import tables_dir
from llmrec.errors import InputError
from llmrec.tables.definition import SCORES, Metric, Preset, Published, Row, Table
from llmrec.tables.measures import figure_of, has_sums, has_users, is_known

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SHIPPED = (
    "msl_accuracy",
    "gdrt_fairness",
    "rosepo_harm",
    "alro_rerank",
    "msl_ablation",
    "efficiency",
    "objectives",
    "claims",
)
"""Names of the tables in the order of a report."""
SCALES = "scales.yaml"
Made = TypeVar("Made", bound="DataclassInstance")
Element = TypeVar("Element")


def shipped_table(name: str) -> Table:
    """Reads a table that ships with llmrec.

    Raises:
        InputError: There is no such table, or its YAML is invalid.
    """
    if name not in SHIPPED:
        raise InputError(f"tables={name}: there is no such table. Choose from {', '.join(SHIPPED)}")
    return read_table(Path(tables_dir()) / f"{name}.yaml")


def read_table(file: Path) -> Table:
    """Reads a table from its YAML, with the settings of its scales from scales.yaml in the same folder.

    Raises:
        InputError: The YAML is invalid. The message names the file and the key.
    """
    return _Reader(file).table(_load(file), _load(file.with_name(SCALES)))


def _load(file: Path) -> dict[str, Any]:
    try:
        content = OmegaConf.to_container(OmegaConf.load(file))
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
    except (YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected keys such as title and rows, got {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


class _Reader:
    """Converts and checks the content of a file; errors name the file and the key."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def table(self, given: dict[str, Any], shared: dict[str, Any]) -> Table:
        scales = self._mapping(given.pop("scales", None), "scales")
        own_metrics = self._texts(given.pop("own_metrics", []), "own_metrics")
        parts = {
            "name": self.file.stem,
            "own_metrics": own_metrics,
            "metrics": self._metrics(given.pop("metrics", None), own_metrics),
            "rows": self._rows(given.pop("rows", None)),
            "tested": self._texts(given.pop("tested", []), "tested"),
            "notes": self._texts(given.pop("notes", []), "notes"),
            "published": tuple(
                self._published(block, f"published[{i}]") for i, block in enumerate(given.pop("published", []))
            ),
        }
        table = self._make(Table, given | parts | {"presets": {}}, "")
        self._check(table)
        return replace(table, presets={scale: self._preset(table, scale, own, shared) for scale, own in scales.items()})

    def _check(self, table: Table) -> None:
        self._known(table.task, SCORES, "task")
        self._known(table.scores, SCORES[table.task], "scores")
        self._known(table.reference, [row.name for row in table.rows], "reference")
        metrics = {metric.name: metric for metric in table.metrics}
        for name in table.tested:
            self._known(name, metrics, "tested")
            if not (has_users(metrics[name].metric_path) or has_sums(metrics[name].metric_path)):
                raise self._error("tested", f"{name} cannot be tested by resampling users. Remove it from the list")

    def _metrics(self, given: Any, own_metrics: tuple[str, ...]) -> tuple[Metric, ...]:
        metrics = []
        for name, settings in self._mapping(given, "metrics").items():
            where = f"metrics.{name}"
            settings = self._mapping(settings, where)
            figure = figure_of(str(settings.get("metric_path")))
            defined = {} if figure is None else {"direction": figure.direction}
            metric = self._make(Metric, {"name": name, **defined, **settings}, where)
            if not is_known(metric.metric_path, own_metrics):
                raise self._error(
                    where,
                    f"metric_path {metric.metric_path!r} is no metric of a record. Give a path "
                    "such as by_title.ndcg@10",
                )
            self._known(metric.direction, ("higher", "lower", None), f"{where}.direction")
            metrics.append(metric)
        return tuple(metrics)

    def _rows(self, given: Any) -> tuple[Row, ...]:
        rows = []
        for name, settings in self._mapping(given, "rows").items():
            where = f"rows.{name}"
            full = {"overrides": settings} if isinstance(settings, list) else self._mapping(settings, where)
            overrides = self._texts(full.get("overrides"), f"{where}.overrides")
            rows.append(self._make(Row, {"name": name, **full, "overrides": overrides}, where))
        return tuple(rows)

    def _preset(self, table: Table, scale: str, own: Any, shared: Mapping[str, Any]) -> Preset:
        where = f"scales.{scale}"
        self._known(scale, shared, "scales")
        own = {"scores": table.scores, **self._mapping(own, where)}
        both = shared[scale] | own | {"scale": scale}
        both["overrides"] = self._texts(shared[scale]["overrides"] + own.get("overrides", []), f"{where}.overrides")
        both["datasets"] = self._texts(both.get("datasets"), f"{where}.datasets")
        both["seeds"] = self._list(both.get("seeds"), int, f"{where}.seeds")
        preset = self._make(Preset, both, where)
        self._known(preset.scores, SCORES[table.task], f"{where}.scores")
        self._known(preset.needs, ("gpu", None), f"{where}.needs")
        return preset

    def _published(self, block: Any, where: str) -> Published:
        given = dict(self._mapping(block, where))
        datasets, metrics = (self._texts(given.get(key), f"{where}.{key}") for key in ("datasets", "metrics"))
        rows = self._mapping(given.pop("rows", None), f"{where}.rows")
        figures = {name: self._figures(row, datasets, metrics, f"{where}.rows.{name}") for name, row in rows.items()}
        return self._make(Published, given | {"datasets": datasets, "metrics": metrics, "figures": figures}, where)

    def _figures(
        self, row: Any, datasets: Sequence[str], metrics: Sequence[str], where: str
    ) -> dict[str, dict[str, float]]:
        """Returns published values by dataset and metric.

        Args:
            row: A list with an entry for each dataset: a list with a value for each metric, or a single number.
            datasets: Names of the datasets.
            metrics: Names of the metrics.
            where: The key of the row, for errors.
        """
        listed = [run if isinstance(run, list) else [run] for run in row]
        if len(listed) != len(datasets) or any(len(run) != len(metrics) for run in listed):
            raise self._error(where, f"expected {len(datasets)} datasets with {len(metrics)} values each")
        for figure in (figure for run in listed for figure in run):
            if type(figure) not in (int, float):
                raise self._error(where, f"{figure!r} is not a number")
        return {name: dict(zip(metrics, run, strict=True)) for name, run in zip(datasets, listed, strict=True)}

    def _make(self, kind: type[Made], given: Mapping[str, Any], where: str) -> Made:
        known_fields = {field.name: field for field in fields(kind)}
        unknown = given.keys() - known_fields.keys()
        missing = [
            name
            for name, field in known_fields.items()
            if name not in given and field.default is field.default_factory is MISSING
        ]
        if unknown:
            raise self._error(where, f"unknown key {min(unknown)}. Known keys: {', '.join(known_fields)}")
        if missing:
            raise self._error(where, f"{missing[0]} is missing")
        return kind(**given)

    def _known(self, value: Any, choices: Any, where: str) -> None:
        if value not in choices:
            listed = ", ".join("null" if choice is None else str(choice) for choice in choices)
            shown = "null" if value is None else repr(value)
            raise self._error(where, f"{shown} is not one of {listed}")

    def _mapping(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict) or not value:
            raise self._error(where, f"expected a mapping of names to settings, got {value!r}")
        return {str(key): setting for key, setting in value.items()}

    def _texts(self, value: Any, where: str) -> tuple[str, ...]:
        return self._list(value, str, where)

    def _list(self, value: Any, kind: type[Element], where: str) -> tuple[Element, ...]:
        if not isinstance(value, list) or any(type(entry) is not kind for entry in value):
            raise self._error(where, f"expected a list of {'strings' if kind is str else 'integers'}, got {value!r}")
        return tuple(value)

    def _error(self, where: str, what: str) -> InputError:
        return InputError(f"{self.file}: {where + ': ' if where else ''}{what}")
