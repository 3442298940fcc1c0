"""Insert, upsert and delete: what is taken, and what it changes."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import NDJSON, Http, ndjson, values, vector


def test_an_upserted_vector_can_be_read_back(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 0.1, 0.2, namespace="n", metadata={"k": [1, {"x": "ä"}]}))
    assert http.get("a", "missing") == [
        {"id": "a", "values": values(0.1, 0.2), "namespace": "n", "metadata": {"k": [1, {"x": "ä"}]}}
    ]


def test_insert_keeps_what_is_there_and_upsert_replaces_it_in_full(http: Http) -> None:
    http.create()
    http.insert(vector("a", 1, metadata={"k": 1}, namespace="n"))
    http.insert(vector("a", 2))
    assert http.get("a") == [{"id": "a", "values": values(1), "metadata": {"k": 1}, "namespace": "n"}]
    http.upsert(vector("a", 3))
    assert http.get("a") == [{"id": "a", "values": values(3)}]
    assert http.info()["vectorCount"] == 1


@pytest.mark.parametrize(("operation", "winner"), [("insert", 1), ("upsert", 2)])
@pytest.mark.parametrize("one_request", [True, False])
def test_of_one_id_twice_in_a_batch_the_first_wins_an_insert_and_the_last_an_upsert(
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


def test_writes_of_all_kinds_in_one_batch_happen_in_their_order(http: Http) -> None:
    http.create()
    http.upsert(vector("old", 1))
    http.local.hold()
    http.upsert(vector("a", 1), vector("b", 1))
    http.ok("POST", "/books/delete_by_ids", json={"ids": ["a", "old", "nobody"]})
    http.insert(vector("a", 2), vector("b", 2))
    http.ok("POST", "/books/delete_by_ids", json={"ids": ["b"]})
    http.upsert(vector("c", 1))
    assert len(http.local.process()) == 1
    assert http.get("a", "b", "c", "old") == [{"id": "a", "values": values(2)}, {"id": "c", "values": values(1)}]
    assert http.info()["vectorCount"] == 2
    assert len(http.query(values(1), topK=10)) == 2


def test_a_mutation_id_is_a_random_uuid(http: Http) -> None:
    http.create()
    ids = {http.upsert(vector("a", 1)) for _ in range(3)}
    assert len(ids) == 3
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one) for one in ids)


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
def test_every_harmless_form_of_a_body_is_taken(http: Http, body: str) -> None:
    http.create()
    http.ok("POST", "/books/upsert", data=body.encode(), headers=NDJSON)
    assert http.get("a") == [{"id": "a", "values": values(1)}]


def test_only_the_newline_byte_ends_a_line(http: Http) -> None:
    http.create()
    odd = "a\u2028b\u2029c\u0085d\x0be"
    body = json.dumps(vector("a", 1, metadata={"text": odd}), ensure_ascii=False).encode()
    http.ok("POST", "/books/upsert", data=body, headers=NDJSON)
    assert http.get("a")[0]["metadata"] == {"text": odd}


def test_empty_metadata_is_kept_as_such(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 1, metadata={}), vector("b", 1, namespace=""))
    assert http.get("a")[0]["metadata"] == {}
    assert "metadata" not in http.get("b")[0]


def test_values_are_float32(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 0.1, 1 / 3, 16777217, 1e-46))
    assert http.get("a")[0]["values"] == values(0.1, 0.33333334, 16777216, 0)
    assert http.local.dump("books") == {"a": LocalVectorize.digest(values(0.1, 1 / 3, 16777217, 1e-46))}


@pytest.mark.parametrize("file", [("vectors.ndjson", "application/x-ndjson"), ("vectors.ndjson", None), (None, None)])
def test_a_multipart_part_named_vectors_is_taken_with_or_without_type_and_file_name(
    http: Http, file: tuple[str | None, str | None]
) -> None:
    http.create()
    name, type_ = file
    part = (name, ndjson([vector("a", 1), vector("b", 1)])) + ((type_,) if type_ else ())
    http.ok("POST", "/books/insert", files={"other": (None, b"x"), "vectors": part})
    assert [one["id"] for one in http.get("a", "b")] == ["a", "b"]


def test_one_bad_vector_rejects_the_whole_request(http: Http) -> None:
    http.create()
    response = http.send(
        "POST", "/books/upsert", data=ndjson([vector("a", 1), {"id": "b", "values": [1]}]), headers=NDJSON
    )
    assert response.status_code == 400
    assert http.info() == {"dimensions": 32, "vectorCount": 0}


def test_discard_leaves_out_lines_that_do_not_parse_and_says_nothing(http: Http) -> None:
    http.create()
    body = b"oops\n" + ndjson([vector("a", 1)]) + b'{"id": 1}\n'
    path = "/books/upsert?unparsable-behavior=discard"
    assert set(http.ok("POST", path, data=body, headers=NDJSON)) == {"mutationId"}
    assert [one["id"] for one in http.get("a")] == ["a"]
    broken = body + ndjson([{"id": "b", "values": [1]}])
    assert http.send("POST", path, data=broken, headers=NDJSON).json()["errors"][0]["code"] == 40012
    strict = http.send("POST", "/books/upsert?unparsable-behavior=error", data=body, headers=NDJSON)
    assert strict.json()["errors"][0]["code"] == 40023


def test_deleting_what_is_not_there_is_a_mutation_too(http: Http) -> None:
    http.create()
    mutation = http.ok("POST", "/books/delete_by_ids", json={"ids": ["nobody"]})["mutationId"]
    assert http.info()["processedUpToMutation"] == mutation
    assert http.info()["vectorCount"] == 0


def test_asking_for_an_id_twice_gives_it_once(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 1))
    assert [one["id"] for one in http.get("a", "a")] == ["a"]
