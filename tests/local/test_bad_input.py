"""Invalid requests to each endpoint are refused with status 400 and a code, and change nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import NDJSON, Http, ndjson, values, vector

COSINE = {"dimensions": 32, "metric": "cosine"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"config": COSINE}, 40026),
        ({"name": 1, "config": COSINE}, 40026),
        ({"name": "", "config": COSINE}, 3003),
        ({"name": "Books", "config": COSINE}, 3003),
        ({"name": "1books", "config": COSINE}, 3003),
        ({"name": "books-", "config": COSINE}, 3003),
        ({"name": "b" * 65, "config": COSINE}, 3003),
        ({"name": "new\n", "config": COSINE}, 3003),
        ({"name": "new"}, 3001),
        ({"name": "new", "config": None}, 3001),
        ({"name": "new", "config": {}}, 3001),
        ({"name": "new", "config": {"dimensions": 1537, "metric": "cosine"}}, 3001),
        ({"name": "new", "config": {"dimensions": 31, "metric": "cosine"}}, 3001),
        ({"name": "new", "config": {"dimensions": "32", "metric": "cosine"}}, 3001),
        ({"name": "new", "config": {"dimensions": 32.5, "metric": "cosine"}}, 3001),
        ({"name": "new", "config": {"dimensions": True, "metric": "cosine"}}, 3001),
        ({"name": "new", "config": {"dimensions": 32}}, 3001),
        ({"name": "new", "config": {"dimensions": 32, "metric": "manhattan"}}, 3001),
        ({"name": "new", "config": {"preset": "made/up"}}, 3001),
        ({"name": "new", "config": {"preset": 1}}, 40026),
        ({"name": "new", "description": 1, "config": COSINE}, 40026),
        ([], 40026),
        ("text", 40026),
    ],
)
def test_create_index_with_invalid_body_is_refused(http: Http, body: Any, code: int) -> None:
    response = http.send("POST", "", json=body)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, code)
    assert http.ok("GET", "") == []


def test_create_index_with_body_that_is_not_json_is_refused(http: Http) -> None:
    plain = {"Content-Type": "application/json"}
    assert http.send("POST", "", data=b"{", headers=plain).json()["errors"][0]["code"] == 40026
    assert http.send("POST", "", data=b"", headers=plain).json()["errors"][0]["code"] == 40026
    assert http.send("POST", "", data=b"a=b").json()["errors"][0]["code"] == 1005


DEEP = json.loads('{"k":' * 300 + "1" + "}" * 300)


@pytest.mark.parametrize("operation", ["insert", "upsert"])
@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (b"{", 40023),
        (b"1", 40023),
        (b"[]", 40023),
        (b"null", 40023),
        (b"\xff\xfe", 40023),
        (b"\xef\xbb\xbf" + json.dumps(vector("a", 1)).encode(), 40023),
        (b'{"id": "\\ud800", "values": [1]}', 40023),
        (ndjson([vector("a", 1)]).replace(b"1,", b"NaN,"), 40023),
        (ndjson([vector("a", 1)]).replace(b"1,", b"1e39,"), 40023),
        (ndjson([vector("a", 1)]).replace(b"1,", b"1e400,"), 40023),
        (ndjson([vector("a", 1)]).replace(b"\n", b"\r" + ndjson([vector("b", 1)])), 40023),
        (ndjson([vector("a", 1)])[:-20], 40023),
        ([{"values": values(1)}], 40023),
        ([{"id": None, "values": values(1)}], 40023),
        ([{"id": 1, "values": values(1)}], 40023),
        ([{"id": "a"}], 40023),
        ([{"id": "a", "values": None}], 40023),
        ([{"id": "a", "values": "1"}], 40023),
        ([{"id": "a", "values": {}}], 40023),
        ([{"id": "a", "values": [[1.0] * 32]}], 40023),
        ([{"id": "a", "values": ["1"] * 32}], 40023),
        ([{"id": "a", "values": [None] * 32}], 40023),
        ([{"id": "a", "values": [True] * 32}], 40023),
        ([vector("a", 1, namespace=1)], 40023),
        ([vector("a", 1, metadata=[])], 40023),
        ([vector("a", 1, metadata="x")], 40023),
        ([vector("a", 1, metadata=DEEP)], 40023),
        ([vector("a", 1), {"id": "b", "values": []}], 40012),
        ([{"id": "a", "values": [1.0] * 31}], 40012),
        ([{"id": "a", "values": [1.0] * 33}], 40012),
        ([vector("", 1)], 40013),
        ([vector("ä" * 33, 1)], 40008),
        ([vector("a", 1, namespace="n" * 65)], 40009),
        ([vector("a", 1, metadata={"": 1})], 40018),
        ([vector("a", 1, metadata={"$a": 1})], 40018),
        ([vector("a", 1, metadata={'a"b': 1})], 40018),
        ([vector("a", 1, metadata={"a": {"b.c": 1}})], 40018),
        ([vector("a", 1, metadata={"k": "x" * 10_233})], 40016),
        ([vector(f"v{n}", 1) for n in range(5_001)], 40010),
    ],
)
def test_insert_and_upsert_with_invalid_vector_are_refused_completely(
    http: Http, operation: str, lines: Any, code: int
) -> None:
    http.create()
    body = lines if isinstance(lines, bytes) else ndjson(lines)
    response = http.send("POST", f"/books/{operation}", data=body, headers=NDJSON)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, code)
    assert http.info() == {"dimensions": 32, "vectorCount": 0}


@pytest.mark.parametrize("type_", ["", "text/plain", "application/json", "multipart/form-data", "application/ndjson"])
def test_upsert_with_wrong_content_type_is_refused(http: Http, type_: str) -> None:
    http.create()
    response = http.send("POST", "/books/upsert", data=ndjson([vector("a", 1)]), headers={"Content-Type": type_})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, 1005)


def test_multipart_body_without_vectors_part_is_refused(http: Http) -> None:
    http.create()
    response = http.send("POST", "/books/upsert", files={"file": ("a", b"{}")})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, 1005)


def test_upsert_with_unknown_unparsable_behavior_is_refused(http: Http) -> None:
    http.create()
    response = http.send("POST", "/books/upsert?unparsable-behavior=ignore", data=b"{}", headers=NDJSON)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, 40026)


VECTOR = values(1)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 40026),
        ({"vector": "x"}, 40026),
        ({"vector": [None] * 32}, 40026),
        ({"vector": [1e39] * 32}, 40026),
        ({"vector": []}, 40006),
        ({"vector": [1.0] * 33}, 40006),
        ({"vectorId": 1}, 40026),
        ({"vectorId": "x" * 65}, 40008),
        ({"vectorId": "missing"}, 40015),
        ({"vector": VECTOR, "topK": 0}, 40026),
        ({"vector": VECTOR, "topK": -1}, 40026),
        ({"vector": VECTOR, "topK": 1.5}, 40026),
        ({"vector": VECTOR, "topK": "5"}, 40026),
        ({"vector": VECTOR, "topK": 101}, 40025),
        ({"vector": VECTOR, "topK": 51, "returnValues": True}, 40025),
        ({"vector": VECTOR, "topK": 51, "returnMetadata": "all"}, 40025),
        ({"vector": VECTOR, "returnValues": "yes"}, 40026),
        ({"vector": VECTOR, "returnMetadata": True}, 40026),
        ({"vector": VECTOR, "returnMetadata": "some"}, 40026),
        ({"vector": VECTOR, "namespace": 1}, 40026),
        ({"vector": VECTOR, "namespace": "n" * 65}, 40009),
        ({"vector": VECTOR, "filter": "x"}, 40026),
        ({"vector": VECTOR, "filter": {"a": {"$gt": []}}}, 40019),
        ({"vector": VECTOR, "filter": {"a": {"$lt": [1, 2, 3]}}}, 40019),
        ({"vector": VECTOR, "filter": {"$a": 1}}, 40019),
        ({"vector": VECTOR, "filter": {"a": []}}, 40019),
        ({"vector": VECTOR, "filter": {"a": {}}}, 40019),
        ({"vector": VECTOR, "filter": {"": 1}}, 40019),
        ({"vector": VECTOR, "filter": {"a..b": 1}}, 40019),
        ({"vector": VECTOR, "filter": {"$or": [1]}}, 40019),
        ({"vector": VECTOR, "filter": {'a"': 1}}, 40019),
        ({"vector": VECTOR, "filter": {"a": {"$like": "x"}}}, 40019),
        ({"vector": VECTOR, "filter": {"a": {"$in": "x"}}}, 40019),
        ({"vector": VECTOR, "filter": {"a": {"$in": []}}}, 40019),
        ({"vector": VECTOR, "filter": {"a": {"$in": [{}]}}}, 40019),
        ({"vector": VECTOR, "filter": {"a": {"$eq": [1]}}}, 40019),
        ({"vector": VECTOR, "filter": {"a": {"$lt": None}}}, 40019),
        ({"vector": VECTOR, "filter": {"a": {"$lt": True}}}, 40019),
        ({"vector": VECTOR, "filter": {"a": {"$eq": 1, "b": 2}}}, 40019),
        ({"vector": VECTOR, "filter": {"k" * 513: 1}}, 40019),
        ({"vector": VECTOR, "filter": {"a": "x" * 2_040}}, 40019),
        ({"vector": VECTOR, "filter": json.loads('{"k":' * 300 + "1" + "}" * 300)}, 40019),
    ],
)
def test_query_with_invalid_body_is_refused(http: Http, body: Any, code: int) -> None:
    http.create()
    response = http.send("POST", "/books/query", json=body)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, code)


@pytest.mark.parametrize("path", ["get_by_ids", "delete_by_ids"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 40026),
        ({"ids": "a"}, 40026),
        ({"ids": None}, 40026),
        ({"ids": [1]}, 40026),
        ({"ids": [None]}, 40026),
        ({"ids": [str(n) for n in range(101)]}, 40007),
        ({"ids": ["x" * 65]}, 40008),
        ({"ids": [""]}, 40013),
        ([], 40026),
    ],
)
def test_get_and_delete_by_ids_with_invalid_body_are_refused(http: Http, path: str, body: Any, code: int) -> None:
    http.create()
    response = http.send("POST", f"/books/{path}", json=body)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, code)


@pytest.mark.parametrize("query", ["count=0", "count=1001", "count=-1", "count=x", "count=1.5", "count=²", "count="])
def test_list_with_invalid_count_is_refused(http: Http, query: str) -> None:
    http.create()
    response = http.send("GET", f"/books/list?{query}")
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, 40026)


@pytest.mark.parametrize("cursor", ["x", "bnVsbA==", "W10=", "WzEsMiwzLDRd", "ü"])
def test_list_with_invalid_cursor_is_refused(http: Http, cursor: str) -> None:
    http.create()
    response = http.send("GET", "/books/list", params={"cursor": cursor})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, 40020)


def test_list_with_cursor_of_another_index_is_refused(http: Http) -> None:
    http.create("one")
    http.create("two")
    http.upsert(vector("a", 1), vector("b", 1), name="one")
    cursor = http.ok("GET", "/one/list?count=1")["nextCursor"]
    assert http.send("GET", "/two/list", params={"cursor": cursor}).json()["errors"][0]["code"] == 40020


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"indexType": "string"}, 40026),
        ({"propertyName": "a"}, 40026),
        ({"propertyName": 1, "indexType": "string"}, 40026),
        ({"propertyName": "", "indexType": "string"}, 40026),
        ({"propertyName": "$a", "indexType": "string"}, 40026),
        ({"propertyName": 'a"', "indexType": "string"}, 40026),
        ({"propertyName": "a..b", "indexType": "string"}, 40026),
        ({"propertyName": "a", "indexType": "date"}, 40026),
        ({"propertyName": "a", "indexType": 1}, 40026),
    ],
)
def test_create_metadata_index_with_invalid_body_is_refused(http: Http, body: Any, code: int) -> None:
    http.create()
    response = http.send("POST", "/books/metadata_index/create", json=body)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, code)


def test_eleventh_metadata_index_is_refused_until_one_is_deleted(http: Http) -> None:
    http.create()
    path = "/books/metadata_index"
    for n in range(10):
        http.ok("POST", path + "/create", json={"propertyName": f"p{n}", "indexType": "string"})
    eleventh = {"propertyName": "p10", "indexType": "string"}
    assert http.send("POST", path + "/create", json=eleventh).json()["errors"][0]["code"] == 40004
    http.ok("POST", path + "/create", json={"propertyName": "p1", "indexType": "string"})
    http.ok("POST", path + "/delete", json={"propertyName": "p1"})
    http.ok("POST", path + "/create", json=eleventh)


@pytest.mark.parametrize("body", [{}, {"property": "a"}, {"propertyName": None}])
def test_delete_metadata_index_with_invalid_body_is_refused(http: Http, body: Any) -> None:
    http.create()
    response = http.send("POST", "/books/metadata_index/delete", json=body)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, 40026)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""), ("DELETE", ""), ("GET", "/info"), ("POST", "/insert"), ("POST", "/upsert"), ("POST", "/query"),
        ("POST", "/get_by_ids"), ("POST", "/delete_by_ids"), ("GET", "/list"), ("POST", "/metadata_index/create"),
        ("POST", "/metadata_index/delete"), ("GET", "/metadata_index/list"),
    ],
)  # fmt: skip
def test_endpoint_for_missing_index_returns_404(http: Http, method: str, path: str) -> None:
    response = http.send(method, "/missing" + path, json={} if method == "POST" else None)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, 3000)
