"""Count the requests and the rows of Airflow's database that a load in shards costs: ``make scale``.

The shards run with ``dag.test()`` on a real Airflow against a local Vectorize. They are small and have few dimensions,
because requests and database rows do not depend on the number of bytes. A second table covers waiting tasks.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.local.handle import LocalVectorize

SHARDS = (4, 16, 64)
WAITING_SENSORS = (1, 10, 100)
ROWS, DIMENSIONS = 20, 32
#: Tables of Airflow's database that grow with every run.
TABLES = ("task_instance", "xcom", "task_state_store", "rendered_task_instance_fields")


@dataclass(frozen=True)
class RunCounts:
    """What one run added.

    :param shards: Number of shards.
    :param requests: Number of requests by operation.
    :param rows: Number of rows by database table.
    :param xcom_bytes: Bytes of all XCom values.
    :param trigger_bytes: Bytes of the row of the sensor's trigger while it waits.
    """

    shards: int
    requests: Counter[str]
    rows: dict[str, int]
    xcom_bytes: int
    trigger_bytes: int


def main() -> int:
    """Print both tables, and return the exit status."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Discard what Airflow itself prints.
    from airflow.utils.db import initdb

    initdb()
    with LocalVectorize.start() as local:
        os.environ.update(local.airflow_env())
        counts = list(simulate(local, SHARDS))
    print(_shards_table(counts), file=output, flush=True)
    from benchmarks.waits import TABLE_HEADER, run_case, vectorize

    print(f"\n{TABLE_HEADER}", file=output, flush=True)
    for sensors in WAITING_SENSORS:
        with vectorize() as local:
            print(run_case(local, sensors, single_writer=True, interval=0.5, held=10), file=output, flush=True)
    return 0


def simulate(local: LocalVectorize, shards: Sequence[int]) -> Iterator[RunCounts]:
    """Run a load for each number of shards, in the same Airflow, and yield its counts."""
    from airflow.dag_processing.dagbag import DagBag

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.triggers.mutation import VectorizeMutationTrigger
    from airflow_provider_vectorize.visibility.waits import waits_for

    home = Path(os.environ["AIRFLOW_HOME"])
    dag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags["shards"]
    VectorizeHook().create_index("books", dimensions=DIMENSIONS, metric="cosine")
    for count in shards:
        sources = [_write(home / f"{count}-{number}.ndjson", count * 10_000 + number * ROWS) for number in range(count)]
        before = {name: _count(home, name) for name in TABLES}
        local.clear_requests()
        run = dag.test(run_conf={"sources": sources})
        assert str(getattr(run.state, "value", run.state)) == "success"
        receipts = [
            json.loads(value)
            for (value,) in _query(
                home,
                "select value from xcom where run_id = ? and task_id = 'load' and key = 'return_value'",
                run.run_id,
            )
        ]
        waits = [wait.to_dict() for wait in waits_for(receipts, None)]
        yield RunCounts(
            count,
            Counter(request.operation for request in local.requests()),
            {name: _count(home, name) - before[name] for name in TABLES},
            int(_query(home, "select sum(length(value)) from xcom where run_id = ?", run.run_id)[0][0]),
            len(json.dumps(VectorizeMutationTrigger(waits, "vectorize_default").serialize())),
        )


def _write(path: Path, first: int) -> str:
    rows = (
        {"id": f"v{number}", "values": [number + 1.0, *[0.5] * (DIMENSIONS - 1)]}
        for number in range(first, first + ROWS)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _shards_table(runs: Sequence[RunCounts]) -> str:
    operations = sorted({operation for run in runs for operation in run.requests})
    lines = [("", *(f"{run.shards} shards" for run in runs)), ("---", *("--:" for _ in runs))]
    lines += [(f"requests: `{name}`", *(f"{run.requests[name]:,}" for run in runs)) for name in operations]
    lines += [(f"rows: `{name}`", *(f"{run.rows[name]:,}" for run in runs)) for name in TABLES]
    lines += [("KB in `xcom`", *(f"{run.xcom_bytes / 1e3:.0f}" for run in runs))]
    lines += [("KB in the sensor's row of `trigger`", *(f"{run.trigger_bytes / 1e3:.0f}" for run in runs))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _count(home: Path, table: str) -> int:
    return int(_query(home, f"select count(*) from {table}")[0][0])


def _query(home: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(home / "airflow.db", timeout=30)
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="simulation-", ignore_cleanup_errors=True) as folder:
        for variable in [name for name in os.environ if name.startswith("AIRFLOW")]:
            del os.environ[variable]
        shutil.copytree(Path(__file__).with_name("dags"), f"{folder}/dags")
        os.environ |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__DAGS_FOLDER": f"{folder}/dags",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{folder}/logs",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        sys.exit(main())
