"""Tests of what Airflow and OpenLineage receive from a sync."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_vectorize import assets
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import ServerError
from airflow_provider_vectorize.links.load import INDEX_LINK, STATE_LINK, folder_url
from airflow_provider_vectorize.local.handle import ACCOUNT_ID, LocalVectorize
from airflow_provider_vectorize.operators.sync import VectorizeSyncOperator
from tests.airflow.runs import Airflow, needs_airflow_3_1
from tests.airflow.test_lineage import events

Rows = Callable[..., str]


@needs_airflow_3_1  # dag.test() does not activate assets
def test_asset_event_of_a_sync_carries_the_counts(
    airflow: Airflow, books: LocalVectorize, rows: Rows, tmp_path: Path
) -> None:
    conf = {"source": rows(60), "state": str(tmp_path / "state")}
    airflow.run("sync_an_asset", conf)
    rows(50)

    run = airflow.run("sync_an_asset", conf)

    event = events(assets.asset_uri(ACCOUNT_ID, "books"))[-1]
    assert event == run.xcom("sync")
    assert (event["unchanged"], event["deleted"], event["operation"]) == (50, 10, "delete")
    assert run.xcom_keys("sync") >= {INDEX_LINK, STATE_LINK}
    links = {link.name for link in airflow.bag.dags["sync_an_asset"].task_dict["sync"].operator_extra_links}
    assert links == {"Vectorize index", "Dead letters", "Sync state"}


@needs_airflow_3_1  # dag.test() does not activate assets
def test_held_brake_pushes_plan_counts_and_message(
    airflow: Airflow, books: LocalVectorize, rows: Rows, tmp_path: Path
) -> None:
    conf = {"source": rows(60), "state": str(tmp_path / "state")}
    airflow.run("sync_an_asset", conf)
    rows(10)

    run = airflow.run("sync_an_asset", conf)

    assert (run.state, run.tries("sync")) == ("failed", 1)
    plan, problem = run.xcom("sync", "plan"), run.xcom("sync", "problem")
    assert run.xcom("sync", "sync_result")["withheld"] == 50
    assert f"run the sync once with approve='{plan}'" in problem
    assert problem in airflow.log.text


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("s3://conn@bucket/state/a b/", "https://s3.console.aws.amazon.com/s3/buckets/bucket?prefix=state/a%20b/"),
        ("gs://bucket/state", "https://console.cloud.google.com/storage/browser/bucket/state"),
        ("abfs://container/state", ""),
        ("/data/state", ""),
    ],
)
def test_folder_url_returns_only_web_pages(name: str, url: str) -> None:
    assert folder_url(name) == url


@pytest.fixture
def sync(books: LocalVectorize, rows: Rows, tmp_path: Path) -> Callable[..., VectorizeSyncOperator]:
    """Return a function that writes a source, and executes a sync outside of a DAG."""

    def execute(count: int, **options: Any) -> VectorizeSyncOperator:
        operator = VectorizeSyncOperator(
            task_id="sync",
            index_name="books",
            source=rows(count),
            state=str(tmp_path / "state"),
            delete_vanished=True,
            do_xcom_push=False,
            **options,
        )
        try:
            operator.execute({})
        except AirflowFailException:
            assert count == 10
        return operator

    return execute


def test_openlineage_facets_of_a_sync_count_deletions(
    airflow_home: Airflow, sync: Callable[..., VectorizeSyncOperator]
) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    sync(60)

    lineage = sync(55).get_openlineage_facets_on_complete(None)

    (source,), (index,) = lineage.inputs, lineage.outputs
    assert source.inputFacets["inputStatistics"].size > 0
    assert index.outputFacets["outputStatistics"].rowCount == 0
    counts = index.outputFacets["vectorize_sync"]
    assert (counts.added, counts.changed, counts.unchanged, counts.deleted) == (0, 0, 55, 5)


def test_openlineage_facets_of_a_held_brake_name_the_withheld_deletions(
    airflow_home: Airflow, sync: Callable[..., VectorizeSyncOperator]
) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    sync(60)

    lineage = sync(10).get_openlineage_facets_on_failure(None)

    counts = lineage.outputs[0].outputFacets["vectorize_sync"]
    assert (counts.vanished, counts.deleted, counts.withheld) == (50, 0, 50)


def test_openlineage_facets_of_a_failed_sync_count_what_was_acknowledged(
    books: LocalVectorize, airflow_home: Airflow, rows: Rows, tmp_path: Path
) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    books.fail("http_500", operation="upsert", after=3)
    operator = VectorizeSyncOperator(
        task_id="sync",
        index_name="books",
        source=rows(100),
        state=str(tmp_path / "state"),
        limits=Limits(vectors_per_request=10, late_seconds=0),
        max_in_flight=1,
        do_xcom_push=False,
    )

    with pytest.raises(ServerError):
        operator.execute({})

    lineage = operator.get_openlineage_facets_on_failure(None)
    assert lineage.outputs[0].outputFacets["outputStatistics"].rowCount == 30


def test_dry_run_of_a_sync_reports_no_lineage(
    airflow_home: Airflow, sync: Callable[..., VectorizeSyncOperator]
) -> None:
    assert sync(60, dry_run=True).get_openlineage_facets_on_complete(None) is None
