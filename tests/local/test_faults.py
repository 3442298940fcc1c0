"""Faults have the documented effect, on the matching requests, for the configured number of times."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from .conftest import NDJSON, Http, ndjson, values, vector


def send_upsert(http: Http, **options: Any) -> requests.Response:
    body = ndjson([vector("a", 1)])
    return http.send("POST", "/books/upsert", data=body, headers=NDJSON, **options)


@pytest.mark.parametrize(
    ("fault", "options", "status", "text"),
    [
        ("rate_limit", {}, 429, '"code":971'),
        ("throttle_40041", {}, 400, '"code":40041'),
        ("http_500", {}, 500, "Internal Server Error"),
        ("gateway_504_html", {}, 504, "<!DOCTYPE html>"),
        ("gateway_524_html", {}, 524, "<!DOCTYPE html>"),
        ("redirect", {"location": "https://example.com/"}, 302, ""),
        ("answer", {"status": 403, "code": 9109, "message": "no"}, 403, '"code":9109,"message":"no"'),
        ("answer", {"status": 503, "text": "busy", "headers": {"Retry-After": "3"}}, 503, "busy"),
    ],
)
def test_fault_that_replaces_the_response_does_not_apply_the_write(
    http: Http, fault: str, options: dict[str, Any], status: int, text: str
) -> None:
    http.create()
    http.local.fail(fault, operation="upsert", **options)
    response = send_upsert(http, allow_redirects=False)
    assert response.status_code == status
    assert text in response.text
    assert http.info()["vectorCount"] == 0
    assert send_upsert(http).status_code == 200
    assert [(request.status, request.fault) for request in http.local.requests("upsert")] == [
        (status, fault),
        (200, None),
    ]


def test_late_request_gets_no_response_and_is_carried_out_later(http: Http) -> None:
    http.create()
    http.local.fail("late", operation="upsert", seconds=50)
    with pytest.raises(requests.ConnectionError):
        http.upsert(vector("a", 1))
    http.upsert(vector("a", 2))
    http.local.shift_clock(49)
    assert http.get("a")[0]["values"][0] == 2
    assert http.local.status()["late_requests"] == 1
    http.local.shift_clock(51)
    assert http.get("a")[0]["values"][0] == 1
    assert http.local.status()["late_requests"] == 0


@pytest.mark.parametrize("status", [500, 524])
def test_late_request_with_status_gets_an_error_and_is_carried_out_later(http: Http, status: int) -> None:
    http.create()
    http.local.fail("late", operation="delete_by_ids", seconds=5, status=status)
    http.upsert(vector("a", 1))
    assert http.send("POST", "/books/delete_by_ids", json={"ids": ["a"]}).status_code == status
    assert len(http.get("a")) == 1
    http.local.shift_clock(6)
    assert http.get("a") == []


def test_late_request_is_carried_out_without_clock_shift(http: Http) -> None:
    http.create()
    http.local.fail("late", operation="upsert", seconds=0.05)
    with pytest.raises(requests.ConnectionError):
        http.upsert(vector("a", 1))
    while not http.local.requests("upsert")[0].mutation_id:
        time.sleep(0.01)
    assert len(http.get("a")) == 1


def test_late_requests_are_carried_out_in_the_order_of_due_times(http: Http) -> None:
    http.create()
    http.create("films")
    for name, seconds in (("books", 20), ("films", 10)):
        http.local.fail("late", path_contains=f"/{name}", method="DELETE", seconds=seconds, status=500)
        assert http.send("DELETE", f"/{name}").status_code == 500
    http.local.shift_clock(15)
    assert [index["name"] for index in http.ok("GET", "")] == ["books"]
    http.local.shift_clock(25)
    assert http.ok("GET", "") == []


def test_reset_discards_late_requests(http: Http) -> None:
    http.create()
    http.local.fail("late", operation="upsert", seconds=5, status=500)
    send_upsert(http)
    http.local.reset()
    http.create()
    http.local.shift_clock(6)
    assert http.info()["vectorCount"] == 0


@pytest.mark.parametrize(
    ("fault", "applied"),
    [
        ("cut_before", 0),
        ("cut_during_body", 0),
        ("cut_before_apply", 0),
        ("cut_after_body", 1),
        ("cut_during_answer", 1),
    ],
)
def test_cut_fault_sends_no_response_and_applies_the_write_as_documented(http: Http, fault: str, applied: int) -> None:
    http.create()
    http.local.fail(fault, operation="upsert")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        send_upsert(http)
    assert http.info()["vectorCount"] == applied
    (request,) = http.local.requests("upsert")
    assert request.status is None
    assert request.fault == fault


@pytest.mark.parametrize("fault", ["cut_before", "cut_during_body", "cut_before_apply", "cut_after_body"])
def test_cut_fault_applies_to_requests_without_body(http: Http, fault: str) -> None:
    http.local.fail(fault, operation="list_indexes")
    with pytest.raises(requests.ConnectionError):
        http.send("GET", "")


def test_cut_during_body_reads_the_configured_number_of_bytes(http: Http) -> None:
    http.create()
    http.local.fail("cut_during_body", operation="upsert", after_bytes=2_000_000)
    with pytest.raises(requests.ConnectionError):
        http.send("POST", "/books/upsert", data=b" " * 20_000_000, headers=NDJSON)
    assert 2_000_000 <= http.local.requests("upsert")[0].body_bytes < 20_000_000


@pytest.mark.parametrize(("fault", "text"), [("not_json", "<html>"), ("no_mutation_id", '"result":{}')])
def test_fault_that_spoils_the_response_applies_the_write(http: Http, fault: str, text: str) -> None:
    http.create()
    http.local.fail(fault, operation="upsert")
    response = send_upsert(http)
    assert response.status_code == 200
    assert text in response.text
    assert http.info()["vectorCount"] == 1


def test_delay_fault_sends_the_correct_response_late(http: Http) -> None:
    http.create()
    http.local.fail("delay", operation="info", seconds=0.2)
    before = time.monotonic()
    assert http.info()["vectorCount"] == 0
    assert time.monotonic() - before >= 0.2


def test_fault_applies_only_to_matching_requests(http: Http) -> None:
    http.create()
    http.create("films")
    http.local.fail("http_500", method="GET", path_contains="/films", times=None)
    assert http.send("GET", "/books").status_code == 200
    assert http.send("GET", "/films").status_code == 500
    assert http.send("GET", "/films/info").status_code == 500
    assert http.send("POST", "/films/get_by_ids", json={"ids": []}).status_code == 200
    http.local.clear_faults()
    assert http.send("GET", "/films").status_code == 200


def test_fault_with_after_and_times_applies_to_that_many_requests(http: Http) -> None:
    http.local.fail("http_500", after=2, times=3)
    assert [http.send("GET", "").status_code for _ in range(7)] == [200, 200, 500, 500, 500, 200, 200]


def test_fault_with_probability_is_reproducible_by_seed(http: Http) -> None:
    def statuses(seed: int) -> list[int]:
        http.local.clear_faults()
        http.local.fail("http_500", probability=0.5, times=None, seed=seed)
        return [http.send("GET", "").status_code for _ in range(30)]

    first = statuses(1)
    assert first == statuses(1)
    assert first != statuses(2)
    assert 5 < first.count(500) < 25


def test_several_faults_apply_one_after_the_other(http: Http) -> None:
    http.local.fail("rate_limit")
    http.local.fail("gateway_504_html", times=2)
    assert [http.send("GET", "").status_code for _ in range(4)] == [429, 504, 504, 200]


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("meteorite", {}),
        ("delay", {"minutes": 1}),
        ("delay", {"seconds": "1"}),
        ("http_500", {"status": 501}),
        ("http_500", {"operation": "upserts"}),
        ("http_500", {"times": "often"}),
        ("http_500", {"times": True}),
    ],
)
def test_fault_with_invalid_options_is_refused(http: Http, fault: str, options: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match=r"Unknown|must be"):
        http.local.fail(fault, **options)


def reads(http: Http) -> tuple[Any, ...]:
    return (
        http.info()["vectorCount"],
        [found["values"][0] for found in http.get("a")],
        [match["id"] for match in http.query(values(1), topK=10)],
    )


def test_flapping_answers_every_second_read_from_the_previous_batch(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 1))
    http.info()
    http.upsert(vector("a", 2), vector("b", 1))
    fresh, stale = (2, [2.0], ["a", "b"]), (1, [1.0], ["a"])
    assert reads(http) == fresh
    http.local.flap("books")
    # A call of reads() sends three reads, so that each kind of read is stale in every second call.
    assert reads(http) == (stale[0], fresh[1], stale[2])
    assert reads(http) == (fresh[0], stale[1], fresh[2])
    http.local.steady()
    assert reads(http) == fresh
    http.local.flap(probability=1.0, times=3)
    assert reads(http) == stale
    assert reads(http) == fresh


def test_flapping_after_the_first_batch_reads_an_empty_index(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 1))
    assert http.info()["vectorCount"] == 1
    http.local.flap(probability=1.0)
    assert http.info() == {"dimensions": 32, "vectorCount": 0}
    assert http.get("a") == []


def test_recorded_requests_are_complete_and_contain_no_token(http: Http) -> None:
    http.create()
    mutation = http.upsert(vector("a", 1), vector("b", 1))
    http.send("POST", "/books/upsert?unparsable-behavior=discard", data=b"x", headers=NDJSON)
    create, first, second = http.local.requests()
    assert (create.method, create.operation, create.status) == ("POST", "create_index", 200)
    assert (first.operation, first.vectors, first.mutation_id) == ("upsert", 2, mutation)
    assert first.body_bytes == len(ndjson([vector("a", 1), vector("b", 1)]))
    assert first.path.endswith("/books/upsert")
    assert first.ended is not None
    assert 0 <= first.ended - first.started < 60
    assert second.query == "unparsable-behavior=discard"
    assert http.local.token not in repr(http.local.requests())
    http.local.clear_requests()
    assert http.local.requests() == []


def test_control_api_refuses_web_pages_and_invalid_requests(http: Http) -> None:
    url = f"http://127.0.0.1:{http.local.port}/__local__/reset"
    assert requests.post(url, headers={"Origin": "https://example.com"}, timeout=10).status_code == 403
    assert requests.post(url, data=b"x", timeout=10).status_code == 400
    with pytest.raises(RuntimeError, match="missing"):
        http.local.dump("missing")
    with pytest.raises(RuntimeError):
        http.local.control("POST", "lag", seconds="soon")
    assert http.local.requests() == []
