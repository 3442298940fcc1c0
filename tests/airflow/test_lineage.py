"""What a load tells Airflow of where data came from and went."""

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
from tests.airflow.runs import Airflow, query


def events(uri: str) -> list[dict[str, Any]]:
    """The extras of an asset's events, the first one first."""
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


def test_the_event_of_the_index_carries_what_was_loaded_and_other_events_do_not(
    airflow: Airflow, books: LocalVectorize, rows: Any
) -> None:
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
def test_dead_letters_are_linked_where_a_browser_can_go(uri: str, url: str) -> None:
    assert object_url(uri) == url


@pytest.fixture
def loaded(
    airflow_home: Airflow, books: LocalVectorize, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> VectorizeUpsertOperator:
    """An operator after its execution, outside of a DAG."""
    for name, value in books.airflow_env().items():
        monkeypatch.setenv(name, value)
    operator = VectorizeUpsertOperator(task_id="load", index_name="books", source=rows(10), do_xcom_push=False)

    class TaskInstance:
        max_tries = 0

    operator.execute({"ti": TaskInstance()})
    return operator


def test_openlineage_learns_of_the_objects_and_of_the_index(loaded: VectorizeUpsertOperator) -> None:
    pytest.importorskip("airflow.providers.openlineage")

    lineage = loaded.get_openlineage_facets_on_complete(None)

    (source,), (index,) = lineage.inputs, lineage.outputs
    path = Path(urlsplit(loaded.source).path)
    assert (source.namespace, source.name) == ("file", str(path))
    assert source.inputFacets["inputStatistics"].size == path.stat().st_size
    assert (index.namespace, index.name) == (f"vectorize://{ACCOUNT_ID}", "books")
    assert index.outputFacets["outputStatistics"].rowCount == 10
    assert "float32[32]" in {field.type for field in index.facets["schema"].fields}


def test_a_load_that_failed_tells_openlineage_of_nothing() -> None:
    operator = VectorizeUpsertOperator(task_id="load", index_name="books", source="file:///nothing")

    assert operator.get_openlineage_facets_on_complete(None) is None


def test_the_hook_hands_source_and_index_to_the_collector_of_lineage(
    airflow_home: Airflow, books: LocalVectorize, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in books.airflow_env().items():
        monkeypatch.setenv(name, value)
    from airflow_provider_vectorize.airflow_support import lineage

    seen: list[tuple[str, dict[str, Any]]] = []

    class Collector:
        def add_input_asset(self, **given: Any) -> None:
            seen.append(("input", given))

        def add_output_asset(self, **given: Any) -> None:
            seen.append(("output", given))

    monkeypatch.setattr(lineage, "get_hook_lineage_collector", Collector)
    source = rows(10)
    hook = VectorizeHook()
    hook.load("books", source)

    (_, first), (_, last) = seen
    assert first["uri"].endswith(Path(urlsplit(source).path).name)
    made = assets.create_asset(**last["asset_kwargs"])
    assert (last["scheme"], made.uri) == ("vectorize", assets.asset_uri(ACCOUNT_ID, "books"))


@pytest.mark.parametrize("uri", ["vectorize://", "vectorize://account", "vectorize://account/", "vectorize://a/b/c"])
def test_an_asset_that_names_no_index_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="vectorize://<account id>/<index name>"):
        assets.sanitize_uri(urlsplit(uri))
