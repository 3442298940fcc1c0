"""Test what a plan estimates from a few small reads of a source."""

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
from tests.load.conftest import BooksIndex
from tests.support import make_rows, ndjson

MB = 1_000_000


@dataclass
class MemoryObject:
    """An object in memory that records the size of each read."""

    uri: str
    content: bytes
    reads: list[int] = field(default_factory=list)

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
        self.reads.append(end - start)
        return self.content[start:end]


@functools.cache
def ndjson_rows(count: int, *, first: int = 0, dimensions: int = 64) -> bytes:
    """Return rows as ndjson, with values as Python writes float64."""
    return ndjson(make_rows(count, first=first, dimensions=dimensions))


def make_object(uri: str, text: bytes) -> MemoryObject:
    if uri.endswith(".gz"):
        return MemoryObject(uri, gzip.compress(text, 6))
    return MemoryObject(uri, zstandard.compress(text) if uri.endswith(".zst") else text)


def make_plan(objects: list[MemoryObject], **options: Any) -> Plan:
    return plan(objects, survey.survey(objects), **{"shards": 4, "room": 20 * MB, **options})


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split objects even if they are small."""
    monkeypatch.setattr("airflow_provider_vectorize.plan.shards.split_into_shards.__defaults__", (1_000,))


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_plan_estimates_vectors_from_few_small_reads(suffix: str) -> None:
    objects = [make_object(f"s3://b/{n}.ndjson{suffix}", ndjson_rows(4_000, first=4_000 * n)) for n in range(2)]

    load_plan = make_plan(objects)

    assert load_plan.vectors == pytest.approx(8_000, rel=0.05)
    assert load_plan.text_bytes == pytest.approx(
        sum(len(ndjson_rows(4_000, first=4_000 * n)) for n in range(2)), rel=0.05
    )
    assert load_plan.stored_bytes == sum(source_object.size for source_object in objects)
    reads = [size for source_object in objects for size in source_object.reads]
    assert len(reads) <= survey.READS + 4
    assert max(reads) <= survey.COMPRESSED_READ_BYTES


def test_plan_mixed_source_is_split_by_its_text() -> None:
    text = ndjson_rows(4_000)
    load_plan = make_plan([make_object("s3://b/a.ndjson.gz", text), make_object("s3://b/b.ndjson", text)], shards=2)
    assert load_plan.vectors == pytest.approx(8_000, rel=0.03)
    assert load_plan.shards == (("s3://store@b/a.ndjson.gz",), ("s3://store@b/b.ndjson",))


@pytest.mark.usefixtures("small_parts")
def test_plan_shards_of_large_object_hold_each_row_once() -> None:
    text = ndjson_rows(500)
    load_plan = make_plan([make_object("s3://b/a.ndjson", text)], shards=7)

    assert len(load_plan.shards) == 7
    lines: list[bytes] = []
    for (name,) in load_plan.shards:
        whole, part = parts.split_part_name(name)
        assert whole == "s3://store@b/a.ndjson"
        assert part
        lines += text[part.start : part.end].splitlines()
    assert lines == text.splitlines()
    assert load_plan.largest_shard_bytes < len(text) / 7 + 2_000


@pytest.mark.usefixtures("small_parts")
def test_plan_long_lines_make_fewer_parts_and_no_empty_one() -> None:
    text = b"\n".join([b'{"id": "%d", "values": [%b1]}' % (n, b"1, " * 3_000) for n in range(3)])
    load_plan = make_plan([make_object("s3://b/a.ndjson", text)], shards=8)
    ranges = [parts.split_part_name(name)[1] for shard in load_plan.shards for name in shard]
    assert [part for part in ranges if part] == ranges
    assert [text[part.start : part.end].count(b"id") for part in ranges if part] == [1, 1, 1]


def test_plan_kwargs_are_plain_json_with_connection() -> None:
    load_plan = make_plan(
        [make_object("s3://b/a.ndjson", ndjson_rows(10)), make_object("s3://b/b.ndjson.gz", ndjson_rows(10))], shards=1
    )
    assert load_plan.kwargs() == [{"source": ["s3://store@b/a.ndjson", "s3://store@b/b.ndjson.gz"]}]
    assert json.loads(json.dumps(load_plan.summary())) == load_plan.summary()
    assert load_plan.summary()["shards"] == 1


def test_plan_requests_follow_the_stricter_limit() -> None:
    objects = [make_object("s3://b/a.ndjson", ndjson_rows(100))]
    by_count = make_plan(objects, shards=1, limits=Limits(vectors_per_request=20))
    by_bytes = make_plan(objects, shards=1, limits=Limits(bytes_per_request=by_count.bytes_to_send // 9))
    assert by_count.requests == 5 + 2
    assert by_bytes.requests == 10 + 2


def test_plan_matches_cost_of_the_load(books: BooksIndex) -> None:
    """The plan counts float32 text, batches and the requests besides them."""
    text = ndjson(make_rows(1_000))
    load_plan = make_plan([make_object("s3://b/a.ndjson", text)], shards=1, limits=Limits(vectors_per_request=100))
    books.local.clear_requests()

    receipt = books.load(text, per_request=100)

    assert load_plan.requests == len(books.local.requests())
    assert load_plan.vectors == receipt.vectors
    assert load_plan.bytes_to_send == pytest.approx(receipt.bytes_sent, rel=0.01)
    assert load_plan.bytes_to_send < 0.9 * load_plan.text_bytes


def test_plan_short_values_are_not_estimated_shorter() -> None:
    whole_numbers = ndjson([row | {"values": [1] * 64} for row in make_rows(100, dimensions=64)])
    assert make_plan([make_object("s3://b/a.ndjson", whole_numbers)]).bytes_to_send == len(whole_numbers)


def test_plan_budget_share_and_jobs_follow_from_requests() -> None:
    load_plan = make_plan(
        [make_object("s3://b/a.ndjson", ndjson_rows(98))], shards=1, limits=Limits(vectors_per_request=1), quota=10
    )
    assert load_plan.requests == 98 + 2
    assert load_plan.budget_share == 10
    assert load_plan.processing_jobs == 1
    assert load_plan.minutes == (10 - 1) * 5, "the budget of the first window is available at once"
    assert load_plan.minutes_by == "budget"
    assert "1000% of the request budget" in load_plan.describe()


def test_plan_minutes_follow_given_rate_if_slower() -> None:
    objects = [make_object("s3://b/a.ndjson", ndjson_rows(1_000))]
    load_plan = make_plan(objects, mb_per_second=make_plan(objects).bytes_to_send / MB / 600)
    assert (load_plan.minutes, load_plan.minutes_by) == (10.0, "rate")
    assert make_plan(objects).minutes_by == "budget"


def test_plan_without_room_for_new_vectors_fails() -> None:
    objects = [make_object("s3://b/a.ndjson", ndjson_rows(1_000))]
    with pytest.raises(
        ConfigError, match=r"cannot fit .* about 1,000 vectors, about 1,000 of them new .* room for 900"
    ):
        make_plan(objects, room=900)
    assert make_plan(objects, room=900, share_new=0.5).new_vectors == 500


@pytest.mark.parametrize("content", [b"", b"\n\n  \n", b"x" * (1 << 20)])
def test_survey_source_without_rows_fails(content: bytes) -> None:
    with pytest.raises(
        SourceError, match=r"empty or not ndjson: the reads of s3://b/a\.ndjson and 1 more found no rows"
    ):
        make_plan([make_object("s3://b/a.ndjson", content), make_object("s3://b/b.ndjson", b"")])


def test_survey_compressed_object_with_plain_name_fails() -> None:
    with pytest.raises(SourceError, match="compressed with gzip, but its name"):
        make_plan([MemoryObject("s3://b/a.ndjson", gzip.compress(ndjson_rows(10)))])


def test_survey_parquet_in_a_compressed_object_fails() -> None:
    with pytest.raises(SourceError, match=r"a\.parquet\.gz is Parquet inside of a compressed object"):
        make_plan([MemoryObject("s3://b/a.parquet.gz", gzip.compress(b"PAR1\n" * 100))])


def test_survey_damaged_object_is_named() -> None:
    with pytest.raises(SourceError, match=r"a\.ndjson\.gz is damaged"):
        make_plan([MemoryObject("s3://b/a.ndjson.gz", b"no gzip at all" * 100)])


def test_plan_refuses_parts() -> None:
    with pytest.raises(ConfigError, match="only whole objects"):
        make_plan([MemoryObject(parts.PartName("s3://b/a.ndjson", parts.Part(0, 100)), ndjson_rows(10))])


@pytest.mark.parametrize("options", [{"shards": 0}, {"mb_per_second": 0.0}])
def test_plan_invalid_parameter_fails(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        make_plan([make_object("s3://b/a.ndjson", ndjson_rows(10))], **options)


def test_survey_ids_are_spread_and_skip_bad_rows() -> None:
    rows = [json.dumps({"id": f"v{n}"}).encode() for n in range(100)]
    rows[0], rows[50] = b"no json", b"[1]"
    small_survey = survey.Survey(tuple(rows), 10.0, (1.0,))
    assert small_survey.ids(10) == [f"v{n}" for n in range(0, 100, 10) if n not in {0, 50}]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_survey_reads_all_small_compressed_members(suffix: str) -> None:
    members = [make_object(f"s3://b/a.ndjson{suffix}", ndjson_rows(100)).content for _ in range(10)]
    load_plan = make_plan([MemoryObject(f"s3://b/a.ndjson{suffix}", b"".join(members))])
    assert load_plan.vectors == 1_000


def test_survey_ignores_bytes_after_compressed_text() -> None:
    assert make_plan([MemoryObject("s3://b/a.ndjson.gz", gzip.compress(ndjson_rows(100)) + bytes(512))]).vectors > 90
