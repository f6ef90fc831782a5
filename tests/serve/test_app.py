"""The server's answers: recommendations, titles, refusals."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from llmrec.exporting.export_run import export_run
from llmrec.serve.app import build_app
from llmrec.serve.messages import MAX_BODY_BYTES, MAX_HISTORY, MAX_TITLE
from llmrec.serve.served_run import ServedRun, name_apart
from llmrec.training.run_folder import RunFolder
from tests.serve.conftest import K


def test_each_run_recommends_its_best_titles(client: TestClient, runs: list[ServedRun], titles: list[str]) -> None:
    answer = client.post("/recommend", json={"history": titles[:2], "k": 3})
    assert answer.status_code == 200
    model, baseline = answer.json()["runs"]
    assert (model["run"], baseline["run"]) == (runs[0].name, runs[1].name)
    for run in (model, baseline):
        scores = [one["score"] for one in run["recommendations"]]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)
        assert all(one["title"] in titles and one["items"] for one in run["recommendations"])
        assert run["unknown"] == []
        assert run["seconds"] >= 0


def test_one_run_alone_can_be_asked_and_gives_k_titles(
    client: TestClient, runs: list[ServedRun], titles: list[str]
) -> None:
    (run,) = client.post("/recommend", json={"history": titles[:1], "runs": [runs[1].name]}).json()["runs"]
    assert run["run"] == runs[1].name
    assert len(run["recommendations"]) == K


def test_unknown_titles_are_named_with_similar_ones(client: TestClient, titles: list[str]) -> None:
    history = [titles[0], titles[3] + "!", "zzzz", "zzzz"]
    for run in client.post("/recommend", json={"history": history}).json()["runs"]:
        assert [one["title"] for one in run["unknown"]] == [titles[3] + "!", "zzzz"]
        assert run["unknown"][0]["near"][0] == titles[3]
        assert run["unknown"][1]["near"] == []
        assert len(run["recommendations"]) == K


def test_titles_are_completed(client: TestClient, titles: list[str]) -> None:
    found = client.get("/titles", params={"q": titles[5].upper()}).json()["titles"]
    assert found[0] == titles[5]
    assert client.get("/titles", params={"q": "zzzz"}).json() == {"titles": []}


def test_health_describes_the_runs(client: TestClient, runs: list[ServedRun], titles: list[str]) -> None:
    health = client.get("/healthz").json()
    assert (health["status"], health["k"]) == ("ok", K)
    assert health["runs"][0] == {
        "name": runs[0].name, "dataset": "games-sim", "backbone": "tiny", "simulated": True,
        "titles": len(titles), "waiting": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"history": []},
        {"history": "a"},
        {"history": [1]},
        {"history": [""]},
        {"history": ["x" * (MAX_TITLE + 1)]},
        {"history": ["x"] * (MAX_HISTORY + 1)},
        {"history": ["x"], "k": 0},
        {"history": ["x"], "k": K + 1},
        {"history": ["x"], "k": "3"},
        {"history": ["x"], "file": "/etc/passwd"},
    ],
)
def test_input_out_of_bounds_is_refused(client: TestClient, query: dict[str, Any]) -> None:
    answer = client.post("/recommend", json=query)
    assert answer.status_code == 422
    assert set(answer.json()["detail"][0]) == {"loc", "msg"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"history": ["\\ud800"]}', 422),
        (b'{"history": ["a"], "k": ' + b"9" * 5000 + b"}", 400),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 422),
        (b'{"history": ["' + b"x" * MAX_BODY_BYTES + b'"]}', 413),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(client: TestClient, body: bytes, status: int) -> None:
    answer = client.post("/recommend", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status


def test_a_body_within_all_bounds_is_answered(client: TestClient, runs: list[ServedRun]) -> None:
    query = {"history": ["\u0101" * MAX_TITLE] * MAX_HISTORY, "runs": [runs[1].name]}
    assert client.post("/recommend", json=query).status_code == 200


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page.js", "/static/page.js"])
def test_no_path_leads_to_a_file(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_an_unknown_run_is_refused(client: TestClient, runs: list[ServedRun]) -> None:
    answer = client.post("/recommend", json={"history": ["a"], "runs": ["runs/../x"]})
    assert answer.status_code == 404
    assert runs[0].name in answer.json()["detail"]


def test_titles_are_asked_for_with_a_short_text(client: TestClient) -> None:
    assert client.get("/titles").status_code == 422
    assert client.get("/titles", params={"q": "x" * 201}).status_code == 422


def test_the_page_allows_no_address_but_its_own(client: TestClient) -> None:
    page = client.get("/")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "connect-src 'self'" in page.headers["Content-Security-Policy"]
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert client.get("/docs").status_code == 404


def test_openapi_describes_the_interface(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/recommend", "/titles", "/healthz"}
    query = described["components"]["schemas"]["Query"]["properties"]
    assert (query["history"]["maxItems"], query["k"]["maximum"]) == (MAX_HISTORY, K)


def test_requests_that_arrive_together_get_what_each_gets_alone(
    runs: list[ServedRun], titles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [{"history": titles[place : place + 1 + place % 5], "k": 1 + place % K} for place in range(12)]
    app, model, sizes = build_app(runs, K, timeout_s=60), runs[0].queue, list[int]()
    answer = model.answer

    def recorded(histories: list[list[str]]) -> Any:
        sizes.append(len(histories))
        return answer(histories)

    monkeypatch.setattr(model, "answer", recorded)

    async def asked() -> tuple[list[Any], list[Any]]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            together = await asyncio.gather(*(client.post("/recommend", json=query) for query in queries))
            alone = [await client.post("/recommend", json=query) for query in queries]
        return [one.json() for one in together], [one.json() for one in alone]

    together, alone = asyncio.run(asked())
    assert max(sizes) > 1
    assert sum(sizes) == 24
    for one, other in zip(together, alone, strict=True):
        for run, same in zip(one["runs"], other["runs"], strict=True):
            assert [entry["title"] for entry in run["recommendations"]] == [
                entry["title"] for entry in same["recommendations"]
            ]
            assert [entry["score"] for entry in run["recommendations"]] == pytest.approx(
                [entry["score"] for entry in same["recommendations"]], abs=2e-4
            )


def test_exports_are_named_by_objective_and_folder(folders: list[Path], tmp_path: Path) -> None:
    run = RunFolder(folders[0])
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
        export_run(run, run.config(), tmp_path / place / "shop", merge=False)
    opened = [ServedRun(RunFolder(folder).config(), RunFolder(folder), 1) for folder in tmp_path.glob("*/shop")]
    name_apart(opened)
    assert [each.name for each in opened] == ["msl shop", "msl shop (2)"]
    for each in opened:
        each.queue.close()


@pytest.fixture
def held(runs: list[ServedRun], monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Holds the baseline back until the event is set."""
    go, queue = threading.Event(), runs[1].queue
    answer = queue.answer

    def waiting(histories: list[list[str]]) -> Any:
        assert go.wait(60)
        return answer(histories)

    monkeypatch.setattr(queue, "answer", waiting)
    yield go
    go.set()
    while not queue.requests.empty():
        go.wait(0.01)


def test_what_takes_too_long_is_given_up(runs: list[ServedRun], titles: list[str], held: threading.Event) -> None:
    answer = TestClient(build_app(runs, K, timeout_s=0.2)).post("/recommend", json={"history": titles[:1]})
    assert (answer.status_code, answer.json()) == (504, {"detail": "no answer within 0.2 s. Try again"})


def test_a_request_beyond_a_full_queue_is_refused(
    client: TestClient, runs: list[ServedRun], titles: list[str], held: threading.Event
) -> None:
    futures = [runs[1].queue.submit(titles[:1])]
    while runs[1].queue.requests.qsize():  # until the thread has taken the first
        held.wait(0.01)
    futures += [runs[1].queue.submit(titles[:1]) for _ in range(40)]
    answer = client.post("/recommend", json={"history": titles[:1]})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert runs[1].name in answer.json()["detail"]
    held.set()
    assert len({str(future.result(60)) for future in futures}) == 1
    assert client.post("/recommend", json={"history": titles[:1]}).status_code == 200
