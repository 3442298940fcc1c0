"""1,000 deferred sensors in Airflow's own triggerer, which is ended in the middle: ``make bench-triggerer``.

The rows that 1,000 mapped sensors leave when they defer are written at once, since a scheduler would take long to get
so far; then the real ``airflow triggerer`` runs on them, is ended, and another goes on. At the end no task may be
deferred any more.
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
from benchmarks.waits import BUDGET, load

INTERVAL = 5.0
DAG = """
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

with DAG(dag_id="waiting", schedule=None):
    VectorizeMutationSensor.partial(task_id="wait", deferrable=True).expand(mutation=[str(n) for n in range({count})])
"""


def main() -> int:
    """Run it, and say what was seen."""
    parser = argparse.ArgumentParser(description="Deferred sensors in a real triggerer.")
    parser.add_argument("--sensors", type=int, default=1_000)
    parser.add_argument("--airflow", action="store_true", help="Airflow's own triggers instead, to compare")
    options = parser.parse_args()
    home = Path(os.environ["AIRFLOW_HOME"])
    if options.airflow:
        measure_airflow(home, options.sensors)
    else:
        measure_sensors(home, options.sensors)
    return 0


def measure_airflow(home: Path, count: int) -> None:
    """The same number of Airflow's own triggers that wait for a time: what the machinery takes by itself."""
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger
    from airflow.sdk import timezone

    moment = timezone.utcnow() + timedelta(seconds=45)
    defer(home, [DateTimeTrigger(moment) for _ in range(count)])
    say(f"{count:,} of Airflow's own triggers that wait for one time")
    with triggerer(home / "airflow.log"):
        until(lambda: timezone.utcnow() > moment, "the time")
        say_released(home, time.monotonic())
    say_blocked(home / "airflow.log")


def measure_sensors(home: Path, count: int) -> None:
    """Deferred sensors, a restart, and their release."""
    from airflow_provider_vectorize.triggers.mutation import VectorizeMutationTrigger

    with LocalVectorize.start(budget="1000000/300") as local:
        os.environ.update(local.airflow_env())
        local.hold()
        deadline = time.time() + 3_600
        waits = load(local, count)
        defer(home, [VectorizeMutationTrigger([wait], "vectorize_default", INTERVAL, deadline) for wait in waits])
        say(f"{count:,} sensors on one index; an interval is {INTERVAL:.0f} s")
        local.set_budget(BUDGET)
        for name in ("first", "second"):
            local.clear_requests()
            with triggerer(home / f"{name}.log"):
                until(lambda: local.requests("info"), "a first look")
                time.sleep(2 * INTERVAL)
                begun = len(blocked(home / f"{name}.log"))
                time.sleep(4 * INTERVAL)
                waiting = len(blocked(home / f"{name}.log")) - begun
                say(f"  the {name} triggerer: {told(local.requests('info'))}; {deferred(home):,} are deferred")
                say(f"  complaints of a blocked event loop in the last {4 * INTERVAL:.0f} s: {waiting}")
                if name == "second":
                    asked = len(local.requests())
                    visible_at = time.monotonic()
                    local.process()
                    say_released(home, visible_at)
                    say(f"  requests from then on: {dict(Counter(one.operation for one in local.requests()[asked:]))}")
            say_blocked(home / f"{name}.log")


def say(text: str) -> None:
    """Where Airflow's own lines do not go."""
    print(text, file=sys.stderr, flush=True)


def say_released(home: Path, since: float) -> None:
    """When no task is deferred any more."""
    until(lambda: deferred(home) == 0, "the last release", 240)
    states = dict(query(home, "select state, count(*) from task_instance group by state"))
    say(f"  the last task left the deferred state after {time.monotonic() - since:.0f} s; states: {states}")


def say_blocked(log: Path) -> None:
    """What the triggerer complained of."""
    seconds = blocked(log)
    worst = f", the longest of {max(seconds):.1f} s" if seconds else ""
    say(f"  complaints from its start to its end: {len(seconds)}{worst}")


def blocked(log: Path) -> list[float]:
    """Seconds for which the event loop was blocked, by the triggerer's own complaints: those over 0.2 s."""
    return [float(one) for one in re.findall(r"blocked for ([\d.]+) seconds", log.read_text())]


def defer(home: Path, triggers: list[Any]) -> None:
    """A run of so many mapped sensors, each as it is when it has deferred."""
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
    """A triggerer; ended as an orchestrator ends it."""
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


def until(condition: Any, what: str, seconds: float = 120) -> None:
    """Return when it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come in {seconds:.0f} s")
        time.sleep(0.2)


def told(looks: list[Any]) -> str:
    """How many looks there were, and how near to each other."""
    apart = [two.started - one.started for one, two in pairwise(looks)]
    nearest = f", never nearer than {min(apart):.1f} s to each other" if apart else ""
    return f"{len(looks)} `info` requests in {looks[-1].started - looks[0].started:.0f} s{nearest}"


def deferred(home: Path) -> int:
    """Tasks that wait."""
    return int(query(home, "select count(*) from task_instance where state = 'deferred'")[0][0])


def query(home: Path, sql: str) -> list[tuple[Any, ...]]:
    """Ask the metadata database."""
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
