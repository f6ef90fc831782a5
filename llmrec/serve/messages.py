"""The JSON messages of the server, which are also its OpenAPI schema."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

MAX_HISTORY = 200
"""Titles in a history. A run uses the newest dataset.max_history of them, 10 in the shipped settings."""
MAX_TITLE = 1000
"""Characters of a title."""
MAX_BODY_BYTES = 1_500_000
"""More than the longest history needs, if each character is escaped in JSON."""
Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE)]


class Recommendation(BaseModel):
    """A title, with the run's score and the IDs of the items that have it."""

    title: str
    score: float
    items: list[str]


class UnknownTitle(BaseModel):
    """A title of the history that is not in the catalogue, with titles that are spelled like it."""

    title: str
    near: list[str]


class RunAnswer(BaseModel):
    """The recommendations of one run, best first; `seconds` includes the time in its queue."""

    run: str
    seconds: float
    recommendations: list[Recommendation]
    unknown: list[UnknownTitle]


class Answer(BaseModel):
    """The answer of each run that was asked, in the order of the server's arguments."""

    runs: list[RunAnswer]


class Titles(BaseModel):
    """Titles that contain what was typed."""

    titles: list[str]


class RunDescription(BaseModel):
    """A run that the server has opened; a baseline has the backbone "baseline"."""

    name: str
    dataset: str
    backbone: str
    simulated: bool
    titles: int
    waiting: int


class Health(BaseModel):
    """That the server works, its runs, and how many titles it recommends at most."""

    status: str
    k: int
    runs: list[RunDescription]


def query_model(k: int) -> type[BaseModel]:
    """Returns the type of a request for recommendations.

    Args:
        k: Maximum number of recommendations, and the number that a request gets if it asks for none.
    """
    fields: dict[str, Any] = {
        "history": (list[Title], Field(min_length=1, max_length=MAX_HISTORY, description="Titles, oldest first")),
        "k": (int, Field(k, ge=1, le=k, description="Number of recommendations")),
        "runs": (list[str] | None, Field(None, max_length=100, description="Names of runs (/healthz); all by default")),
    }
    return create_model("Query", __config__=ConfigDict(extra="forbid", strict=True), **fields)
