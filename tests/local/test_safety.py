"""Refused requests: for other host names, from web pages, and with invalid values for the control API."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_vectorize.local.engine.budget import Allowance
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.local.options import parser

from .conftest import Http, vector
from .test_command import running

API = "/client/v4/accounts/0123456789abcdef0123456789abcdef/vectorize/v2/indexes"
CONTROL = "/__local__/requests"
PAGE_STATE = "/__local__/page/state"


def status_of(local: LocalVectorize, path: str, headers: dict[str, str], method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", local.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, text in {"Authorization": f"Bearer {local.token}", **headers}.items():
            connection.putheader(name, text)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("path", [API, API + "/missing", CONTROL, PAGE_STATE, "/", "/nowhere"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8787", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.0.1:8787",
        "0.0.0.0", "[2001:db8::1]:8787", "127.0.0.1@evil.example", "evil.example#127.0.0.1", "localhost:x", "", ":80",
        "[::1", "127.1", "2130706433",
    ],
)  # fmt: skip
def test_request_for_another_host_is_refused(local_vectorize: LocalVectorize, path: str, host: str) -> None:
    status, text = status_of(local_vectorize, path, {"Host": host})
    assert status == 421
    assert "only accepts requests for this machine" in text
    assert local_vectorize.requests() == []


def test_request_without_host_is_refused(local_vectorize: LocalVectorize) -> None:
    assert status_of(local_vectorize, API, {})[0] in (400, 421)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "localhost.:8787", "127.0.0.1", "127.3.2.1:99", "[::1]:8787"]
)
def test_request_for_a_loopback_name_is_answered(local_vectorize: LocalVectorize, host: str) -> None:
    for path in (API, CONTROL, "/"):
        assert status_of(local_vectorize, path, {"Host": host})[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", API), ("POST", API), ("GET", CONTROL), ("POST", "/__local__/reset"), ("POST", "/__local__/page/query")],
)
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:3000", "https://localhost:8787", "http://localhost", "x", ""],
)
def test_request_from_another_web_page_is_refused(
    local_vectorize: LocalVectorize, method: str, path: str, origin: str
) -> None:
    local_vectorize.set_lag(7)
    status, text = status_of(local_vectorize, path, {"Host": "localhost:8787", "Origin": origin}, method)
    assert status == 403
    assert "web page" in text
    assert local_vectorize.status()["lag"] == 7


def test_request_from_own_web_page_is_answered(local_vectorize: LocalVectorize) -> None:
    headers = {"Host": "localhost:8787", "Origin": "http://localhost:8787"}
    assert status_of(local_vectorize, API, headers)[0] == 200
    assert status_of(local_vectorize, CONTROL, headers)[0] == 200


def test_allow_remote_accepts_any_host_and_refuses_other_web_pages() -> None:
    with running("--bind", "0.0.0.0", "--allow-remote") as (_, lines):
        local = LocalVectorize("unused", [])
        local.port = int(lines[0].rpartition(":")[2].partition("/")[0])
        assert status_of(local, API, {"Host": "vectorize:8787"})[0] == 200
        assert status_of(local, API, {"Host": "vectorize:8787", "Origin": "https://evil.example"})[0] == 403


NOT_NUMBERS = ["soon", None, True, [], {}, "5"]
HUGE = [1e300, -1e300, 10**400, 1e19]

BAD_VALUES = [
    *(("lag", {"seconds": value}) for value in [*NOT_NUMBERS, *HUGE, -1, -0.001]),
    *(("clock", {"shift": value}) for value in [*NOT_NUMBERS, *HUGE]),
    *(("budget", {"allowance": value}) for value in [5, [], {}, "", "x", "1", "1/", "/1", "0/1", "-1/1", "1/0",
        "1/-1", "1/nan", "1/inf", "nan/1", "1.5/1", "1/1e300", "9" * 30 + "/1", "9" * 9_999 + "/1", "1/2/3",
        " 1/1", "\uff11/1"]),
    *(("foreign", {"index": "books", "times": value}) for value in ["x", True, 0, -1, 1.5, 10**9, []]),
    *(("foreign", {"index": value}) for value in [None, 5, [], {}]),
    *(("process", {"batches": value}) for value in ["x", True, 0, -1, 1.5, []]),
    *(("process", {"mutations": value}) for value in ["x", True, 0, -1, 1.5, []]),
    ("process", {"index": 5}),
    ("process", {"indexes": "books"}),
    *(("flap", {"probability": value}) for value in ["x", True, -0.1, 1.1, 1e300]),
    *(("flap", {"times": value}) for value in ["x", True, 0, -1, 1.5, 10**30]),
    ("flap", {"seed": "x"}),
    ("flap", {"index": 5}),
    *(("faults", {"fault": value}) for value in [None, 5, [], {}, "unknown"]),
    *(("faults", {"fault": "http_500", "match": value}) for value in ["x", [1], 5, {"operation": 5}, {"x": "y"}]),
    *(("faults", {"fault": "http_500", "times": value}) for value in ["x", True, 0, -1, 1.5, 10**30]),
    *(("faults", {"fault": "http_500", "after": value}) for value in ["x", -1, 1.5, 10**30]),
    *(("faults", {"fault": "http_500", "probability": value}) for value in ["x", -0.1, 1.1, True]),
    *(("faults", {"fault": "delay", "seconds": value}) for value in ["x", True, -1, *HUGE]),
    *(("faults", {"fault": "rate_limit", "retry_after": value}) for value in ["x", -1, 1.5, 10**30]),
    *(("faults", {"fault": "cut_during_body", "after_bytes": value}) for value in ["x", -1, 1.5, 10**30]),
    *(("faults", {"fault": "answer", "status": value}) for value in ["x", 0, 99, 101, 600, -1, 10**9]),
    *(("faults", {"fault": "answer", "headers": value})
        for value in ["x", [], {"a": 5}, {"a b": "c"}, {"a": "b\r\nc: d"}]),
    ("faults", {"fault": "redirect", "location": "/\r\nSet-Cookie: x"}),
    *((path, 5) for path in ("lag", "clock", "budget", "foreign", "process", "flap", "faults")),
    *((path, [1]) for path in ("lag", "clock", "budget", "foreign", "process", "flap", "faults")),
]  # fmt: skip


def post(local: LocalVectorize, path: str, body: bytes) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", local.port, timeout=20)
    try:
        connection.request("POST", f"/__local__/{path}", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def shared_server() -> Iterator[LocalVectorize]:
    """Return a server that is not reset between tests. The last test finds damage that an earlier one caused."""
    with LocalVectorize.start(lag=0.01, extra_args=["--no-sync"]) as local:
        Http(local).create()
        yield local


def settings_of(server: LocalVectorize) -> dict[str, Any]:
    """Return the status without the windows of the budget, which change with time."""
    status = server.status()
    status["budget"].pop("windows", None)
    return status


@pytest.mark.parametrize(("path", "body"), BAD_VALUES, ids=lambda value: str(value)[:60])
def test_control_api_with_invalid_value_is_refused_with_a_sentence(
    shared_server: LocalVectorize, path: str, body: Any
) -> None:
    before = settings_of(shared_server)
    status, text = post(shared_server, path, json.dumps(body).encode())
    assert status == 400, text
    sentence = json.loads(text)["error"]
    assert " " in sentence
    assert "Error" not in sentence
    assert len(sentence) < 500
    assert settings_of(shared_server) == before


@pytest.mark.parametrize(
    "body", [b"", b"x", b"{", b'{"seconds": NaN}', b'{"seconds": Infinity}', b'{"seconds": 1e400}', b"\xff"]
)
def test_control_api_with_body_that_is_not_json_is_refused(shared_server: LocalVectorize, body: bytes) -> None:
    assert post(shared_server, "lag", body)[0] == 400


def test_server_still_works_after_all_invalid_values(shared_server: LocalVectorize) -> None:
    client = Http(shared_server)
    mutation = client.upsert(vector("a", 1))
    for _ in range(2_000):
        if client.info().get("processedUpToMutation") == mutation:
            break
    assert client.info()["processedUpToMutation"] == mutation


@pytest.mark.parametrize("shift", [-3_155_692_600.0, -1, 0, 1e9, 3_155_692_600.0])
def test_clock_shift_within_limits_keeps_reads_and_writes_working(http: Http, shift: float) -> None:
    http.local.shift_clock(shift)
    created = http.create()
    http.upsert(vector("a", 1), vector("b", 1))
    http.ok("GET", "/books/list", params={"count": 1})
    assert http.info()["vectorCount"] == 2
    assert created["created_on"].endswith("Z")
    http.local.shift_clock(0)
    http.upsert(vector("c", 1))
    assert http.info()["vectorCount"] == 3


def test_write_is_folded_after_the_clock_was_set_back(http: Http) -> None:
    http.create()
    http.local.set_lag(0.05)
    http.local.hold()
    http.local.shift_clock(1e6)
    mutation = http.upsert(vector("a", 1))
    http.local.shift_clock(0)
    http.local.release()
    for _ in range(2_000):
        if http.info().get("processedUpToMutation") == mutation:
            break
    assert http.info()["processedUpToMutation"] == mutation


@pytest.mark.parametrize("text", ["1/nan", "1/inf", "0/5", "1/1e300", "5", "x/y"])
def test_allowance_with_invalid_number_raises(text: str) -> None:
    with pytest.raises(ValueError, match="budget"):
        Allowance.parse(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--lag", "nan"), ("--lag", "inf"), ("--lag", "-1"), ("--lag", "1e300"), ("--lag", "soon"),
        ("--port", "99999"), ("--port", "-1"), ("--port", "x"), ("--budget", "1/inf"), ("--budget", "1"),
        ("--limit", "cursor_seconds=99999999999999999999"), ("--limit", "vectors_per_request=-1"),
        ("--limit", "vectors_per_request=x"), ("--limit", "mutations_per_batch=0"), ("--limit", "vectors_per_request"),
        ("--fault", "x"), ("--fault", "5"), ("--fault", '{"fault": "unknown"}'),
        ("--fault", '{"fault": "delay", "seconds": 1e300}'),
    ],
)  # fmt: skip
def test_command_line_option_with_invalid_value_is_refused(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(arguments)
    assert f"argument {arguments[0]}" in capsys.readouterr().err


def test_command_line_options_accept_large_values() -> None:
    options = parser().parse_args([
        "--limit",
        "cursor_seconds=1000000000",
        "--budget",
        "1000000000/300",
        "--lag",
        "1e7",
    ])
    assert (options.limit, options.lag) == ([("cursor_seconds", 1_000_000_000)], 1e7)
