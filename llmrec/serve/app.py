"""The web application: recommendations and titles as JSON, and one page to try them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse

from llmrec import __version__
from llmrec.serve.batching import QueueFullError
from llmrec.serve.body_limit import BodyLimit
from llmrec.serve.messages import MAX_BODY_BYTES, Answer, Health, Titles, query_model
from llmrec.serve.page import PAGE_HEADERS, page_html
from llmrec.serve.served_run import ServedRun
from llmrec.serve.titles import TitleIndex
from llmrec.training.recommending import Recommendations

BODY_SECONDS = 10.0
COMPLETIONS = 10


def build_app(runs: Sequence[ServedRun], k: int, timeout_s: float) -> FastAPI:
    """Returns the application.

    Args:
        runs: The runs, each with a name of its own.
        k: Maximum number of recommendations.
        timeout_s: Time within which a request is answered, or refused with the status 504.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        for run in runs:
            await asyncio.to_thread(run.queue.close)

    # FastAPI's own pages of the documentation load scripts from the network.
    app = FastAPI(title="llmrec", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, seconds=BODY_SECONDS)
    app.add_exception_handler(RequestValidationError, _invalid)
    _add_page(app, runs, k)
    _add_recommend(app, runs, k, timeout_s)
    return app


def _add_page(app: FastAPI, runs: Sequence[ServedRun], k: int) -> None:
    page, titles = page_html(), TitleIndex(title for run in runs for title in run.titles.titles)

    @app.get("/", include_in_schema=False)
    def index() -> HTMLResponse:
        return HTMLResponse(page, headers=PAGE_HEADERS)

    @app.get("/healthz")
    def healthz() -> Health:
        """Describes the server and its runs."""
        return Health(status="ok", k=k, runs=[run.describe() for run in runs])

    @app.get("/titles")
    def find(q: Annotated[str, Query(min_length=1, max_length=200)]) -> Titles:
        """Finds titles that contain a text: first those that begin with it."""
        return Titles(titles=titles.complete(q, COMPLETIONS))


def _add_recommend(app: FastAPI, runs: Sequence[ServedRun], k: int, timeout_s: float) -> None:
    by_name, query_type = {run.name: run for run in runs}, query_model(k)

    @app.post("/recommend")
    async def recommend(query: query_type) -> Answer:  # type: ignore[valid-type]
        """Recommends titles with each run."""
        wanted: Any = query
        names = list(dict.fromkeys(by_name if wanted.runs is None else wanted.runs))
        if unknown := [name for name in names if name not in by_name]:
            raise HTTPException(404, f"there is no run {unknown[0]!r} here. Choose among {', '.join(by_name)}")
        answers = _submitted([by_name[name] for name in names], wanted.history, wanted.k)
        try:
            async with asyncio.timeout(timeout_s):
                return Answer(runs=list(await asyncio.gather(*answers)))
        except TimeoutError as error:
            raise HTTPException(504, f"no answer within {timeout_s:g} s. Try again") from error


def _submitted(runs: Sequence[ServedRun], history: list[str], k: int) -> list[Any]:
    """Adds a request to the queue of each run, or to none if one is full, and returns what waits for the answers."""
    futures = list[Future[Recommendations]]()
    for run in runs:
        try:
            futures.append(run.queue.submit(history))
        except QueueFullError as error:
            for future in futures:
                future.cancel()
            raise HTTPException(
                503, f"too many requests wait for {run.name}. Try again", headers={"Retry-After": "1"}
            ) from error
    return [run.answer(future, history, k) for run, future in zip(runs, futures, strict=True)]


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Answers 422 without repeating the input, which may be long or not encodable."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": [{"loc": one["loc"], "msg": one["msg"]} for one in error.errors()]}, 422)
