"""Sources as other tools write them, each small and in the form that its section shows."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

DIMENSIONS = 32
Vector = dict[str, Any]

FLOATS = pa.list_(pa.field("element", pa.float32()))
DAY, TIME = dt.date(2026, 1, 2), dt.datetime(2026, 1, 2, 3, 4, 5)


def vectors_like(shown: Vector, count: int) -> list[Vector]:
    """Return the vector that a page shows, with all of its values, and others that differ in ID and values."""
    start = shown["values"]
    vectors = []
    for number in range(count):
        values = [*start, *([0.5, -0.25] * DIMENSIONS)][:DIMENSIONS]
        values[-1] = number + 1.0
        vector_id = shown["id"] if not number else _next_id(shown["id"], number)
        vectors.append(shown | {"id": vector_id, "values": values})
    return vectors


def _next_id(text: str, number: int) -> str:
    return str(int(text) + number) if text.isdecimal() else f"{text}-{number}"


def replace(row: Any, path: str, value: Any) -> None:
    """Replace a field of a row at a path of ``fields``."""
    *parents, last = path.split(".")
    for name in parents:
        row = row[int(name)] if isinstance(row, list) else row[name]
    if isinstance(row, list):
        row[int(last)] = value
    else:
        assert last in row
        row[last] = type(row[last])(value)


def write_ndjson(path: Path, shown: str, fields: dict[str, Any], vectors: list[Vector]) -> None:
    """Write a row like the one that a page shows for each vector."""
    lines = []
    for vector in vectors:
        row = json.loads(shown)
        replace(row, fields.get("id", "id"), vector["id"])
        replace(row, fields.get("values", "values"), vector["values"])
        lines.append(json.dumps(row) + "\n")
    data = "".join(lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def spark(folder: Path, vectors: list[Vector]) -> Path:
    """Write a folder as Spark and Databricks do: parts, one in a partition, markers, checksums and leftovers."""
    part = folder / "docs" / "part-00000-4f1c.c000.snappy.parquet"
    partition = folder / "docs" / "lang=en" / "part-00001-4f1c.c000.snappy.parquet"
    for path, rows in ((part, vectors[:4]), (partition, vectors[4:])):
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({
            "doc_id": [int(row["id"]) for row in rows],
            "embedding": pa.array([row["values"] for row in rows], FLOATS),
            "title": ["Tasks"] * len(rows),
            "price": pa.array([Decimal("9.50")] * len(rows), pa.decimal128(10, 2)),
            "published": pa.array([DAY] * len(rows)),
            "updated": pa.array([TIME.replace(microsecond=123456)] * len(rows), pa.timestamp("us")),
            "tags": pa.array([["dag", "task"]] * len(rows), pa.list_(pa.field("element", pa.string()))),
        })
        metadata = {"org.apache.spark.version": "4.0.0", "org.apache.spark.sql.parquet.row.metadata": "{}"}
        pq.write_table(
            table.replace_schema_metadata(metadata), path, compression="snappy",
            use_deprecated_int96_timestamps=True, store_schema=False,
        )  # fmt: skip
        path.with_name(f".{path.name}.crc").write_bytes(b"crc\0\0\0\2\0")
    root = folder / "docs"
    (root / "_SUCCESS").touch()
    (root / "._SUCCESS.crc").write_bytes(b"crc\0\0\0\2\0")
    (root / "_started_5021").touch()
    (root / "_committed_5021").write_text('{"added":[],"removed":[]}')
    leftover = root / "_temporary" / "0" / part.name
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"PAR1, and the executor died")
    return part


def pandas(folder: Path, vectors: list[Vector]) -> Path:
    """Write what ``df.reset_index().to_parquet()`` of pandas 3 writes, with its metadata."""
    table = pa.table({
        "doc_id": [int(row["id"]) for row in vectors],
        "embedding": pa.array([row["values"] for row in vectors], FLOATS),
        "title": pa.array(["Tasks"] * len(vectors), pa.large_string()),
        "views": [7] * len(vectors),
        "score": pa.array([None] * len(vectors), pa.float64()),
        "published": pa.array([TIME] * len(vectors), pa.timestamp("us")),
    })
    index = {"kind": "range", "name": None, "start": 0, "stop": len(vectors), "step": 1}
    metadata = {"index_columns": [index], "columns": [], "pandas_version": "3.1.1"}
    path = folder / "docs.parquet"
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(metadata)}), path)
    return path


def polars(folder: Path, vectors: list[Vector]) -> Path:
    """Write what ``df.write_parquet()`` of polars writes for an array, a category, a struct and a decimal."""
    element = pa.field("element", pa.float32())
    page = pa.struct([("lang", pa.large_string()), ("words", pa.int64())])
    table = pa.table({
        "id": pa.array([row["id"] for row in vectors], pa.large_string()),
        "embedding": pa.array([row["values"] for row in vectors], pa.list_(element, DIMENSIONS)),
        "category": pa.array(["guide"] * len(vectors)).cast(pa.dictionary(pa.uint32(), pa.string())),
        "page": pa.array([{"lang": "en", "words": 512}] * len(vectors), page),
        "price": pa.array([Decimal("9.50")] * len(vectors), pa.decimal128(38, 2)),
    })
    path = folder / "docs.parquet"
    pq.write_table(table, path, compression="zstd")
    return path


def datasets(folder: Path, vectors: list[Vector]) -> Path:
    """Write a copy of a repository as ``push_to_hub()`` of Hugging Face datasets writes it, in two parts."""
    data = folder / "dataset" / "data"
    data.mkdir(parents=True)
    (folder / "dataset" / "README.md").write_text("---\ndataset_info: {}\n---\n")
    (folder / "dataset" / ".gitattributes").write_text("*.parquet filter=lfs\n")
    for number, rows in enumerate((vectors[:3], vectors[3:])):
        table = pa.table({
            "id": [row["id"] for row in rows],
            "text": [row["metadata"]["text"] for row in rows],
            "embedding": pa.array([row["values"] for row in rows], FLOATS),
        })
        info = {"info": {"features": {"embedding": {"feature": {"dtype": "float32"}, "_type": "List"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
        pq.write_table(table, data / f"train-0000{number}-of-00002.parquet", row_group_size=2)
    return data / "train-00000-of-00002.parquet"


def pinecone(folder: Path, vectors: list[Vector]) -> Path:
    """Write a folder of one namespace for an import into Pinecone."""
    path = folder / "import" / "example_namespace" / "0.parquet"
    path.parent.mkdir(parents=True)
    table = pa.table({
        "id": [row["id"] for row in vectors],
        "values": pa.array([row["values"] for row in vectors], FLOATS),
        "metadata": [json.dumps(row["metadata"]) for row in vectors],
    })
    pq.write_table(table, path, store_schema=False)
    return path


#: Writes the Parquet of each section and returns one object, whose columns the section lists.
PARQUET: dict[str, Callable[[Path, list[Vector]], Path]] = {
    "Spark and Databricks": spark,
    "pandas": pandas,
    "polars": polars,
    "Hugging Face datasets": datasets,
    "Pinecone": pinecone,
}
#: The object of ndjson that each section loads.
NDJSON = {
    "BigQuery": "docs/000000000000.json",
    "Snowflake": "docs/data_0_0_0.json.gz",
    "OpenAI Batch API": "batches/output.jsonl",
    "Vertex AI": "predictions/000000000000.jsonl",
    "Workers AI": "workers-ai/batch-1.ndjson",
    "LlamaIndex": "nodes/0.ndjson",
    "LangChain": "chunks/0.ndjson",
    "Airflow's common-ai provider": "library/0.ndjson",
}
