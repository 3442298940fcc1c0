"""Tests of the lineage that a load reports to Airflow."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_vectorize import assets
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import ServerError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.links.load import object_url
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.local.handle import ACCOUNT_ID, LocalVectorize
from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator, VectorizeDeleteIndexOperator
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.metadata_index import (
    VectorizeCreateMetadataIndexOperator,
    VectorizeDeleteMetadataIndexOperator,
)
from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator
from tests.airflow.runs import Airflow, needs_airflow_3_1, query


def events(uri: str) -> list[dict[str, Any]]:
    """Return the extras of an asset's events, oldest first."""
    try:
        found = query(
            "select e.extra from asset_event e join asset a on a.id = e.asset_id where a.uri = ? order by e.id", uri
        )
    except Exception:  # noqa: BLE001 - Airflow 2 calls assets datasets
        found = query(
            "select e.extra from dataset_event e join dataset a on a.id = e.dataset_id where a.uri = ? order by e.id",
            uri,
        )
    return [json.loads(extra) if isinstance(extra, str) else extra for (extra,) in found]


@needs_airflow_3_1  # dag.test() does not activate assets
def test_asset_event_of_the_index_carries_the_receipt(airflow: Airflow, books: LocalVectorize, rows: Any) -> None:
    run = airflow.run("load_an_asset", {"source": rows(10)})

    receipt = Receipt.from_dict(run.xcom("load"))
    event = events(assets.asset_uri(ACCOUNT_ID, "books"))[-1]
    assert event == run.xcom("load")
    assert (receipt.vectors, Receipt.from_dict(event)) == (10, receipt)
    assert "mutation_id" not in events("file:///elsewhere")[-1]


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("s3://conn@bucket/a/b c.ndjson", "https://s3.console.aws.amazon.com/s3/object/bucket?prefix=a/b%20c.ndjson"),
        ("gs://bucket/a.ndjson", "https://console.cloud.google.com/storage/browser/_details/bucket/a.ndjson"),
        ("file:///data/a.ndjson", ""),
    ],
)
def test_object_url_returns_only_web_pages(uri: str, url: str) -> None:
    assert object_url(uri) == url


@pytest.fixture
def executed_operator(
    airflow_home: Airflow, books: LocalVectorize, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> VectorizeUpsertOperator:
    """Return an operator that was executed outside of a DAG."""
    for name, value in books.airflow_env().items():
        monkeypatch.setenv(name, value)
    operator = VectorizeUpsertOperator(task_id="load", index_name="books", source=rows(10), do_xcom_push=False)
    execute(operator)
    return operator


def test_openlineage_facets_of_a_load_name_objects_and_index(executed_operator: VectorizeUpsertOperator) -> None:
    pytest.importorskip("airflow.providers.openlineage")

    lineage = executed_operator.get_openlineage_facets_on_complete(None)

    (source,), (index,) = lineage.inputs, lineage.outputs
    path = Path(urlsplit(executed_operator.source).path)
    assert (source.namespace, source.name) == ("file", str(path))
    assert source.inputFacets["inputStatistics"].size == path.stat().st_size
    assert (index.namespace, index.name) == (f"vectorize://{ACCOUNT_ID}", "books")
    assert index.outputFacets["outputStatistics"].rowCount == 10
    assert "float32[32]" in {field.type for field in index.facets["schema"].fields}


def test_openlineage_facets_of_a_load_that_read_nothing_are_none() -> None:
    operator = VectorizeUpsertOperator(task_id="load", index_name="books", source="file:///nothing")

    assert operator.get_openlineage_facets_on_complete(None) is None
    assert operator.get_openlineage_facets_on_failure(None) is None


def execute(operator: Any, context: dict[str, Any] | None = None) -> Any:
    """Execute an operator outside of a DAG."""

    class TaskInstance:
        max_tries = 0

    return operator.execute({"ti": TaskInstance(), **(context or {})})


def test_openlineage_facets_of_a_failed_load_count_what_was_acknowledged(
    airflow_home: Airflow, books: LocalVectorize, rows: Any
) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    books.fail("http_500", operation="upsert", after=3)
    operator = VectorizeUpsertOperator(
        task_id="load",
        index_name="books",
        source=rows(100),
        limits=Limits(vectors_per_request=10, late_seconds=0),
        max_in_flight=1,
        do_xcom_push=False,
    )

    with pytest.raises(ServerError):
        execute(operator)

    lineage = operator.get_openlineage_facets_on_failure(None)
    (source,), (index,) = lineage.inputs, lineage.outputs
    assert source.namespace == "file"
    assert (index.namespace, index.name) == (f"vectorize://{ACCOUNT_ID}", "books")
    assert index.outputFacets["outputStatistics"].rowCount == 30


def lineage_of(operator: Any, *, failure: bool = False) -> tuple[list[str], str, str | None, str | None]:
    """Return the inputs, the index, what happened to it, and the type of its values."""
    name = f"get_openlineage_facets_on_{'failure' if failure else 'complete'}"
    lineage = getattr(operator, name)(None)
    (index,) = lineage.outputs
    assert index.namespace == f"vectorize://{ACCOUNT_ID}"
    change, schema = index.facets.get("lifecycleStateChange"), index.facets.get("schema")
    return (
        [source.name for source in lineage.inputs],
        index.name,
        change.lifecycleStateChange.value if change else None,
        schema.fields[1].type if schema else None,
    )


def test_openlineage_facets_of_index_operations_say_what_happened(airflow_home: Airflow, books: LocalVectorize) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    quiet: dict[str, Any] = {"task_id": "task", "do_xcom_push": False}
    create = VectorizeCreateIndexOperator(index_name="films", dimensions=32, metric="cosine", **quiet)
    metadata = VectorizeCreateMetadataIndexOperator(
        index_name="films", property_name="year", index_type="number", **quiet
    )
    no_metadata = VectorizeDeleteMetadataIndexOperator(index_name="films", property_name="year", **quiet)
    drop = VectorizeDeleteIndexOperator(index_name="films", **quiet)

    execute(create)
    assert lineage_of(create) == ([], "films", "CREATE", "float32[32]")
    execute(create)
    assert lineage_of(create) == ([], "films", None, "float32[32]")
    execute(metadata)
    assert lineage_of(metadata) == ([], "films", "ALTER", None)
    execute(no_metadata)
    assert lineage_of(no_metadata) == ([], "films", "ALTER", None)
    execute(drop)
    assert lineage_of(drop) == ([], "films", "DROP", None)
    execute(drop)
    assert lineage_of(drop) == ([], "films", None, None)


def test_openlineage_facets_of_a_failed_index_operation_name_the_index(
    airflow_home: Airflow, books: LocalVectorize
) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    books.fail("http_500", times=None)
    drop = VectorizeDeleteIndexOperator(
        task_id="drop", index_name="books", do_xcom_push=False, limits=Limits(late_seconds=0)
    )

    with pytest.raises(ServerError):
        execute(drop)

    assert lineage_of(drop, failure=True) == ([], "books", None, None)


def test_openlineage_facets_of_a_deletion_name_objects_and_index(
    airflow_home: Airflow, books: LocalVectorize, tmp_path: Path
) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    path = tmp_path / "ids.txt"
    path.write_text("book-1\n")
    delete = VectorizeDeleteVectorsOperator(
        task_id="delete", index_name="books", source=str(path), source_lines_are="ids", do_xcom_push=False
    )

    execute(delete)

    assert lineage_of(delete) == ([str(path)], "books", None, None)


@needs_airflow_3_1  # an asset cannot be the key of a dict
def test_asset_event_of_a_deletion_carries_its_receipt(airflow_home: Airflow, books: LocalVectorize) -> None:
    asset = assets.create_asset(account_id=ACCOUNT_ID, index_name="books")
    events = {asset: SimpleNamespace(extra=None), "other": SimpleNamespace(extra=None)}
    delete = VectorizeDeleteVectorsOperator(
        task_id="delete", index_name="books", ids=["book-1"], do_xcom_push=False, outlets=[asset]
    )

    receipt = execute(delete, {"outlet_events": events})

    assert events[asset].extra == receipt
    assert events["other"].extra is None


def test_hook_load_reports_source_and_index_to_the_lineage_collector(
    airflow_home: Airflow, books: LocalVectorize, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in books.airflow_env().items():
        monkeypatch.setenv(name, value)
    from airflow_provider_vectorize.airflow_support import lineage

    reported: list[tuple[str, dict[str, Any]]] = []

    class Collector:
        def add_input_asset(self, **arguments: Any) -> None:
            reported.append(("input", arguments))

        def add_output_asset(self, **arguments: Any) -> None:
            reported.append(("output", arguments))

    monkeypatch.setattr(lineage, "get_hook_lineage_collector", Collector)
    source = rows(10)
    hook = VectorizeHook()
    hook.load("books", source)

    (_, first), (_, last) = reported
    assert first["uri"].endswith(Path(urlsplit(source).path).name)
    asset = assets.create_asset(**last["asset_kwargs"])
    assert (last["scheme"], asset.uri) == ("vectorize", assets.asset_uri(ACCOUNT_ID, "books"))


@pytest.mark.parametrize("uri", ["vectorize://", "vectorize://account", "vectorize://account/", "vectorize://a/b/c"])
def test_sanitize_uri_without_index_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="vectorize://<account id>/<index name>"):
        assets.sanitize_uri(urlsplit(uri))
