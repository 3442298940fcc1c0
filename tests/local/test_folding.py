"""Folding: when writes become visible, the size of batches, and the watermark."""

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


def test_batch_is_invisible_until_folded_and_shows_its_last_mutation(http: Http) -> None:
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


def test_batch_is_limited_by_vectors_and_by_mutations(small_batches: LocalVectorize) -> None:
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
    # A mutation that exceeds the limit is a batch of its own. Then follow three mutations, and the rest.
    assert [(batch["vectors"], len(batch["mutation_ids"])) for batch in folded] == [(7, 1), (3, 3), (1, 1)]
    assert http.info()["vectorCount"] == 16


def test_process_with_mutation_limit_folds_that_many_per_batch(http: Http) -> None:
    http.create()
    http.local.hold()
    ids = [http.upsert(vector(name, 1)) for name in "abcde"]
    folded = http.local.process("books", batches=1, mutations=2)
    assert [batch["mutation_ids"] for batch in folded] == [ids[:2]]
    assert http.info()["processedUpToMutation"] == ids[1]
    folded = http.local.process("books", mutations=2)
    assert [batch["mutation_ids"] for batch in folded] == [ids[2:4], ids[4:]]


def test_watermark_time_is_not_before_acknowledgement(http: Http) -> None:
    http.create()
    for _ in range(5):
        response = http.send("POST", "/books/upsert", data=ndjson([vector("a", 1)]), headers=NDJSON)
        acknowledged = parsedate_to_datetime(response.headers["Date"])
        processed = datetime.fromisoformat(http.info()["processedUpToDatetime"])
        assert acknowledged <= processed <= datetime.now(UTC)


def test_write_is_visible_after_lag_has_passed(http: Http) -> None:
    http.create()
    http.local.set_lag(3_600)
    http.upsert(vector("a", 1))
    assert http.get("a") == []
    http.local.shift_clock(3_601)
    http.local.set_lag(0)
    assert [found["id"] for found in http.get("a")] == ["a"]


def test_background_job_folds_after_lag(http: Http) -> None:
    http.create()
    http.local.set_lag(0.05)
    mutation = http.upsert(vector("a", 1))
    for _ in range(1_000):
        if http.info().get("processedUpToMutation") == mutation:
            break
    assert http.info()["processedUpToMutation"] == mutation


def test_foreign_mutation_only_moves_the_watermark(http: Http) -> None:
    http.create()
    http.local.hold()
    own = http.upsert(vector("a", 1))
    (foreign,) = http.local.foreign_mutation("books")
    assert http.local.process()[0]["mutation_ids"] == [own, foreign]
    assert http.info()["processedUpToMutation"] == foreign
    assert http.info()["vectorCount"] == 1


def test_process_of_one_index_leaves_other_indexes_pending(http: Http) -> None:
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


def test_dump_has_different_digest_for_each_vector(http: Http) -> None:
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
