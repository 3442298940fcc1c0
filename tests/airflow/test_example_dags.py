"""Tests that the example DAGs and the README's DAG succeed unchanged, with both modes of the sensor."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow, Run, needs_airflow_3_1
from tests.storage.object_store import BUCKET, ObjectStore, serve

#: These have tests of their own: below, in test_nightly_sync.py, test_live_events.py and test_rebuild.py.
OTHER_EXAMPLES = ("after_change", "after_load", "nightly_sync", "partitioned_load", "quickstart", "rebuild", "rollback")
EXAMPLES = sorted(
    path.stem
    for path in (Path(__file__).parents[2] / "example_dags").glob("[a-z]*.py")
    if path.stem not in OTHER_EXAMPLES
)
DIMENSIONS = 256
Prepare = Callable[[Path, pytest.MonkeyPatch], dict[str, Any]]


def write(path: Path, count: int, *, first: int = 0) -> None:
    """Write an object as an embedding job does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ({"id": f"doc-{n}", "values": [n + 1.0, *[0.5] * (DIMENSIONS - 1)]} for n in range(first, first + count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def nightly_load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("AIRFLOW_VAR_EMBEDDINGS", folder.as_uri())
    now = datetime.now(UTC)
    # The run may start after midnight, and before 02:00 the last night of a manual run on Airflow 2 is the day before.
    for night in (now - timedelta(days=1), now, now + timedelta(days=1)):
        write(folder / f"{night:%Y-%m-%d}" / "a.ndjson", 20)
        write(folder / f"{night:%Y-%m-%d}" / "b.ndjson", 10, first=20)
    return {}


def mapped_load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    create_index()
    write(folder / "a.ndjson", 20)
    write(folder / "b.ndjson", 10, first=20)
    return {"source": f"{folder.as_uri()}/*.ndjson"}


def taskflow_load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    create_index()
    write(folder / "all.ndjson", 30)
    return {"source": (folder / "all.ndjson").as_uri()}


def rows_load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    create_index()
    return {"pages": 30}


def create_index() -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    VectorizeHook().create_index("docs", dimensions=DIMENSIONS, metric="cosine")


def parquet_load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    create_index()
    for part in range(2):
        numbers = range(part * 20, part * 20 + (20, 10)[part])
        table = pa.table({
            "doc_id": list(numbers),
            "embedding": pa.array([[n + 1.0, *[0.5] * (DIMENSIONS - 1)] for n in numbers], pa.list_(pa.float32())),
            "title": [f"Page {n}" for n in numbers],
            "page": [{"url": f"https://example.com/{n}"} for n in numbers],
        })
        pq.write_table(table, folder / f"part-0000{part}.snappy.parquet")
    (folder / "_SUCCESS").touch()
    (folder / "._SUCCESS.crc").write_bytes(b"crc")
    return {"source": f"{folder.as_uri()}/"}


PREPARE: dict[str, Prepare] = {
    one.__name__: one for one in (nightly_load, mapped_load, taskflow_load, rows_load, parquet_load)
}


@pytest.fixture(params=["deferrable", "poke"])
def sensor_mode(request: pytest.FixtureRequest, airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the mode of all sensors of the example DAGs."""
    from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

    for dag in airflow.bag.dags.values():
        ours = Path(dag.fileloc).stem in {*EXAMPLES, "readme"}
        for task in dag.tasks:
            if ours and isinstance(task, VectorizeMutationSensor):
                monkeypatch.setattr(task, "deferrable", request.param == "deferrable")
                monkeypatch.setattr(task, "poke_interval", 0.05)
    return str(request.param)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_dag_succeeds(
    airflow: Airflow,
    vectorize: LocalVectorize,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after_check: Callable[[int, Callable[[], Any]], None],
    example: str,
    sensor_mode: str,
) -> None:
    assert example in PREPARE, f"PREPARE has no entry for {example}"
    conf = PREPARE[example](tmp_path, monkeypatch)
    vectorize.hold()
    after_check(1, vectorize.release)

    run: Run = airflow.run(example, conf)

    assert set(run.states().values()) == {"success"}
    assert vectorize.count("docs") == 30
    assert ("trigger in line" in airflow.log.text) is (sensor_mode == "deferrable")


def test_nightly_load_with_night_parameter_loads_that_night(
    airflow: Airflow, vectorize: LocalVectorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_EMBEDDINGS", tmp_path.as_uri())
    write(tmp_path / "2026-01-31" / "a.ndjson", 5)

    run = airflow.run("nightly_load", {"night": "2026-01-31"})

    assert run.state == "success"
    assert vectorize.count("docs") == 5


def test_nightly_load_without_objects_fails(
    airflow: Airflow, vectorize: LocalVectorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_EMBEDDINGS", tmp_path.as_uri())

    run = airflow.run("nightly_load", {"night": "2026-01-31"})

    assert (run.states()["load"], run.state) == ("failed", "failed")
    assert "No object matches" in airflow.log.text


@pytest.fixture(scope="module")
def object_store_server() -> Iterator[ObjectStore]:
    with serve() as store:
        yield store


def test_nightly_load_from_s3_succeeds(
    airflow: Airflow,
    vectorize: LocalVectorize,
    object_store_server: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    object_store_server.reset()
    monkeypatch.setenv("AIRFLOW_CONN_MY_AWS_CONNECTION", object_store_server.connection)
    monkeypatch.setenv("AIRFLOW_VAR_EMBEDDINGS", f"s3://my_aws_connection@{BUCKET}/vectors")
    write(tmp_path / "a.ndjson", 30)
    object_store_server.put("vectors/2026-01-31/a.ndjson.gz", gzip.compress((tmp_path / "a.ndjson").read_bytes()))

    run = airflow.run("nightly_load", {"night": "2026-01-31"})

    assert set(run.states().values()) == {"success"}
    assert vectorize.count("docs") == 30


def test_parquet_load_stores_the_mapped_fields(
    airflow: Airflow, vectorize: LocalVectorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    run = airflow.run("parquet_load", parquet_load(tmp_path, monkeypatch))

    assert set(run.states().values()) == {"success"}
    (vector,) = VectorizeHook().get_by_ids("docs", ["7"])
    assert vector.metadata == {"title": "Page 7", "url": "https://example.com/7"}
    assert "Skipped 2 objects matching" in airflow.log.text


def test_readme_dag_succeeds_unchanged(
    airflow: Airflow,
    vectorize: LocalVectorize,
    tmp_path: Path,
    after_check: Callable[[int, Callable[[], Any]], None],
    sensor_mode: str,
) -> None:
    (dag_id,) = [one.dag_id for one in airflow.bag.dags.values() if Path(one.fileloc).name == "readme.py"]
    write(tmp_path / "a.ndjson", 20)
    write(tmp_path / "b.ndjson", 10, first=20)
    vectorize.hold()
    after_check(1, vectorize.release)

    run = airflow.run(dag_id, {"source": f"{tmp_path.as_uri()}/*.ndjson"})

    assert set(run.states().values()) == {"success"}
    assert vectorize.count("docs") == 30
    assert ("trigger in line" in airflow.log.text) is (sensor_mode == "deferrable")


def test_quickstart_dag_loads_sentences_and_logs_neighbors(airflow: Airflow, vectorize: LocalVectorize) -> None:
    run = airflow.run("quickstart")

    assert set(run.states().values()) == {"success"}
    assert vectorize.count("quickstart") == run.xcom("load", "vectors") == 40
    assert [match["id"] for match in run.xcom("ask", "matches")][:2] == ["retry", "clear"]
    assert "0.63  To clear a task is to make it run again from the start." in airflow.log.text


def test_after_load_dag_reads_whole_receipts_from_asset_events(airflow: Airflow) -> None:
    read_receipts = airflow.bag.dags["after_load"].task_dict["loaded"].python_callable
    samples = [{"id": "a", "digest": "d", "new": True}]
    events = [SimpleNamespace(extra={"mutation_id": one, "index_name": "docs", "samples": samples}) for one in "ab"]
    by_asset = {"the asset": [*events, SimpleNamespace(extra={})]}

    assert read_receipts(triggering_asset_events=by_asset) == [event.extra for event in events]


@needs_airflow_3_1  # dag.test() does not activate assets
def test_after_load_dag_without_event_skips(
    airflow: Airflow, vectorize: LocalVectorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = taskflow_load(tmp_path, monkeypatch)

    assert set(airflow.run("load_docs", conf).states().values()) == {"success"}
    assert set(airflow.run("after_load").states().values()) == {"skipped"}
    assert vectorize.count("docs") == 30
