"""Insert, upsert and delete: what they change, and when it shows."""

from __future__ import annotations

from .conftest import Http, values, vector


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


def test_nothing_shows_before_it_is_folded_and_one_batch_shows_only_its_last_mutation(http: Http) -> None:
    http.create()
    assert set(http.info()) == {"dimensions", "vectorCount"}
    http.local.hold()
    http.upsert(vector("a", 1))
    last = http.upsert(vector("b", 1))
    assert http.get("a", "b") == []
    assert "processedUpToMutation" not in http.info()
    folded = http.local.process("books")
    assert [len(batch["mutation_ids"]) for batch in folded] == [2]
    info = http.info()
    assert info["processedUpToMutation"] == last
    assert info["processedUpToDatetime"] == folded[0]["processed_at"]
    assert info["vectorCount"] == 2


def test_query_finds_the_nearest(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 1, 0), vector("b", 1, 1), vector("c", 0, 1))
    assert [(m["id"], round(m["score"], 6)) for m in http.query(values(1, 0.1), topK=2)] == [
        ("a", 0.995037),
        ("b", 0.773957),
    ]
