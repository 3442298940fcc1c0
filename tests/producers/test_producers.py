"""Load what other tools write with the operators of docs/producers, and compare the index with the pages."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_provider_vectorize.errors import BadRowError, SourceError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.operators.conftest import fails
from tests.producers.conftest import create_operator, execute
from tests.producers.pages import SECTIONS, Section
from tests.producers.sources import DIMENSIONS, NDJSON, PARQUET, pandas, spark, vectors_like, write_ndjson
from tests.storage.object_store import BUCKET, ObjectStore, serve
from tests.support import expected_dump

ROWS = 7


def shown_vector(section: Section) -> dict[str, Any]:
    """Return the vector that a section shows last."""
    vector: dict[str, Any] = json.loads(section.text("json", -1))
    return vector


def write_source(section: Section, folder: Path, fields: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Write the source of a section, and return its vectors."""
    vectors = vectors_like(shown_vector(section), ROWS)
    if write := PARQUET.get(section.heading):
        write(folder, vectors)
    else:
        write_ndjson(folder / NDJSON[section.heading], section.text("json"), fields or {}, vectors)
    return vectors


def test_every_section_has_a_source() -> None:
    assert set(SECTIONS) == {*PARQUET, *NDJSON, "R2"}


@pytest.mark.parametrize("heading", [*PARQUET, *NDJSON])
def test_source_of_a_tool_becomes_the_vectors_of_the_page(heading: str, docs: LocalVectorize, folder: Path) -> None:
    load = create_operator(SECTIONS[heading].text("python"), folder)
    vectors = write_source(SECTIONS[heading], folder, load.fields)
    receipt = execute(load)
    assert (receipt["vectors"], receipt["rejected"]) == (ROWS, 0)
    assert docs.dump("docs") == expected_dump(vectors)
    first = VectorizeHook().get_by_ids("docs", [vectors[0]["id"]])[0]
    assert (first.namespace, first.metadata) == (vectors[0].get("namespace"), vectors[0].get("metadata"))


@pytest.mark.parametrize("heading", PARQUET)
def test_page_lists_the_columns_of_the_parquet(heading: str, folder: Path) -> None:
    section = SECTIONS[heading]
    path = PARQUET[heading](folder, vectors_like(shown_vector(section), ROWS))
    columns = [f"{field.name}: {field.type}" for field in pq.read_schema(path)]
    assert section.text("text").replace("[768]", f"[{DIMENSIONS}]").splitlines() == columns


@pytest.mark.parametrize("heading", ["BigQuery", "Snowflake"])
def test_query_of_the_page_selects_the_fields_of_the_row(heading: str) -> None:
    section = SECTIONS[heading]
    row = json.loads(section.text("json"))
    selected = re.findall(r"'(\w+)', |^  (\w+),$|AS (\w+)\b", section.text("sql"), re.MULTILINE)
    names = {name for groups in selected for name in groups if name}
    assert set(row) <= names
    assert set(row.get("metadata", {})) - {"title"} <= names


@pytest.fixture(scope="module")
def r2() -> Iterator[ObjectStore]:
    with serve() as store:
        yield store


def test_folder_of_parquet_in_r2_is_loaded_with_the_connection_of_the_page(
    r2: ObjectStore, docs: LocalVectorize, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    r2.reset()
    section = SECTIONS["R2"]
    login = json.loads(r2.connection)
    connection = json.loads(section.text("json"))
    assert connection["extra"]["endpoint_url"] == "https://<account ID>.r2.cloudflarestorage.com"
    connection["extra"]["endpoint_url"] = r2.url
    connection |= {"login": login["login"], "password": login["password"]}
    monkeypatch.setenv("AIRFLOW_CONN_R2", json.dumps(connection))
    vectors = vectors_like({"id": "101", "values": [0.1, -0.2, 0.3]}, ROWS)
    spark(folder, vectors)
    for path in (folder / "docs").rglob("*"):
        if path.is_file():
            r2.put(str(path.relative_to(folder)), path.read_bytes())

    receipt = execute(create_operator(section.text("python")))

    assert BUCKET in section.text("python")
    assert receipt["vectors"] == ROWS
    assert docs.dump("docs") == expected_dump(vectors)
    assert r2.get("bad-rows/manual.ndjson") == b""


# ---------------------------------------------------------------------------------------------- what the pages warn of


def load_row(heading: str, folder: Path, change: Any) -> dict[str, Any]:
    """Load the row that a section shows after a change."""
    section = SECTIONS[heading]
    row = json.loads(section.text("json"))
    change(row)
    load = create_operator(section.text("python"), folder)
    path = folder / NDJSON[heading]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row) + "\n")
    load.on_bad_row, load.dead_letter_path = "fail", None
    return execute(load)


@pytest.mark.parametrize(
    ("heading", "change", "reason"),
    [
        (
            "BigQuery",
            lambda row: row.pop("tenant"),
            "the row has no field tenant, which `fields` maps to the namespace",
        ),
        ("BigQuery", lambda row: row.update(embedding=[]), f"0 values, but the index has {DIMENSIONS} dimensions"),
        (
            "OpenAI Batch API",
            lambda row: row.update(response=None, error={"code": "batch_expired"}),
            r"the row has no field response\.body \(of response\.body\.data\.0\.embedding\)",
        ),
        (
            "OpenAI Batch API",
            lambda row: row["response"]["body"]["data"][0].update(embedding="zczMPc3MTL4="),
            "Expected `array`, got `str`",
        ),
        ("Vertex AI", lambda row: row.update(predictions=[], status="error"), r"the row has no field predictions\.0"),
        ("Workers AI", lambda row: row.pop("result"), "the row has no field result"),
        ("LlamaIndex", lambda row: row.update(embedding=None), "Expected `array`, got `null`"),
    ],
)
def test_row_that_a_page_warns_of_is_bad(
    heading: str, change: Any, reason: str, docs: LocalVectorize, folder: Path
) -> None:
    with fails(BadRowError, reason):
        load_row(heading, folder, change)


def test_gzip_without_its_suffix_is_refused(docs: LocalVectorize, folder: Path) -> None:
    load = create_operator(SECTIONS["BigQuery"].text("python"), folder)
    (folder / "docs").mkdir()
    (folder / "docs/000000000000.json").write_bytes(gzip.compress(b'{"doc_id": "1"}\n' * 99))
    with fails(SourceError, "is compressed with gzip, but its name does not end in .gz"):
        execute(load)


def test_ids_in_the_index_of_a_data_frame_are_not_a_column(docs: LocalVectorize, folder: Path) -> None:
    section = SECTIONS["pandas"]
    path = pandas(folder, vectors_like(shown_vector(section), ROWS))
    pq.write_table(pq.read_table(path).drop_columns("doc_id"), path)
    with fails(SourceError, r"has no column doc_id \(its columns are embedding, title"):
        execute(create_operator(section.text("python"), folder))


def test_langchain_store_holds_the_row_of_the_page(docs: LocalVectorize, folder: Path) -> None:
    documents = pytest.importorskip("langchain_core.documents")
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from langchain_core.vectorstores import InMemoryVectorStore

    section = SECTIONS["LangChain"]
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=DIMENSIONS))
    shown = json.loads(section.text("json"))
    store.add_documents([documents.Document(shown["text"], metadata=shown["metadata"], id=shown["id"])])
    (chunk,) = store.store.values()
    assert chunk | {"vector": shown["vector"]} == shown
    path = folder / NDJSON["LangChain"]
    path.parent.mkdir()
    path.write_text(json.dumps(chunk) + "\n")
    execute(create_operator(section.text("python"), folder))
    expected = shown_vector(section) | {"values": chunk["vector"]}
    assert docs.dump("docs") == expected_dump([expected])


def test_timestamps_of_spark_are_int96(folder: Path) -> None:
    path = spark(folder, vectors_like({"id": "1", "values": []}, ROWS))
    assert pq.ParquetFile(path).schema.column(5).physical_type == "INT96"
