"""What a few small reads tell of a source, and what is reckoned from it."""

from __future__ import annotations

import functools
import gzip
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import zstandard

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.plan import survey
from airflow_provider_vectorize.plan.plan import Plan, plan
from airflow_provider_vectorize.sources import parts
from tests.support import make_rows, ndjson

from .conftest import Books

MB = 1_000_000


@dataclass
class Stored:
    """An object in memory, which counts what is read of it."""

    uri: str
    content: bytes
    asked: list[int] = field(default_factory=list)

    encoding: str = ""

    @property
    def key(self) -> str:
        return self.uri

    @property
    def name(self) -> str:
        return self.uri.replace("s3://", "s3://store@")

    def name_of_part(self, part: parts.Part) -> str:
        return f"{self.name}#bytes={part.start}-{part.end}"

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, start: int, end: int) -> bytes:
        self.asked.append(end - start)
        return self.content[start:end]


@functools.cache
def rows_of(count: int, *, first: int = 0, dimensions: int = 64) -> bytes:
    """As Python writes float64."""
    return ndjson(make_rows(count, first=first, dimensions=dimensions))


def packed(uri: str, text: bytes) -> Stored:
    if uri.endswith(".gz"):
        return Stored(uri, gzip.compress(text, 6))
    return Stored(uri, zstandard.compress(text) if uri.endswith(".zst") else text)


def planned(objects: list[Stored], **options: Any) -> Plan:
    return plan(objects, survey.survey(objects), **{"shards": 4, "room": 20 * MB, **options})


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are cut though they are small."""
    monkeypatch.setattr("airflow_provider_vectorize.plan.shards.LEAST_PART", 1_000)
    monkeypatch.setattr("airflow_provider_vectorize.plan.shards.deal.__defaults__", (1_000,))


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_vectors_are_estimated_from_a_few_small_reads(suffix: str) -> None:
    objects = [packed(f"s3://b/{n}.ndjson{suffix}", rows_of(4_000, first=4_000 * n)) for n in range(2)]

    found = planned(objects)

    assert found.vectors == pytest.approx(8_000, rel=0.05)
    assert found.text_bytes == pytest.approx(sum(len(rows_of(4_000, first=4_000 * n)) for n in range(2)), rel=0.05)
    assert found.stored_bytes == sum(item.size for item in objects)
    asked = [size for item in objects for size in item.asked]
    assert len(asked) <= survey.PLACES + 4
    assert max(asked) <= survey.PACKED_BYTES


def test_a_source_of_both_kinds_is_weighed_by_its_text() -> None:
    text = rows_of(4_000)
    found = planned([packed("s3://b/a.ndjson.gz", text), packed("s3://b/b.ndjson", text)], shards=2)
    assert found.vectors == pytest.approx(8_000, rel=0.03)
    assert found.shards == (("s3://store@b/a.ndjson.gz",), ("s3://store@b/b.ndjson",))


@pytest.mark.usefixtures("small_parts")
def test_the_shards_of_a_large_object_are_its_rows_each_once() -> None:
    text = rows_of(500)
    found = planned([packed("s3://b/a.ndjson", text)], shards=7)

    assert len(found.shards) == 7
    lines: list[bytes] = []
    for (name,) in found.shards:
        whole, part = parts.split_part_name(name)
        assert whole == "s3://store@b/a.ndjson"
        assert part
        lines += text[part.start : part.end].splitlines()
    assert lines == text.splitlines()
    assert found.largest_shard_bytes < len(text) / 7 + 2_000


@pytest.mark.usefixtures("small_parts")
def test_lines_longer_than_a_part_make_fewer_parts_and_none_that_is_empty() -> None:
    text = b"\n".join([b'{"id": "%d", "values": [%b1]}' % (n, b"1, " * 3_000) for n in range(3)])
    found = planned([packed("s3://b/a.ndjson", text)], shards=8)
    cut = [parts.split_part_name(name)[1] for shard in found.shards for name in shard]
    assert [part for part in cut if part] == cut
    assert [text[part.start : part.end].count(b"id") for part in cut if part] == [1, 1, 1]


def test_what_is_passed_to_mapped_tasks_is_plain_json_with_the_connection() -> None:
    found = planned([packed("s3://b/a.ndjson", rows_of(10)), packed("s3://b/b.ndjson.gz", rows_of(10))], shards=1)
    assert found.kwargs() == [{"source": ["s3://store@b/a.ndjson", "s3://store@b/b.ndjson.gz"]}]
    assert json.loads(json.dumps(found.summary())) == found.summary()
    assert found.summary()["shards"] == 1


def test_requests_come_from_whichever_limit_binds() -> None:
    objects = [packed("s3://b/a.ndjson", rows_of(100))]
    by_count = planned(objects, shards=1, limits=Limits(vectors_per_request=20))
    by_bytes = planned(objects, shards=1, limits=Limits(bytes_per_request=by_count.bytes_to_send // 9))
    assert by_count.requests == 5 + 2
    assert by_bytes.requests == 10 + 2


def test_a_load_costs_what_was_planned(books: Books) -> None:
    """Float32 text, batches and the requests beside them."""
    text = ndjson(make_rows(1_000))
    found = planned([packed("s3://b/a.ndjson", text)], shards=1, limits=Limits(vectors_per_request=100))
    books.local.clear_requests()

    receipt = books.load(text, per_request=100)

    assert found.requests == len(books.local.requests())
    assert found.vectors == receipt.vectors
    assert found.bytes_to_send == pytest.approx(receipt.bytes_sent, rel=0.01)
    assert found.bytes_to_send < 0.9 * found.text_bytes


def test_values_that_are_short_as_they_stand_are_not_reckoned_shorter() -> None:
    whole_numbers = ndjson([row | {"values": [1] * 64} for row in make_rows(100, dimensions=64)])
    assert planned([packed("s3://b/a.ndjson", whole_numbers)]).bytes_to_send == len(whole_numbers)


def test_the_budget_and_the_jobs_follow_from_the_requests() -> None:
    found = planned([packed("s3://b/a.ndjson", rows_of(98))], shards=1, limits=Limits(vectors_per_request=1), quota=10)
    assert found.requests == 98 + 2
    assert found.budget_share == 10
    assert found.processing_jobs == 1
    assert found.minutes == (10 - 1) * 5, "the first window's budget is there at once"
    assert found.minutes_by == "budget"
    assert "1000% of the budget" in found.told()


def test_minutes_are_by_the_rate_where_one_is_given_and_it_is_what_binds() -> None:
    objects = [packed("s3://b/a.ndjson", rows_of(1_000))]
    found = planned(objects, mb_per_second=planned(objects).bytes_to_send / MB / 600)
    assert (found.minutes, found.minutes_by) == (10.0, "rate")
    assert planned(objects).minutes_by == "budget"


def test_a_load_that_cannot_fit_is_refused_and_what_is_there_already_needs_no_room() -> None:
    objects = [packed("s3://b/a.ndjson", rows_of(1_000))]
    with pytest.raises(
        ConfigError, match=r"cannot fit .* about 1,000 vectors, about 1,000 of them new .* room for 900"
    ):
        planned(objects, room=900)
    assert planned(objects, room=900, share_new=0.5).new_vectors == 500


@pytest.mark.parametrize("content", [b"", b"\n\n  \n", b"x" * (1 << 20)])
def test_a_source_without_rows_is_an_error(content: bytes) -> None:
    with pytest.raises(SourceError, match=r"empty, or no ndjson: s3://b/a\.ndjson and 1 more has no rows"):
        planned([packed("s3://b/a.ndjson", content), packed("s3://b/b.ndjson", b"")])


def test_a_compressed_object_by_another_name_is_an_error() -> None:
    with pytest.raises(SourceError, match="compressed with gzip, but its name"):
        planned([Stored("s3://b/a.ndjson", gzip.compress(rows_of(10)))])


def test_a_damaged_object_is_named() -> None:
    with pytest.raises(SourceError, match=r"a\.ndjson\.gz is damaged"):
        planned([Stored("s3://b/a.ndjson.gz", b"no gzip at all" * 100)])


def test_parts_are_not_planned_again() -> None:
    with pytest.raises(ConfigError, match="only whole objects"):
        planned([Stored(parts.PartName("s3://b/a.ndjson", parts.Part(0, 100)), rows_of(10))])


@pytest.mark.parametrize("options", [{"shards": 0}, {"mb_per_second": 0.0}])
def test_nonsense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        planned([packed("s3://b/a.ndjson", rows_of(10))], **options)


def test_ids_are_sampled_from_all_over_and_bad_rows_have_none() -> None:
    rows = [json.dumps({"id": f"v{n}"}).encode() for n in range(100)]
    rows[0], rows[50] = b"no json", b"[1]"
    seen = survey.Survey(tuple(rows), 10.0, (1.0,))
    assert seen.ids(10) == [f"v{n}" for n in range(0, 100, 10) if n not in {0, 50}]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_of_many_small_compressed_members_all_are_seen(suffix: str) -> None:
    members = [packed(f"s3://b/a.ndjson{suffix}", rows_of(100)).content for _ in range(10)]
    found = planned([Stored(f"s3://b/a.ndjson{suffix}", b"".join(members))])
    assert found.vectors == 1_000


def test_what_follows_a_compressed_text_is_left_to_the_load() -> None:
    assert planned([Stored("s3://b/a.ndjson.gz", gzip.compress(rows_of(100)) + bytes(512))]).vectors > 90
