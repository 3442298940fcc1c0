"""Tests on a complete Airflow (scheduler, triggerer, API server, DAG processor) that events start the example DAGs."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import demo_module, runs_here
from tests.support import client_of

EXAMPLES = Path(__file__).parents[2] / "example_dags"
DAGS = ("after_change", "after_load", "partitioned_load")
NIGHT = "2026-01-31"
DIMENSIONS = 256
SECONDS = 300.0

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not all(runs_here(EXAMPLES / f"{name}.py") for name in DAGS), reason="needs the events and partitions of 3.2"
    ),
]


class Deployment:
    """A complete Airflow with the example DAGs about events, and a local Vectorize with an empty index ``docs``."""

    def __init__(self, vectorize: LocalVectorize, folder: Path) -> None:
        self.vectorize = vectorize
        self.folder = folder
        dags = folder / "dags"
        dags.mkdir()
        for name in DAGS:
            text = (
                (EXAMPLES / f"{name}.py")
                .read_text()
                .replace("quiet_for=120", "quiet_for=2, poll_interval=0.5, max_wait=10")
            )
            (dags / f"{name}.py").write_text(text)
        shutil.copy(EXAMPLES / "recipes" / "queryable_by_six.py", dags)
        now = datetime.now(UTC)
        for days in (-1, 0, 1):  # Airflow also starts the run of last night, which must not block the others
            write_source(folder / f"{now + timedelta(days):%Y-%m-%d}" / "a.ndjson", 10)
        connection = json.dumps(vectorize.connection)
        settings = {
            "AIRFLOW_CONN_VECTORIZE_DEFAULT": connection,
            "AIRFLOW_VAR_EMBEDDINGS": folder.as_uri(),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True",
            "CLOUDFLARE_ACCOUNT_ID": vectorize.account_id,
        }
        self.airflow = demo_module("local_airflow").LocalAirflow(folder / "airflow", dags, settings)

    def start(self) -> None:
        """Start Airflow, and wait until the triggerer watches the index."""
        self.vectorize.clear_requests()
        self.airflow.start()
        self.airflow.wait_until_ready("after_change", SECONDS)
        self.unpause("after_change")
        self.wait_for_checks(3)

    def unpause(self, *dag_ids: str) -> None:
        """Unpause DAGs. Only those of the current test run, so that a restart interrupts no other one."""
        for dag_id in dag_ids:
            self.airflow.api("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def wait_for_checks(self, count: int) -> None:
        """Wait until the watcher has checked the index so often."""
        self.wait(lambda: len(self.vectorize.requests("info")) >= count, f"{count} checks of the index")

    def wait(self, condition: Callable[[], Any], event: str) -> Any:
        """Wait until a condition is true, and return its value."""
        deadline = time.monotonic() + SECONDS
        while not (value := condition()):
            self.airflow.check()
            assert time.monotonic() < deadline, f"Waited {SECONDS:.0f} s in vain for {event}."
            time.sleep(0.3)
        return value

    def runs(self, dag_id: str, state: str = "%", partition: str = "%") -> list[str]:
        """Return the IDs of the runs of a DAG, of a state and a partition if they are given, oldest first."""
        found = self.query(
            "select run_id from dag_run where dag_id = ? and state like ? and coalesce(partition_key, '') like ? "
            "order by id",
            dag_id,
            state,
            partition,
        )
        return [run_id for (run_id,) in found]

    def wait_for_success(self, dag_id: str, count: int = 1, partition: str = "%") -> str:
        """Wait until a DAG has ``count`` successful runs, and return the ID of the last one."""
        event = f"{count} successful runs of {dag_id}"
        self.wait(lambda: len(self.runs(dag_id, "success", partition)) >= count, event)
        return self.runs(dag_id, "success", partition)[-1]

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Query Airflow's metadata database."""
        connection = sqlite3.connect(self.folder / "airflow" / "airflow.db", timeout=30)
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("live")
    with LocalVectorize.start(lag=0.5) as vectorize:
        with client_of(vectorize) as client:
            client.create_index("docs", dimensions=DIMENSIONS, metric="cosine")
        running = Deployment(vectorize, folder)
        try:
            running.start()
            yield running
        finally:
            running.airflow.stop()


def write_source(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ({"id": f"doc-{n}", "values": [n + 1.0, *[0.5] * (DIMENSIONS - 1)]} for n in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_write_from_outside_starts_the_watching_dag_once_also_after_a_restart(deployment: Deployment) -> None:
    vectorize = deployment.vectorize
    vectorize.flap("docs")
    (first,) = vectorize.foreign_mutation("docs")

    run_id = deployment.wait_for_success("after_change")

    (payload,) = deployment.airflow.xcom("after_change", run_id, "report")
    assert (payload["index_name"], payload["mutation_id"]) == ("docs", first)
    has_store = deployment.query("select 1 from sqlite_master where name = 'asset_state_store'")
    if has_store:  # Airflow 3.3
        cursor = deployment.wait(lambda: deployment.query("select value from asset_state_store"), "the cursor")
        deployment.wait(
            lambda: first in str(deployment.query("select value from asset_state_store")),
            f"the new cursor, not {cursor}",
        )

    deployment.airflow.stop()
    if has_store:
        (second,) = vectorize.foreign_mutation("docs")
    deployment.start()
    if not has_store:
        (second,) = vectorize.foreign_mutation("docs")

    run_id = deployment.wait_for_success("after_change", 2)
    (payload,) = deployment.airflow.xcom("after_change", run_id, "report")
    assert payload["mutation_id"] == second
    deployment.wait_for_checks(len(vectorize.requests("info")) + 12)
    assert len(deployment.runs("after_change")) == 2
    vectorize.steady()


def test_load_starts_the_dag_that_waits_for_its_whole_receipt(deployment: Deployment) -> None:
    source = deployment.folder / "all.ndjson"
    write_source(source, 30)

    deployment.unpause("after_load")

    run_id = deployment.airflow.trigger("load_docs", {"source": source.as_uri()})
    deployment.wait_for_success("load_docs")
    after = deployment.wait_for_success("after_load")

    receipt = deployment.airflow.xcom("load_docs", run_id, "load")
    assert deployment.airflow.xcom("after_load", after, "loaded") == [receipt]
    assert deployment.airflow.xcom("after_load", after, "check") == [sample["id"] for sample in receipt["samples"]]
    assert receipt["samples"]


def test_partition_is_loaded_and_starts_the_dag_of_its_key(deployment: Deployment) -> None:
    write_source(deployment.folder / NIGHT / "a.ndjson", 20)

    deployment.unpause("after_partition", "partitioned_load")

    deployment.airflow.api("POST", "dags/partitioned_load/dagRuns", {"logical_date": None, "partition_key": NIGHT})
    run_id = deployment.wait_for_success("partitioned_load", partition=NIGHT)
    after = deployment.wait_for_success("after_partition", partition=NIGHT)

    assert deployment.airflow.xcom("partitioned_load", run_id, "load")["vectors"] == 20
    assert deployment.airflow.xcom("after_partition", after, "report") == f"The vectors of {NIGHT} can be queried."


def test_index_that_is_never_quiet_starts_the_watching_dag_after_max_wait(deployment: Deployment) -> None:
    vectorize, before = deployment.vectorize, len(deployment.runs("after_change", "success"))

    def write_and_look() -> bool:
        vectorize.foreign_mutation("docs")
        return len(deployment.runs("after_change", "success")) > before

    deployment.wait(write_and_look, "a run while the index changes")

    (payload,) = deployment.airflow.xcom("after_change", deployment.runs("after_change", "success")[before], "report")
    assert payload["quiet"] is False


def test_run_of_the_deadline_recipe_has_to_finish_by_six(deployment: Deployment) -> None:
    # The DAG is paused, so the run waits, and Airflow keeps its deadline.
    deployment.airflow.api("POST", "dags/queryable_by_six/dagRuns", {"logical_date": f"{NIGHT}T03:00:00Z"})

    due = deployment.query(
        "select d.deadline_time from deadline d join dag_run r on r.id = d.dagrun_id where r.dag_id = ?",
        "queryable_by_six",
    )
    assert [str(at)[:16] for (at,) in due] == [f"{NIGHT} 06:00"]
