"""When a write shows: the log, its batches, and what a watermark says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import NDJSON, Http, ndjson, values, vector


@pytest.fixture(scope="module")
def small_batches() -> Iterator[LocalVectorize]:
    limits = ["--limit", "vectors_per_batch=5", "--limit", "mutations_per_batch=3"]
    with LocalVectorize.start(extra_args=limits) as local:
        yield local


def test_nothing_shows_before_it_is_folded_and_one_batch_shows_only_its_last_mutation(http: Http) -> None:
    http.create()
    http.local.hold()
    http.upsert(vector("a", 1))
    last = http.upsert(vector("b", 1))
    assert http.get("a", "b") == []
    assert http.query(values(1)) == []
    assert http.local.count("books") == 0
    assert http.info() == {"dimensions": 32, "vectorCount": 0}
    folded = http.local.process("books")
    assert [len(batch["mutation_ids"]) for batch in folded] == [2]
    assert http.info() == {
        "dimensions": 32,
        "vectorCount": 2,
        "processedUpToDatetime": folded[0]["processed_at"],
        "processedUpToMutation": last,
    }


def test_a_batch_takes_as_much_as_both_caps_let_in(small_batches: LocalVectorize) -> None:
    small_batches.reset()
    http = Http(small_batches)
    http.create()
    small_batches.hold()
    http.upsert(*(vector(f"a{n}", n) for n in range(4)))
    http.upsert(vector("b", 1))
    http.upsert(*(vector(f"c{n}", n) for n in range(7)))
    for name in "defg":
        http.upsert(vector(name, 1))
    folded = small_batches.process(batches=1)
    assert [(batch["vectors"], len(batch["mutation_ids"])) for batch in folded] == [(5, 2)]
    folded = small_batches.process()
    # A single mutation over the cap goes alone; then three mutations, then the rest.
    assert [(batch["vectors"], len(batch["mutation_ids"])) for batch in folded] == [(7, 1), (3, 3), (1, 1)]
    assert http.info()["vectorCount"] == 16


def test_process_folds_as_many_mutations_as_asked_for(http: Http) -> None:
    http.create()
    http.local.hold()
    ids = [http.upsert(vector(name, 1)) for name in "abcde"]
    folded = http.local.process("books", batches=1, mutations=2)
    assert [batch["mutation_ids"] for batch in folded] == [ids[:2]]
    assert http.info()["processedUpToMutation"] == ids[1]
    folded = http.local.process("books", mutations=2)
    assert [batch["mutation_ids"] for batch in folded] == [ids[2:4], ids[4:]]


def test_the_watermark_is_never_before_the_acknowledgement(http: Http) -> None:
    http.create()
    for _ in range(5):
        response = http.send("POST", "/books/upsert", data=ndjson([vector("a", 1)]), headers=NDJSON)
        acknowledged = parsedate_to_datetime(response.headers["Date"])
        processed = datetime.fromisoformat(http.info()["processedUpToDatetime"])
        assert acknowledged <= processed <= datetime.now(UTC)


def test_with_a_lag_writes_show_once_it_has_passed(http: Http) -> None:
    http.create()
    http.local.set_lag(3_600)
    http.upsert(vector("a", 1))
    assert http.get("a") == []
    http.local.shift_clock(3_601)
    http.local.set_lag(0)
    assert [one["id"] for one in http.get("a")] == ["a"]


def test_folding_happens_by_itself_when_the_lag_is_over(http: Http) -> None:
    http.create()
    http.local.set_lag(0.05)
    mutation = http.upsert(vector("a", 1))
    for _ in range(1_000):
        if http.info().get("processedUpToMutation") == mutation:
            break
    assert http.info()["processedUpToMutation"] == mutation


def test_a_foreign_mutation_moves_the_watermark_and_nothing_else(http: Http) -> None:
    http.create()
    http.local.hold()
    mine = http.upsert(vector("a", 1))
    (foreign,) = http.local.foreign_mutation("books")
    assert http.local.process()[0]["mutation_ids"] == [mine, foreign]
    assert http.info()["processedUpToMutation"] == foreign
    assert http.info()["vectorCount"] == 1


def test_indexes_are_folded_one_by_one(http: Http) -> None:
    http.create("one")
    http.create("two")
    http.local.hold()
    http.upsert(vector("a", 1), name="one")
    http.upsert(vector("a", 1), name="two")
    assert [batch["index_name"] for batch in http.local.process("two")] == ["two"]
    assert http.info("one")["vectorCount"] == 0
    assert http.info("two")["vectorCount"] == 1
    http.local.release()
    assert http.info("one")["vectorCount"] == 1


def test_a_dump_tells_every_vector_apart(http: Http) -> None:
    http.create()
    http.upsert(
        vector("a", 1),
        vector("b", 1, namespace="n"),
        vector("c", 1, metadata={"z": 1.5, "a": {"y": "ä", "b": [True, None]}}),
        vector("d", 1, metadata={}),
    )
    digest = LocalVectorize.digest
    dump = http.local.dump("books")
    assert dump == {
        "a": digest(values(1)),
        "b": digest(values(1), "n"),
        "c": digest(values(1), None, {"a": {"b": [True, None], "y": "ä"}, "z": 1.5}),
        "d": digest(values(1), None, {}),
    }
    assert len(set(dump.values())) == 4
    assert http.local.count("books") == 4
