"""Test what a plan of Parquet reads, counts and splits, and what it estimates for mapped ndjson."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.plan import parquet_survey
from airflow_provider_vectorize.plan.footers import Footer
from airflow_provider_vectorize.plan.parquet_survey import survey_parquet
from airflow_provider_vectorize.plan.plan import Plan, plan
from airflow_provider_vectorize.plan.survey import Survey, survey
from airflow_provider_vectorize.sources import parts
from airflow_provider_vectorize.sources.fields import DEFAULT_FIELDS, Fields, parse_fields
from airflow_provider_vectorize.sources.parquet import ParquetReader, RowGroupRange
from tests.load.conftest import BooksIndex
from tests.plan.test_plan import MemoryObject, make_object
from tests.support import DIMENSIONS, FileObject, make_rows, ndjson

MAPPED = parse_fields("fields", {"id": "key", "values": "doc.embedding", "metadata": ["title"]})


class ParquetObject(MemoryObject):
    """A Parquet object in memory, which counts how often it is opened."""

    opened = 0

    @contextmanager
    def open_file(self, block_bytes: int | None = None) -> Iterator[IO[bytes]]:
        self.opened += 1
        yield io.BytesIO(self.content)


def make_parquet(
    row_groups: Sequence[int], uri: str = "s3://b/a.parquet", first: int = 0, **columns: Any
) -> ParquetObject:
    """Return an object with row groups of these sizes."""
    rows = make_rows(sum(row_groups), first=first, dimensions=DIMENSIONS)
    table = pa.table({
        "id": [row["id"] for row in rows],
        "values": pa.array([row["values"] for row in rows], pa.list_(pa.float32())),
        **columns,
    })
    file = io.BytesIO()
    with pq.ParquetWriter(file, table.schema) as writer:
        for start, end in pairwise(accumulate(row_groups, initial=0)):
            writer.write_table(table.slice(start, end - start), row_group_size=max(1, end - start))
    return ParquetObject(uri, file.getvalue())


def surveyed(objects: Sequence[Any], fields: Fields = DEFAULT_FIELDS) -> Survey:
    return survey_parquet(objects, fields, DIMENSIONS, LIMITS)


def make_plan(objects: Sequence[Any], **options: Any) -> Plan:
    return plan(objects, surveyed(objects), **{"shards": 4, "room": 20_000_000, **options})


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split objects even if they are small."""
    monkeypatch.setattr("airflow_provider_vectorize.plan.shards.split_into_shards.__defaults__", (1_000,))


def row_groups_of(name: str, content: bytes) -> range:
    _, part = parts.split_part_name(name)
    reader = ParquetReader(io.BytesIO(content), name)
    groups = reader.row_groups_in(*part) if part else RowGroupRange(0, len(reader.row_group_starts) - 1)
    return range(*groups)


def test_plan_of_parquet_counts_rows_exactly_and_estimates_what_is_sent(books: BooksIndex) -> None:
    objects = [make_parquet([37, 5, 400]), make_parquet([111], "s3://b/b.parquet", 442)]
    load_plan = make_plan(objects, shards=1)

    (books.folder / "a.parquet").write_bytes(objects[0].content)
    (books.folder / "b.parquet").write_bytes(objects[1].content)
    receipt = books.load([FileObject(books.folder / f"{name}.parquet") for name in "ab"])

    assert load_plan.vectors == receipt.vectors == 553
    assert load_plan.bytes_to_send == load_plan.text_bytes == pytest.approx(receipt.bytes_sent, rel=0.02)
    assert load_plan.stored_bytes == sum(len(each.content) for each in objects)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("row_groups", [[400], [100] * 4, [10] * 40, [300, 1, 1, 98], [1, 350, 49], [200, 0, 200]])
@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_plan_of_parquet_gives_each_row_group_to_one_shard(row_groups: list[int], shards: int) -> None:
    source = make_parquet(row_groups)
    load_plan = make_plan([source], shards=shards)
    groups = [list(row_groups_of(name, source.content)) for shard in load_plan.shards for name in shard]

    assert [group for part in groups for group in part] == list(range(len(row_groups)))
    assert all(groups), "no part is empty"
    assert min(shards, 2, len(row_groups)) <= len(load_plan.shards) <= shards


@pytest.mark.usefixtures("small_parts")
def test_plan_of_parquet_balances_rows_and_names_whole_objects() -> None:
    objects = [make_parquet([100] * 3, f"s3://b/{name}.parquet") for name in "abc"]
    load_plan = make_plan(objects, shards=3)
    assert load_plan.shards == tuple((f"s3://store@b/{name}.parquet",) for name in "abc")
    assert load_plan.largest_shard_bytes == pytest.approx(load_plan.text_bytes / 3, abs=2)


def test_plan_of_small_parquet_object_does_not_split_it() -> None:
    assert make_plan([make_parquet([100] * 4)]).shards == (("s3://store@b/a.parquet",),)


@pytest.mark.usefixtures("small_parts")
def test_plan_of_many_parquet_objects_reads_few_footers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_survey, "MAX_FOOTERS", 3)
    objects = [make_parquet([50, 50], f"s3://b/{n:02}.parquet") for n in range(12)]
    load_plan = make_plan(objects, shards=5)

    names = [name for shard in load_plan.shards for name in shard]
    whole = [parts.split_part_name(name)[0] for name in names]
    assert sum(source.opened > 0 for source in objects) <= 3 + 4
    assert load_plan.vectors == 1_200, "all objects have the same size and the same number of rows"
    assert list(dict.fromkeys(whole)) == [source.name for source in objects]
    for source in objects:
        own = [name for name, object_name in zip(names, whole, strict=True) if object_name == source.name]
        assert [group for name in own for group in row_groups_of(name, source.content)] == [0, 1]


def test_survey_of_parquet_has_ids_from_all_over_the_source() -> None:
    ids = surveyed([make_parquet([100] * 10), make_parquet([1_000], "s3://b/b.parquet", 1_000)]).ids(20)
    numbers = [int(vector_id[1:]) for vector_id in ids]
    assert len(set(ids)) == 20
    assert any(number < 100 for number in numbers)
    assert any(700 <= number < 1_000 for number in numbers)
    assert any(number >= 1_000 for number in numbers)


def test_survey_of_parquet_with_large_pages_reads_fewer_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_parquet([100] * 10)
    everywhere = len(surveyed([source]).rows)
    monkeypatch.setattr(parquet_survey, "MAX_BYTES", len(source.content) // 3)
    fewer = surveyed([source])
    assert everywhere // 8 <= len(fewer.rows) < everywhere
    assert sum(fewer.row_counts) == 1_000
    monkeypatch.setattr(parquet_survey, "MAX_BYTES", 0)
    assert len(surveyed([source]).rows) == everywhere // 8, "one row group is read in every case"


def test_survey_of_mapped_parquet_reads_the_named_columns() -> None:
    fields = parse_fields("fields", {"id": "key", "metadata": ["title"]})
    source = make_parquet([20], key=[f"k{n}" for n in range(20)], title=["T" * 100] * 20)
    plain, mapped = surveyed([source]), surveyed([source], fields)
    assert mapped.ids(3) == ["k0", "k6", "k13"]
    assert mapped.row_bytes > plain.row_bytes + 100
    assert json.loads(mapped.rows[0])["metadata"] == {"title": "T" * 100}


def test_survey_of_parquet_with_bad_rows_still_estimates() -> None:
    rows = pa.array([[1.0]] * 20, pa.list_(pa.float32()))
    small = surveyed([make_parquet([20], values=rows)])
    assert (sum(small.row_counts), len(small.ids(5))) == (20, 5)


@pytest.mark.parametrize(
    ("objects", "error"),
    [
        (
            [make_parquet([]), make_parquet([0], "s3://b/b.parquet")],
            "The source is empty: the footers of .* and 1 more",
        ),
        ([make_parquet([5]), MemoryObject("s3://b/b", b"")], None),
    ],
)
def test_survey_of_parquet_without_rows_fails(objects: list[Any], error: str | None) -> None:
    objects[-1] = ParquetObject(objects[-1].uri, objects[-1].content)
    with pytest.raises(SourceError, match=error or "s3://b/b cannot be read as Parquet: it is too short"):
        surveyed(objects)


def test_survey_of_parquet_names_the_object_that_lacks_a_column() -> None:
    fields = parse_fields("fields", {"id": "key"})
    with pytest.raises(SourceError, match=r"s3://b/b\.parquet has no column key"):
        surveyed([make_parquet([5], key=["k"] * 5), make_parquet([5], "s3://b/b.parquet")], fields)


def test_footer_keeps_row_groups_together_that_begin_at_one_byte() -> None:
    footer = Footer([0, 10, 20, 30], [4, 500, 500], 900)
    assert footer.cuts(300) == [100]
    assert [footer.stored_byte(cut, 300) for cut in (0, 100, 300)] == [0, 500, 900]


# ---------------------------------------------------------------------------------------------- mapped ndjson


def mapped_text(count: int) -> bytes:
    return ndjson([
        {"key": int(row["id"][1:]), "doc": {"embedding": row["values"], "unused": "x" * 300}, "title": "T"}
        for row in make_rows(count)
    ])


def test_plan_of_mapped_ndjson_estimates_what_is_sent(books: BooksIndex) -> None:
    text = mapped_text(1_000)
    objects = [make_object("s3://b/a.ndjson", text)]
    load_plan = plan(objects, survey(objects, MAPPED), shards=1, room=20_000_000)  # type: ignore[arg-type]
    receipt = books.load(text, fields=MAPPED)
    assert load_plan.vectors == receipt.vectors
    assert load_plan.text_bytes == len(text)
    assert load_plan.bytes_to_send == pytest.approx(receipt.bytes_sent, rel=0.01)
    ids = survey(objects, MAPPED).ids(4)  # type: ignore[arg-type]
    assert [int(vector_id) for vector_id in ids] == pytest.approx([0, 250, 500, 750], abs=5)


def test_survey_of_mapped_ndjson_skips_rows_that_lack_a_field_and_reads_dead_letters() -> None:
    row = mapped_text(1).decode()
    letter = {"object": "s3://b/b", "line": 1, "offset": 0, "reason": "bad", "row": row.replace('"key": 0', '"key": 7')}
    refused = letter | {"row": json.dumps({"id": "refused", "values": [1.0]})}
    text = b'{"key": "a"}\nno json\n' + row.encode() + ndjson([letter, refused])
    found = survey([make_object("s3://b/a.ndjson", text)], MAPPED)  # type: ignore[list-item]
    assert found.ids(10) == ["0", "7", "refused"]
    assert len(found.rows) == 5


def test_survey_of_mapped_ndjson_that_fits_no_row_fails() -> None:
    objects = [make_object("s3://b/a.ndjson", ndjson(make_rows(9)))]
    with pytest.raises(SourceError, match=r"None of the 9 rows .* fits fields: the row has no field key") as raised:
        survey(objects, MAPPED)  # type: ignore[arg-type]
    assert raised.value.permanent


def test_survey_of_parquet_that_is_read_as_ndjson_says_so() -> None:
    with pytest.raises(SourceError, match=r"a\.ndjson is Parquet, but it is read as ndjson"):
        survey([make_parquet([5], "s3://b/a.ndjson")])


def test_plan_of_parquet_without_room_fails() -> None:
    with pytest.raises(ConfigError, match="about 40 vectors, about 40 of them new"):
        make_plan([make_parquet([40])], room=39)
