"""The schema of the groups backbone and adapter."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import Field

from llmrec.settings.types import Name, NonNegativeInt, PositiveFloat, PositiveInt, ProbabilityBelowOne, Seed, Text


@dataclass
class Adapter:
    """The group adapter."""

    name: Name
    learning_rate: PositiveFloat
    eight_bit: bool = False
    path: Text | None = None
    rank: PositiveInt = 8
    alpha: PositiveInt = 16
    dropout: ProbabilityBelowOne = 0.0
    modules: Annotated[
        list[Text] | Literal["all-linear"],
        Field(min_length=1, description="a list of module names, such as [q_proj,v_proj], or all-linear"),
    ] = "all-linear"


@dataclass
class Pretraining:
    """backbone.pretraining, of the backbone tiny."""

    rows: PositiveInt | None
    seed: Seed = 0
    epochs: NonNegativeInt = 1
    batch_size: PositiveInt = 1
    learning_rate: PositiveFloat = 1.0


@dataclass
class Backbone:
    """The group backbone. Every scale sets keys of the backbone tiny, whichever backbone a run has."""

    name: Name
    max_length: PositiveInt
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    attention: Text
    gradient_checkpointing: Literal["auto"] | bool
    trust_remote_code: bool
    full_learning_rate: PositiveFloat
    path: Text | None = None
    package: Text | None = None
    gguf_file: Text | None = None
    vocabulary: PositiveInt = 1
    hidden_size: PositiveInt = 1
    intermediate_size: PositiveInt = 1
    layers: PositiveInt = 1
    heads: PositiveInt = 1
    pretraining: Pretraining | None = None

    @staticmethod
    def validate(settings: dict[str, Any]) -> None:
        """Checks that heads divide the hidden size, and that nothing of the pretraining of `tiny` is missing."""
        size, heads = settings.get("hidden_size", 1), settings.get("heads", 1)
        if size % heads:
            raise ValueError(f"heads={heads}: give a divisor of backbone.hidden_size={size}")
        missing = [field.name for field in fields(Pretraining) if field.name not in (settings.get("pretraining") or {})]
        if settings["name"] == "tiny" and missing:
            raise ValueError(f"pretraining.{missing[0]} is not set, but backbone=tiny is pretrained. Set it")
