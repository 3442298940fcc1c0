"""Tests of the lineage that a load reports to Airflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_vectorize import assets
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.links.load import object_url
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.local.handle import ACCOUNT_ID, LocalVectorize
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
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

    class TaskInstance:
        max_tries = 0

    operator.execute({"ti": TaskInstance()})
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


def test_openlineage_facets_of_a_failed_load_are_none() -> None:
    operator = VectorizeUpsertOperator(task_id="load", index_name="books", source="file:///nothing")

    assert operator.get_openlineage_facets_on_complete(None) is None


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
