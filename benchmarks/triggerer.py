"""Measure 1,000 deferred sensors in Airflow's own triggerer, with a restart: ``make bench-triggerer``.

The database rows of 1,000 deferred mapped sensors are written directly, because a scheduler would need long to create
them. Then a real ``airflow triggerer`` runs them until it is stopped, and another one continues. At the end, no task
may be deferred anymore.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.local.handle import LocalVectorize
from benchmarks.waits import BUDGET, load_for_sensors

INTERVAL = 5.0
DAG = """
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

with DAG(dag_id="waiting", schedule=None):
    VectorizeMutationSensor.partial(task_id="wait", deferrable=True).expand(mutation=[str(n) for n in range({count})])
"""


def main() -> int:
    """Run the measurement, print the results, and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure deferred sensors in a real triggerer.")
    parser.add_argument("--sensors", type=int, default=1_000)
    parser.add_argument("--airflow", action="store_true", help="measure Airflow's own triggers instead, for comparison")
    options = parser.parse_args()
    home = Path(os.environ["AIRFLOW_HOME"])
    if options.airflow:
        measure_airflow(home, options.sensors)
    else:
        measure_sensors(home, options.sensors)
    return 0


def measure_airflow(home: Path, count: int) -> None:
    """Measure triggers of Airflow that wait for a time, to show what the triggerer itself costs."""
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger
    from airflow.sdk import timezone

    moment = timezone.utcnow() + timedelta(seconds=45)
    create_deferred_tasks(home, [DateTimeTrigger(moment) for _ in range(count)])
    report(f"{count:,} of Airflow's own triggers that wait for the same time")
    with triggerer(home / "airflow.log"):
        wait_until(lambda: timezone.utcnow() > moment, "the time of the triggers")
        report_released(home, time.monotonic())
    report_blocked(home / "airflow.log")


def measure_sensors(home: Path, count: int) -> None:
    """Measure deferred sensors, with a restart of the triggerer, until their release."""
    from airflow_provider_vectorize.triggers.mutation import VectorizeMutationTrigger

    with LocalVectorize.start(budget="1000000/300") as local:
        os.environ.update(local.airflow_env())
        local.hold()
        deadline = time.time() + 3_600
        waits = load_for_sensors(local, count)
        create_deferred_tasks(
            home, [VectorizeMutationTrigger([wait], "vectorize_default", INTERVAL, deadline) for wait in waits]
        )
        report(f"{count:,} sensors on one index, with an interval of {INTERVAL:.0f} s")
        local.set_budget(BUDGET)
        for name in ("first", "second"):
            local.clear_requests()
            with triggerer(home / f"{name}.log"):
                wait_until(lambda: local.requests("info"), "the first check")
                time.sleep(2 * INTERVAL)
                warnings_before = len(blocked_seconds(home / f"{name}.log"))
                time.sleep(4 * INTERVAL)
                warnings = len(blocked_seconds(home / f"{name}.log")) - warnings_before
                checks = describe_checks(local.requests("info"))
                report(f"  the {name} triggerer: {checks}, {deferred_tasks(home):,} tasks are deferred")
                report(f"  warnings of a blocked event loop in the last {4 * INTERVAL:.0f} s: {warnings}")
                if name == "second":
                    requests_before = len(local.requests())
                    visible_at = time.monotonic()
                    local.release()  # Also what comes later: the markers that the sensors send.
                    report_released(home, visible_at)
                    later_requests = local.requests()[requests_before:]
                    report(f"  requests since then: {dict(Counter(request.operation for request in later_requests))}")
            report_blocked(home / f"{name}.log")


def report(text: str) -> None:
    """Print to standard error, because Airflow prints to standard output."""
    print(text, file=sys.stderr, flush=True)


def report_released(home: Path, since: float) -> None:
    """Wait until no task is deferred anymore, and report how long this took."""
    wait_until(lambda: deferred_tasks(home) == 0, "the release of the last task", 240)
    states = dict(query(home, "select state, count(*) from task_instance group by state"))
    report(f"  the last task left the deferred state after {time.monotonic() - since:.0f} s; states: {states}")


def report_blocked(log: Path) -> None:
    """Report the warnings of the triggerer about a blocked event loop."""
    seconds = blocked_seconds(log)
    worst = f", the longest block {max(seconds):.1f} s" if seconds else ""
    report(f"  warnings from its start to its end: {len(seconds)}{worst}")


def blocked_seconds(log: Path) -> list[float]:
    """Return how long the event loop was blocked, from the triggerer's warnings, which start at 0.2 s."""
    return [float(seconds) for seconds in re.findall(r"blocked for ([\d.]+) seconds", log.read_text())]


def create_deferred_tasks(home: Path, triggers: list[Any]) -> None:
    """Create a run with one deferred mapped sensor per trigger."""
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "waiting.py").write_text(DAG.format(count=len(triggers)))
    from airflow.utils.db import initdb

    initdb()
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.sdk import timezone
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, TaskInstanceState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    manager = DagBundlesManager()
    manager.sync_bundles_to_db()
    (bundle,) = manager.get_all_dag_bundles()
    bundle.initialize()
    bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
    assert not bag.import_errors, bag.import_errors
    sync_bag_to_db(bag, bundle.name, bundle.version)
    dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(bag.dags["waiting"]))
    with create_session() as session:
        dag.create_dagrun(
            run_id="bench",
            run_after=timezone.utcnow(),
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            session=session,
        )
        instances = session.query(TaskInstance).filter_by(dag_id="waiting").all()
        assert len(instances) == len(triggers), len(instances)
        for instance, trigger in zip(instances, triggers, strict=True):
            row = Trigger.from_object(trigger)
            session.add(row)
            session.flush()
            instance.trigger_id = row.id
            instance.state = TaskInstanceState.DEFERRED
            instance.next_method = "execute_complete"
            instance.start_date = timezone.utcnow()


@contextmanager
def triggerer(log: Path) -> Iterator[None]:
    """Run a triggerer until the block ends. Stop it with SIGTERM, as an orchestrator does."""
    with open(log, "w") as out:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("airflow")), "triggerer", "--skip-serve-logs"],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(condition: Any, event: str, seconds: float = 120) -> None:
    """Wait until a condition is true.

    :param event: What is waited for, for the message.
    :raises SystemExit: The condition is still false after this time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"Waited {seconds:.0f} s in vain for {event}.")
        time.sleep(0.2)


def describe_checks(requests: list[Any]) -> str:
    """Return how many requests there were, and the shortest time between two of them."""
    pauses = [later.started - earlier.started for earlier, later in pairwise(requests)]
    shortest = f", at least {min(pauses):.1f} s apart" if pauses else ""
    return f"{len(requests)} `info` requests in {requests[-1].started - requests[0].started:.0f} s{shortest}"


def deferred_tasks(home: Path) -> int:
    """Return the number of deferred tasks."""
    return int(query(home, "select count(*) from task_instance where state = 'deferred'")[0][0])


def query(home: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return the result of a query of Airflow's metadata database."""
    connection = sqlite3.connect(home / "airflow.db", timeout=30)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bench-triggerer-", ignore_cleanup_errors=True) as folder:
        for variable in [name for name in os.environ if name.startswith("AIRFLOW")]:
            del os.environ[variable]
        os.environ |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__DAGS_FOLDER": f"{folder}/dags",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{folder}/logs",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        sys.exit(main())
