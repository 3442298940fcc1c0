"""Insert, upsert and delete: accepted bodies, and their effect."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import NDJSON, Http, ndjson, values, vector


def test_upserted_vector_can_be_read_back(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 0.1, 0.2, namespace="n", metadata={"k": [1, {"x": "ä"}]}))
    assert http.get("a", "missing") == [
        {"id": "a", "values": values(0.1, 0.2), "namespace": "n", "metadata": {"k": [1, {"x": "ä"}]}}
    ]


def test_insert_keeps_existing_vector_and_upsert_replaces_it(http: Http) -> None:
    http.create()
    http.insert(vector("a", 1, metadata={"k": 1}, namespace="n"))
    http.insert(vector("a", 2))
    assert http.get("a") == [{"id": "a", "values": values(1), "metadata": {"k": 1}, "namespace": "n"}]
    http.upsert(vector("a", 3))
    assert http.get("a") == [{"id": "a", "values": values(3)}]
    assert http.info()["vectorCount"] == 1


@pytest.mark.parametrize(("operation", "winner"), [("insert", 1), ("upsert", 2)])
@pytest.mark.parametrize("one_request", [True, False])
def test_duplicate_id_in_batch_first_wins_insert_last_wins_upsert(
    http: Http, operation: str, winner: int, one_request: bool
) -> None:
    http.create()
    http.local.hold()
    if one_request:
        http.write(operation, [vector("a", 1), vector("a", 2)])
    else:
        http.write(operation, [vector("a", 1)])
        http.write(operation, [vector("a", 2)])
    http.local.release()
    assert http.get("a") == [{"id": "a", "values": values(winner)}]
    assert http.info()["vectorCount"] == 1


def test_mutations_in_one_batch_are_applied_in_order(http: Http) -> None:
    http.create()
    http.upsert(vector("old", 1))
    http.local.hold()
    http.upsert(vector("a", 1), vector("b", 1))
    http.ok("POST", "/books/delete_by_ids", json={"ids": ["a", "old", "missing"]})
    http.insert(vector("a", 2), vector("b", 2))
    http.ok("POST", "/books/delete_by_ids", json={"ids": ["b"]})
    http.upsert(vector("c", 1))
    assert len(http.local.process()) == 1
    assert http.get("a", "b", "c", "old") == [{"id": "a", "values": values(2)}, {"id": "c", "values": values(1)}]
    assert http.info()["vectorCount"] == 2
    assert len(http.query(values(1), topK=10)) == 2


def test_mutation_id_is_a_random_uuid(http: Http) -> None:
    http.create()
    ids = {http.upsert(vector("a", 1)) for _ in range(3)}
    assert len(ids) == 3
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", mutation_id)
        for mutation_id in ids
    )


LINE = json.dumps(vector("a", 1))


@pytest.mark.parametrize(
    "body",
    [
        LINE,
        LINE + "\n",
        LINE + "\r\n",
        "\n\n" + LINE + "\n   \n" + " " * 200 + "\n\n",
        json.dumps(vector("a", 1, namespace=None, metadata=None)),
        json.dumps(vector("a", 1, unknown=[1])),
        json.dumps({"id": "a", "values": [1] + [0] * 31}),
    ],
)
def test_ndjson_body_in_any_valid_form_is_accepted(http: Http, body: str) -> None:
    http.create()
    http.ok("POST", "/books/upsert", data=body.encode(), headers=NDJSON)
    assert http.get("a") == [{"id": "a", "values": values(1)}]


def test_unicode_line_separators_do_not_end_a_line(http: Http) -> None:
    http.create()
    odd = "a\u2028b\u2029c\u0085d\x0be"
    body = json.dumps(vector("a", 1, metadata={"text": odd}), ensure_ascii=False).encode()
    http.ok("POST", "/books/upsert", data=body, headers=NDJSON)
    assert http.get("a")[0]["metadata"] == {"text": odd}


def test_empty_metadata_is_stored_as_an_empty_object(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 1, metadata={}), vector("b", 1, namespace=""))
    assert http.get("a")[0]["metadata"] == {}
    assert "metadata" not in http.get("b")[0]


def test_values_are_rounded_to_float32(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 0.1, 1 / 3, 16777217, 1e-46))
    assert http.get("a")[0]["values"] == values(0.1, 0.33333334, 16777216, 0)
    assert http.local.dump("books") == {"a": LocalVectorize.digest(values(0.1, 1 / 3, 16777217, 1e-46))}


@pytest.mark.parametrize("file", [("vectors.ndjson", "application/x-ndjson"), ("vectors.ndjson", None), (None, None)])
def test_multipart_vectors_part_needs_no_type_and_no_file_name(http: Http, file: tuple[str | None, str | None]) -> None:
    http.create()
    name, type_ = file
    part = (name, ndjson([vector("a", 1), vector("b", 1)])) + ((type_,) if type_ else ())
    http.ok("POST", "/books/insert", files={"other": (None, b"x"), "vectors": part})
    assert [found["id"] for found in http.get("a", "b")] == ["a", "b"]


def test_one_invalid_vector_refuses_the_complete_request(http: Http) -> None:
    http.create()
    response = http.send(
        "POST", "/books/upsert", data=ndjson([vector("a", 1), {"id": "b", "values": [1]}]), headers=NDJSON
    )
    assert response.status_code == 400
    assert http.info() == {"dimensions": 32, "vectorCount": 0}


def test_discard_skips_unparsable_lines_silently(http: Http) -> None:
    http.create()
    body = b"oops\n" + ndjson([vector("a", 1)]) + b'{"id": 1}\n'
    path = "/books/upsert?unparsable-behavior=discard"
    assert set(http.ok("POST", path, data=body, headers=NDJSON)) == {"mutationId"}
    assert [found["id"] for found in http.get("a")] == ["a"]
    broken = body + ndjson([{"id": "b", "values": [1]}])
    assert http.send("POST", path, data=broken, headers=NDJSON).json()["errors"][0]["code"] == 40012
    strict = http.send("POST", "/books/upsert?unparsable-behavior=error", data=body, headers=NDJSON)
    assert strict.json()["errors"][0]["code"] == 40023


def test_delete_of_missing_id_is_a_mutation(http: Http) -> None:
    http.create()
    mutation = http.ok("POST", "/books/delete_by_ids", json={"ids": ["missing"]})["mutationId"]
    assert http.info()["processedUpToMutation"] == mutation
    assert http.info()["vectorCount"] == 0


def test_get_with_duplicate_ids_returns_each_vector_once(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 1))
    assert [found["id"] for found in http.get("a", "a")] == ["a"]
