"""What a load in shards costs in requests and in rows of Airflow's database, counted: ``make scale``.

Small shards of few dimensions, against a local Vectorize, on a real Airflow by ``dag.test()``: requests and rows do not
depend on the bytes. The second table is of waiting tasks.
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
WAITING = (1, 10, 100)
ROWS, DIMENSIONS = 20, 32
#: Tables of Airflow's database that grow with what a DAG does.
TABLES = ("task_instance", "xcom", "task_state_store", "rendered_task_instance_fields")


@dataclass(frozen=True)
class Counted:
    """What one run left.

    :param requests: by operation.
    :param rows: by table of the database.
    :param xcom_bytes: what all XComs hold.
    :param trigger_bytes: the row of the sensor's trigger while it waits.
    """

    shards: int
    requests: Counter[str]
    rows: dict[str, int]
    xcom_bytes: int
    trigger_bytes: int


def main() -> int:
    """Print both tables."""
    table = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Airflow's own lines
    from airflow.utils.db import initdb

    initdb()
    with LocalVectorize.start() as local:
        os.environ.update(local.airflow_env())
        found = list(simulate(local, SHARDS))
    print(_shards_table(found), file=table, flush=True)
    from benchmarks.waits import HEAD, run, vectorize

    print(f"\n{HEAD}", file=table, flush=True)
    for sensors in WAITING:
        with vectorize() as local:
            print(run(local, sensors, known=True, interval=0.5, held=10), file=table, flush=True)
    return 0


def simulate(local: LocalVectorize, shards: Sequence[int]) -> Iterator[Counted]:
    """A run for each number of shards, in the same Airflow."""
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
        yield Counted(
            count,
            Counter(one.operation for one in local.requests()),
            {name: _count(home, name) - before[name] for name in TABLES},
            int(_query(home, "select sum(length(value)) from xcom where run_id = ?", run.run_id)[0][0]),
            len(json.dumps(VectorizeMutationTrigger(waits, "vectorize_default").serialize())),
        )


def _write(path: Path, first: int) -> str:
    rows = ({"id": f"v{n}", "values": [n + 1.0, *[0.5] * (DIMENSIONS - 1)]} for n in range(first, first + ROWS))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _shards_table(found: Sequence[Counted]) -> str:
    operations = sorted({operation for one in found for operation in one.requests})
    lines = [("", *(f"{one.shards} shards" for one in found)), ("---", *("--:" for _ in found))]
    lines += [(f"requests: `{name}`", *(f"{one.requests[name]:,}" for one in found)) for name in operations]
    lines += [(f"rows: `{name}`", *(f"{one.rows[name]:,}" for one in found)) for name in TABLES]
    lines += [("KB in `xcom`", *(f"{one.xcom_bytes / 1e3:.0f}" for one in found))]
    lines += [("KB in the sensor's row of `trigger`", *(f"{one.trigger_bytes / 1e3:.0f}" for one in found))]
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
