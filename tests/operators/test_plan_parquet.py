"""Tests of plans of Parquet and mapped sources: all shards together load what the whole source loads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_vectorize import storage
from airflow_provider_vectorize.errors import BadRowError, ConfigError, SourceError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.plan import SUMMARY, VectorizePlanLoadOperator
from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator
from airflow_provider_vectorize.plan import shards
from tests.operators.conftest import Run, fails
from tests.support import NO_WAIT, Row, expected_dump, make_rows, ndjson

FIELDS = {"id": "key", "values": "doc.embedding", "metadata": ["title"]}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split objects even if they are small."""
    monkeypatch.setattr(shards.split_into_shards, "__defaults__", (1,))


def float32_rows(count: int, first: int = 0) -> list[Row]:
    """Return rows whose values are exact as float32."""
    rows = make_rows(count, first=first, metadata={"title": "T"})
    for row, values in zip(rows, pa.array([row["values"] for row in rows], pa.list_(pa.float32())), strict=True):
        row["values"] = values.as_py()
    return rows


def write_parquet(path: Path, rows: list[Row], row_groups: Sequence[int]) -> Path:
    """Write rows in row groups of these sizes. The columns have the names of ``FIELDS``, and those of Vectorize."""
    table = pa.table({
        "id": [row["id"] for row in rows],
        "values": pa.array([row["values"] for row in rows], pa.list_(pa.float32())),
        "metadata": [row["metadata"] for row in rows],
        "key": [row["id"] for row in rows],
        "doc": pa.array(
            [{"embedding": row["values"]} for row in rows], pa.struct([("embedding", pa.list_(pa.float64()))])
        ),
        "title": [row["metadata"]["title"] for row in rows],
    })
    with pq.ParquetWriter(path, table.schema) as writer:
        for start, end in pairwise(accumulate(row_groups, initial=0)):
            writer.write_table(table.slice(start, end - start), row_group_size=end - start)
    return path


@pytest.mark.parametrize("fields", [None, FIELDS], ids=["default fields", "mapped"])
@pytest.mark.parametrize(
    "row_groups", [[200], [50] * 4, [4] * 50, [150, 1, 1, 48], [1, 198, 1]], ids=lambda sizes: f"{len(sizes)} groups"
)
def test_shards_of_parquet_load_what_the_whole_source_loads(
    run: Run,
    books: VectorizeHook,
    local_vectorize: LocalVectorize,
    tmp_path: Path,
    row_groups: list[int],
    fields: dict[str, Any] | None,
) -> None:
    rows = float32_rows(260)
    write_parquet(tmp_path / "a.parquet", rows[:200], row_groups)
    write_parquet(tmp_path / "b.parquet", rows[200:], [30, 30])
    how = {"index_name": "books", "fields": fields}

    whole = run(VectorizeUpsertOperator, source=f"{tmp_path}/*.parquet", **how)
    whole_dump = local_vectorize.dump("books")
    books.delete_by_ids("books", [row["id"] for row in rows[:100]])
    books.delete_by_ids("books", [row["id"] for row in rows[100:200]])
    books.delete_by_ids("books", [row["id"] for row in rows[200:]])
    sources = run(VectorizePlanLoadOperator, source=f"{tmp_path}/*.parquet", shards=5, **how)
    receipts = [run(VectorizeUpsertOperator, **source, **how) for source in sources]

    assert len(sources) > 1
    assert sum(receipt["vectors"] for receipt in receipts) == whole["vectors"] == 260, "no row is in two shards"
    assert local_vectorize.dump("books") == whole_dump == expected_dump(rows)


def test_plan_of_parquet_without_suffix_is_detected_or_set(run: Run, books: VectorizeHook, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "part-00000", float32_rows(40), [20, 20])
    plain = run(VectorizePlanLoadOperator, index_name="books", source=str(path), shards=2)
    path.rename(tmp_path / "part-00000.json")
    renamed = str(tmp_path / "part-00000.json")
    as_set = run(VectorizePlanLoadOperator, index_name="books", source=renamed, shards=2, format="{{ 'parquet' }}")
    assert [len(sources) for sources in (plain, as_set)] == [2, 2]
    loads = [books.load("books", one["source"], format="parquet")["vectors"] for one in as_set]
    assert loads == [20, 20]
    with fails(SourceError, match="is Parquet, but it is read as ndjson"):
        run(VectorizePlanLoadOperator, index_name="books", source=renamed, shards=2)
    with fails(SourceError, match="is Parquet, but it is read as ndjson"):
        run(VectorizeUpsertOperator, index_name="books", source=renamed)


def test_plan_of_mixed_formats_fails_before_any_request(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize, tmp_path: Path
) -> None:
    write_parquet(tmp_path / "a.parquet", float32_rows(4), [4])
    (tmp_path / "b.ndjson").write_bytes(ndjson(make_rows(4)))
    with fails(ConfigError, match=r"two formats: .*a\.parquet is Parquet and .*b\.ndjson is not"):
        run(VectorizePlanLoadOperator, index_name="books", source=f"{tmp_path}/", shards=2)
    assert local_vectorize.requests() == []


def test_plan_of_mapped_ndjson_recognizes_existing_vectors(run: Run, books: VectorizeHook, tmp_path: Path) -> None:
    rows = float32_rows(100)
    mapped = [{"key": row["id"], "doc": {"embedding": row["values"]}, "title": "T"} for row in rows]
    (tmp_path / "a.ndjson").write_bytes(ndjson(mapped))
    fields = FIELDS | {"id": "{{ column }}"}
    new_vectors: list[int] = []

    class TaskInstance:
        def xcom_push(self, key: str, value: Any) -> None:
            new_vectors.extend([value["new_vectors"]] if key == SUMMARY else [])

    for _ in range(2):
        run(
            VectorizePlanLoadOperator,
            {"ti": TaskInstance(), "column": "key"},
            index_name="books",
            source=str(tmp_path / "a.ndjson"),
            shards=2,
            fields=fields,
        )
        books.upsert("books", rows)
    assert new_vectors == [100, 0]


@pytest.mark.parametrize(
    ("name", "value"), [("format", "csv"), ("format", None), ("fields", "id"), ("fields", {"key": "id"})]
)
def test_plan_with_wrong_format_or_fields_fails_when_the_dag_is_parsed(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name}"):
        VectorizePlanLoadOperator(task_id="plan", index_name="books", source="/nowhere", shards=2, **{name: value})


# ---------------------------------------------------------------------------------------------- parts that a user names


def cuts(path: Path) -> list[int]:
    """Return the first byte of each row group but the first, and the size of the object."""
    metadata = pq.ParquetFile(path).metadata
    groups = [metadata.row_group(number).column(0) for number in range(1, metadata.num_row_groups)]
    return [min(c.data_page_offset, c.dictionary_page_offset or c.data_page_offset) for c in groups] + [
        path.stat().st_size
    ]


@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_parts_of_parquet_hold_the_row_groups_that_start_in_them(
    books: VectorizeHook, local_vectorize: LocalVectorize, tmp_path: Path, shift: int
) -> None:
    """A part may start and end at any byte, so that a user need not know where row groups start."""
    rows = float32_rows(90)
    path = write_parquet(tmp_path / "a.parquet", rows, [30, 30, 30])
    first, _, size = cuts(path)
    cut = first + shift
    counts = [books.load("books", f"{path}#bytes={part}")["vectors"] for part in (f"0-{cut}", f"{cut}-{size}")]
    assert counts == ([60, 30] if shift == 1 else [30, 60])
    assert local_vectorize.dump("books") == expected_dump(rows)


def test_parts_of_parquet_of_equal_size_load_everything_once(
    books: VectorizeHook, local_vectorize: LocalVectorize, tmp_path: Path
) -> None:
    rows = float32_rows(90)
    path = write_parquet(tmp_path / "a.parquet", rows, [10] * 9)
    size = path.stat().st_size
    steps = [*range(0, size, size // 7), size]
    parts = [f"{path}#bytes={start}-{end}" for start, end in pairwise(steps)]
    assert books.load("books", parts)["vectors"] == 90
    assert local_vectorize.dump("books") == expected_dump(rows)


def test_part_of_parquet_without_a_row_group_is_an_empty_source(books: VectorizeHook, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", float32_rows(30), [30])
    with pytest.raises(SourceError, match="The source is empty"):
        books.load("books", f"{path}#bytes=1000-2000")


def test_part_of_parquet_that_changed_after_the_plan_fails(run: Run, books: VectorizeHook, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", float32_rows(60), [20] * 3)
    sources = run(VectorizePlanLoadOperator, index_name="books", source=str(path), shards=3)
    write_parquet(path, float32_rows(60, first=1), [30] * 2)
    with fails(SourceError, match="the object is another version, so it changed after the load was planned"):
        run(VectorizeUpsertOperator, index_name="books", **sources[1])


def test_lineage_and_dead_letters_of_a_part_of_parquet_name_the_object(books: VectorizeHook, tmp_path: Path) -> None:
    rows = float32_rows(60)
    rows[41]["values"] = rows[41]["values"][:3]
    path = write_parquet(tmp_path / "a.parquet", rows, [20] * 3)
    first, second, _ = cuts(path)
    letters = tmp_path / "bad.ndjson"
    receipt = books.load(
        "books",
        [f"{path}#bytes={first}-{second}", f"{path}#bytes={second}-{path.stat().st_size}"],
        on_bad_row="dead_letter",
        dead_letter_path=str(letters),
    )
    (letter,) = map(json.loads, letters.read_text().splitlines())
    assert (receipt["vectors"], receipt["rejected"]) == (39, 1)
    assert (letter["line"], letter["row_group"]) == (42, 2)
    assert letter["object"].startswith(f"{path.as_uri()}#bytes={second}-")
    assert books.loaded
    assert [size for _, size in books.loaded.objects] == [second - first, path.stat().st_size - second]
    assert {location.asset_uri for location, _ in books.loaded.inputs} == {path.as_uri()}
    with pytest.raises(ConfigError, match="is one of the objects"):
        books.load("books", f"{path}#bytes={first}-{second}", on_bad_row="dead_letter", dead_letter_path=str(path))


def test_bad_row_of_a_part_of_parquet_has_its_row_group_and_no_byte(books: VectorizeHook, tmp_path: Path) -> None:
    rows = float32_rows(60)
    rows[41]["values"] = []
    path = write_parquet(tmp_path / "a.parquet", rows, [20] * 3)
    with pytest.raises(BadRowError, match=r"^Row 42 of .*#bytes=\d+-\d+ \(row group 2\) cannot be loaded") as raised:
        books.load("books", f"{path}#bytes={cuts(path)[0]}-{path.stat().st_size}")
    assert (raised.value.line, raised.value.row_group, raised.value.offset) == (42, 2, 0)


def test_dead_letter_file_in_the_folder_of_the_source_is_refused(books: VectorizeHook, tmp_path: Path) -> None:
    folder = tmp_path / "night"
    folder.mkdir()
    write_parquet(folder / "a.parquet", float32_rows(4), [4])
    how: dict[str, Any] = {"on_bad_row": "dead_letter"}
    for inside in (folder / "bad.ndjson", folder / "deep" / "bad.ndjson"):
        with pytest.raises(ConfigError, match="is in a folder of the source"):
            books.load("books", f"{folder}/", dead_letter_path=str(inside), **how)
    for outside in (tmp_path / "bad.ndjson", tmp_path / "night2.ndjson"):
        assert books.load("books", f"{folder}/", dead_letter_path=str(outside), **how)["vectors"] == 4
    assert [stored.key for stored in storage.find(f"{folder}/")] == [str(folder / "a.parquet")]


# ---------------------------------------------------------------------------------------------- deletion


@pytest.mark.parametrize("name", ["ids.parquet", "ids.ndjson", "ids"])
@pytest.mark.parametrize("lines_are", ["ids", "vectors"])
def test_deletion_of_ids_in_parquet_is_refused_before_any_request(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize, tmp_path: Path, name: str, lines_are: str
) -> None:
    text = tmp_path / "0.ndjson"
    text.write_bytes(ndjson(make_rows(200)) if lines_are == "vectors" else b"v0\n" * 200)
    path = write_parquet(tmp_path / name, float32_rows(4), [4])
    with fails(SourceError, match=f"{name} is Parquet, but IDs to delete can only be read from text"):
        run(
            VectorizeDeleteVectorsOperator,
            index_name="books",
            source=[str(text), str(path)],
            source_lines_are=lines_are,
            limits=NO_WAIT,
        )
    assert local_vectorize.requests() == []


@pytest.mark.parametrize(
    ("text", "lines_are"), [(b"PAR1\nv0\nPAR1", "ids"), (b"PAR1-7\nv0", "ids"), (b'{"id": "v0"}\n', "vectors")]
)
def test_deletion_of_ids_in_text_that_is_named_parquet_succeeds(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize, tmp_path: Path, text: bytes, lines_are: str
) -> None:
    books.upsert("books", make_rows(2))
    (tmp_path / "ids.parquet").write_bytes(text)
    run(
        VectorizeDeleteVectorsOperator,
        index_name="books",
        source=str(tmp_path / "ids.parquet"),
        source_lines_are=lines_are,
        limits=NO_WAIT,
    )
    assert set(local_vectorize.dump("books")) == {"v1"}
