"""The schema of the group dataset."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from llmrec.settings.types import (
    Component,
    Name,
    NonNegativeFloat,
    OpenFraction,
    PositiveInt,
    Probability,
    Seed,
    Split,
    Text,
)

SimulatedCount = Annotated[int, Field(ge=10, le=10_000_000)]


@dataclass
class Wording:
    """The words by which prompts name items."""

    item: Text
    items: Text
    verb: Text


@dataclass
class Titles:
    """The words of simulated titles."""

    number: Text
    first: list[Text]
    second: list[Text]
    genres: list[Text]
    platforms: list[Text]
    editions: list[Text]


@dataclass
class Simulator:
    """The simulator of a dataset. Its keys may be missing in a dataset that is never simulated."""

    items: SimulatedCount = 10
    users: SimulatedCount = 10
    events: SimulatedCount = 10
    days: SimulatedCount = 10
    ratings: bool = False
    seed: Seed = 0
    loyalty: Probability = 0.0
    zipf: NonNegativeFloat = 0.0
    titles: Titles | None = None


@dataclass
class Reference:
    """The reference model of titles: the models of relevance and of embeddings."""

    relevance: Text | None = None
    encoder: Text | None = None


@dataclass
class Dataset:
    """The group dataset."""

    missing_hint: ClassVar[str] = ". Begin the YAML of the dataset with `defaults: [shared/base@_here_, _self_]`"

    name: Name
    source: Literal["auto", "real", "simulated"]
    train_samples: PositiveInt | None
    sample_seed: Seed
    hold_out: OpenFraction
    k_core: PositiveInt
    min_history: PositiveInt
    max_history: PositiveInt
    split: Split
    reader: Component
    reference: Reference | None = None
    wording: Wording | None = None
    simulator: Simulator | None = None

    @staticmethod
    def validate(settings: dict[str, Any]) -> None:
        """Checks that histories may be as long as they must be."""
        least, most = settings["min_history"], settings["max_history"]
        if most < least:
            raise ValueError(f"max_history={most}: give at least dataset.min_history={least}")
