"""The web page of local Vectorize: its files and its JSON. tests/ui/test_local_page.py opens it in a browser."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
from aiohttp import web

from airflow_provider_vectorize.local.engine.budget import Allowance, Budget
from airflow_provider_vectorize.local.engine.clock import Clock
from airflow_provider_vectorize.local.engine.engine import Engine
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.records import Floats, Kind, NewIndex, Vector
from airflow_provider_vectorize.local.faults.recorder import Recorder
from airflow_provider_vectorize.local.faults.rules import Faults
from airflow_provider_vectorize.local.http.app import Components
from airflow_provider_vectorize.local.http.auth import Guard
from airflow_provider_vectorize.local.http.late_requests import LateRequests
from airflow_provider_vectorize.local.page import samples
from airflow_provider_vectorize.local.page.page import FILES
from airflow_provider_vectorize.local.page.projection import Projection, project
from airflow_provider_vectorize.local.serve import application

from .conftest import Http, vector


def page_url(http: Http, path: str = "") -> str:
    return f"http://127.0.0.1:{http.local.port}{path}"


def read(http: Http, path: str, status: int = 200, **options: Any) -> Any:
    """Read JSON of the page, without credentials."""
    method = "POST" if "json" in options else "GET"
    response = requests.request(method, page_url(http, f"/__local__/page/{path}"), timeout=60, **options)
    assert response.status_code == status, response.text
    return response.json()


def plot(http: Http, index: str = "books", **params: str) -> Any:
    return read(http, "plot", params={"index": index, **params})


def query(http: Http, status: int = 200, **body: Any) -> Any:
    return read(http, "query", status, json={"index": "books", **body})


@pytest.mark.parametrize("path", ["/", *(f"/__local__/page/{name}" for name in FILES)])
def test_page_files_load_nothing_from_other_servers(http: Http, path: str) -> None:
    response = requests.get(page_url(http, path), timeout=10)
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    urls = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", response.text))
    assert urls <= {"http://www.w3.org/2000/svg", "//www.w3.org/2000/svg"}
    for linked in re.findall(r"(?:src|href)=\"([^\"#]+)\"", response.text):
        assert linked.startswith(("/__local__/", "data:"))


def test_state_has_indexes_with_counts_and_pending_mutations(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 1), vector("b", 1))
    http.info()
    http.local.hold()
    pending = http.upsert(vector("c", 1))
    (index,) = read(http, "state")["indexes"]
    assert (index["name"], index["vectors"], index["pending_mutations"]) == ("books", 2, 1)
    assert index["processed_up_to_mutation"] not in (None, pending)
    http.local.release()
    (index,) = read(http, "state")["indexes"]
    assert (index["vectors"], index["pending_mutations"], index["processed_up_to_mutation"]) == (3, 0, pending)


def test_state_has_the_last_requests_newest_first_with_status_and_code(http: Http) -> None:
    http.create()
    http.send("GET", "/missing/info")
    http.local.fail("answer", operation="info", status=503, code=1234, message="busy")
    http.send("GET", "/books/info")
    http.local.fail("cut_before", operation="info")
    with pytest.raises(requests.ConnectionError):
        http.send("GET", "/books/info")
    shown = read(http, "state")["requests"]
    assert [(request["operation"], request["status"], request["code"], request["fault"]) for request in shown] == [
        ("info", None, None, "cut_before"),
        ("info", 503, 1234, "answer"),
        ("info", 404, 3000, None),
        ("create_index", 200, None, None),
    ]
    assert [request.code for request in http.local.requests()] == [None, 3000, 1234, None]


def test_state_has_at_most_fifty_requests_and_the_page_records_none(http: Http) -> None:
    http.create()
    for _ in range(60):
        http.info()
    assert len(read(http, "state")["requests"]) == 50
    query(http, vector=[1.0] * 32)
    plot(http)
    assert len(http.local.requests()) == 61


def test_state_has_the_budget_of_each_credential_but_no_credential(http: Http) -> None:
    http.local.set_budget("3/100")
    http.create()
    secret = {"Authorization": "Bearer some-secret-of-mine"}
    for _ in range(5):
        requests.get(http.url(""), headers=secret, timeout=10)
    state = requests.get(page_url(http, "/__local__/page/state"), timeout=10)
    assert "some-secret" not in state.text
    assert http.local.token not in state.text
    budget = state.json()["budget"]
    assert (budget["allowance"], budget["blocks"], budget["arrived_during_block"]) == ("3/100", 1, 1)
    assert [(window["left"], window["blocked"]) for window in budget["windows"]] == [(2, False), (0, True)]
    assert all(0 < window["reset"] <= 100 for window in budget["windows"])
    http.local.shift_clock(200)
    assert read(http, "state")["budget"]["windows"] == []


def test_query_returns_matches_with_metadata_and_needs_no_credentials(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 1, metadata={"n": 1}), vector("b", 1, 1, namespace="x"), vector("c", 0, 1))
    found = query(http, vectorId="a", topK=2, returnMetadata="all")
    assert [match["id"] for match in found["matches"]] == ["a", "b"]
    assert found["matches"][0]["metadata"] == {"n": 1}
    assert found["seconds"] > 0
    assert [match["id"] for match in query(http, vectorId="a", namespace="x")["matches"]] == ["b"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"vectorId": "missing"}, "40015: "),
        ({"vector": [1.0]}, "40006: invalid query vector, expected 32 dimensions, and got 1 dimensions"),
        ({"vector": [1.0] * 32, "filter": {"$x": 1}}, "40019: "),
        ({}, "missing field `vector`"),
        ({"index": "films", "vectorId": "a"}, "films"),
        ({"index": None}, "index is missing"),
        ({"index": 5}, "The value of index must be a string"),
    ],
)
def test_query_that_is_refused_says_why(http: Http, body: dict[str, Any], error: str) -> None:
    http.create()
    status = 404 if body.get("index") == "films" else 400
    assert error in query(http, status, **body)["error"]


def test_query_of_two_accounts_with_the_same_index_needs_the_account(http: Http) -> None:
    http.create()
    with_other = f"{http.local.base_url}/accounts/{'f' * 32}/vectorize/v2/indexes"
    assert requests.get(with_other, headers=http.session.headers, timeout=10).status_code == 403  # type: ignore[arg-type]
    assert query(http, 404, account_id="f" * 32, vectorId="a")["error"]
    assert query(http, 400, account_id=http.local.account_id, vectorId="a")["error"].startswith("40015")


def test_plot_has_a_point_for_each_vector_with_its_group(http: Http) -> None:
    http.create()
    http.upsert(
        vector("a", 1, namespace="x", metadata={"kind": "k", "deep": {"n": 1}}),
        vector("b", 0, 1, namespace="x", metadata={"kind": "k"}),
        vector("c", 0, 0, 1, metadata={"kind": "l", "list": [1]}),
    )
    drawn = plot(http)
    assert (drawn["ids"], drawn["total"]) == (["a", "b", "c"], 3)
    assert drawn["groups"] == [{"label": "x", "count": 2}, {"label": "no value", "count": 1}]
    assert drawn["group"] == [0, 0, 1]
    assert drawn["keys"] == ["namespace", "metadata.kind", "metadata.deep.n"]
    assert max(abs(coordinate) for coordinate in drawn["x"] + drawn["y"]) == 1_000
    assert len(set(zip(drawn["x"], drawn["y"], strict=True))) == 3
    by_kind = plot(http, color="metadata.kind")
    assert by_kind["group"] == [0, 0, 1]
    assert (by_kind["x"], by_kind["y"]) == (drawn["x"], drawn["y"])
    assert plot(http, color="metadata.deep.n")["groups"][-1] == {"label": "no value", "count": 2}


def test_plot_after_a_write_has_the_new_vectors(http: Http) -> None:
    http.create()
    assert (plot(http)["ids"], plot(http)["groups"]) == ([], [])
    http.upsert(vector("a", 1), vector("b", 0, 1))
    assert plot(http)["ids"] == ["a", "b"]
    http.ok("POST", "/books/delete_by_ids", json={"ids": ["a"]})
    assert plot(http)["ids"] == ["b"]


def test_plot_of_an_index_that_was_created_again_has_no_old_vectors(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 1))
    assert plot(http)["ids"] == ["a"]
    http.ok("DELETE", "/books")
    assert read(http, "plot", 404, params={"index": "books"})["error"]
    http.create(dimensions=64)
    assert plot(http)["ids"] == []


def test_plot_of_a_large_index_is_a_sample_that_changes_little(http: Http) -> None:
    http.create()
    for part in range(2):
        http.upsert(*(vector(f"v{n:05}", n % 7, n % 11) for n in range(part * 4_000, part * 4_000 + 4_000)))
    before = plot(http)
    assert (len(before["ids"]), before["total"]) == (5_000, 8_000)
    in_first_half = sum(id_ < "v04000" for id_ in before["ids"])
    assert 2_400 < in_first_half < 2_600
    http.upsert(*(vector(f"w{n:05}", n) for n in range(80)))
    kept = set(before["ids"]) & set(plot(http)["ids"])
    assert len(kept) > 4_900


class SlowProjection:
    """Waits in :func:`project` until the test allows it to continue."""

    def __init__(self) -> None:
        self.started, self.allowed = threading.Event(), threading.Event()
        self.calls = 0

    def __call__(self, values: Floats, metric: str) -> Projection:
        self.calls += 1
        self.started.set()
        assert self.allowed.wait(60)
        return project(values, metric)


@pytest.fixture
def components(tmp_path: Path) -> Iterator[Components]:
    """Return the components of a server in this process, with an index of two vectors."""
    clock = Clock()
    engine = Engine(tmp_path, limits=Limits(), lag=0, clock=clock, sync=False)
    engine.start()
    index = engine.create_index("account", NewIndex("books", "", 2, "cosine"))
    engine.write(index, Kind.UPSERT, [Vector(id_, None, None, bytes([0, 0, 128, 63] * 2)) for id_ in "ab"])
    budget = Budget(Allowance(), clock)
    yield Components(engine, clock, budget, Guard(), Faults(), Recorder(), LateRequests(clock))
    engine.close()


def test_plot_that_is_calculated_delays_no_other_request_and_is_calculated_once(
    components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowProjection()
    monkeypatch.setattr(samples, "project", slow)

    async def plot_slowly() -> None:
        runner = web.AppRunner(application(components, lambda: ""))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}/__local__/page"
        async with aiohttp.ClientSession(raise_for_status=True) as session:

            async def read_json(path: str) -> Any:
                async with session.get(f"{base}/{path}") as response:
                    return await response.json()

            plots = [asyncio.create_task(read_json("plot?index=books")) for _ in range(3)]
            await asyncio.to_thread(slow.started.wait, 60)
            # If the projection ran in the event loop, this request would wait for it for ever.
            assert (await read_json("state"))["indexes"][0]["vectors"] == 2
            assert not any(task.done() for task in plots)
            slow.allowed.set()
            assert [(await task)["ids"] for task in plots] == [["a", "b"]] * 3
        await runner.cleanup()

    asyncio.run(plot_slowly())
    assert slow.calls == 1
