"""Load 1 GB with mapped tasks on a real deployment that loses a worker during the load: ``make test-celery``.

PostgreSQL, Redis, scheduler, DAG processor, triggerer, API server and two Celery workers run on the loopback interface,
in a temporary folder. When Vectorize has acknowledged a share of the vectors, one worker and all its processes are
killed. The run must still succeed, and the index must hold exactly the vectors of the source.
"""

from __future__ import annotations

import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.celery.source import Source
from tests.celery.stack import Stack, StackError

DAG_ID = "mapped_nightly"
INDEX = "docs"
#: Uncompressed size of each object in MB.
OBJECTS = {
    **{f"a-{number}.ndjson": 250 for number in range(3)},
    **{f"b-{number}.ndjson.gz": 50 for number in range(6)},
}
#: Acknowledged share of the source at which a worker is killed.
KILL_AT = 0.3
#: Concurrent requests of a task and vectors per request, as the DAG sets them.
IN_FLIGHT, PER_REQUEST = 2, 500
#: Seconds that the local Vectorize takes to respond to a write, and to make it visible.
LATENCY, LAG = 1.0, 5.0


class Log:
    """Prints messages with the time since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def write(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:6.1f} s  {text}", flush=True)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped by SIGTERM."))
    log = Log()
    folder = Path(tempfile.mkdtemp(prefix="vectorize-celery-"))
    folder.chmod(0o755)  # The user of PostgreSQL needs access.
    (folder / "source").mkdir()
    keep_logs = True
    try:
        with LocalVectorize.start(folder / "vectorize", lag=LAG) as local:
            stack = Stack(folder, Path(__file__).with_name("dags"), local.airflow_env())
            try:
                test(stack, local, folder, log)
                keep_logs = False
            finally:
                log.write("Stopping all processes")
                stack.stop()
    except StackError as error:
        print(f"\nFAILED: {error}")
        return 1
    finally:
        if keep_logs:
            shutil.rmtree(folder / "source", ignore_errors=True)
            print(f"The logs are in {folder}.")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    log.write("Succeeded")
    return 0


def test(stack: Stack, local: LocalVectorize, folder: Path, log: Log) -> None:
    stack.start_database_and_broker()
    log.write("Started PostgreSQL and Redis, and created Airflow's tables")
    source = Source(folder / "source")
    for name, megabytes in OBJECTS.items():
        source.write(name, megabytes)
    log.write(f"Wrote the source: {len(OBJECTS)} objects, {source.rows:,} rows, {source.text_bytes / 1e6:,.0f} MB")
    stack.start_airflow(DAG_ID)
    log.write(f"Started Airflow with {', '.join(stack.running)}")
    local.fail("delay", operation="upsert", times=None, seconds=LATENCY)

    stack.api("PATCH", f"dags/{DAG_ID}", {"is_paused": False})
    conf = {"source": f"{(folder / 'source').as_uri()}/*.ndjson*"}
    run = stack.api("POST", f"dags/{DAG_ID}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"]
    triggered = time.monotonic()
    lost_shards: dict[int, int] = {}
    for _ in stack.polls(240):
        acknowledged = sum(request.vectors for request in local.requests("upsert") if request.status == 200)
        if acknowledged >= KILL_AT * source.rows:
            lost_shards = _partly_loaded_shards(stack, run, "worker-2")
        if lost_shards:
            break
        _check_state(stack, run)
    else:
        raise StackError(f"The load makes no progress: {_states(stack, run)}")
    count = stack.kill("worker-2")
    log.write(
        f"Killed worker-2 ({count} processes) when {acknowledged:,} of {source.rows:,} vectors were acknowledged, "
        f"during {' and '.join(f'shard {index} ({vectors:,} acknowledged)' for index, vectors in lost_shards.items())}"
    )
    for _ in stack.polls(300, 1):
        if _check_state(stack, run) == "success":
            break
    else:
        raise StackError(f"The run has not finished: {_states(stack, run)}")
    log.write(f"The run succeeded {time.monotonic() - triggered:.0f} s after it was triggered")
    _check_result(stack, local, source, run, lost_shards, log)


def _check_result(
    stack: Stack, local: LocalVectorize, source: Source, run: str, lost_shards: dict[int, int], log: Log
) -> None:
    tasks = _tasks(stack, run, "load")
    tries = {task["map_index"]: task["try_number"] for task in tasks}
    names = {task["rendered_map_index"] for task in tasks}
    receipts = [_xcom(stack, run, "load", task["map_index"]) for task in tasks]
    writes = local.requests("upsert")
    bytes_requested = sum(write.body_bytes for write in writes)
    bytes_needed = sum(receipt["bytes_sent"] for receipt in receipts)
    vectors = sum(write.vectors for write in writes if write.status == 200)
    if len(tasks) < 16 or len(names) != len(tasks):
        raise StackError(f"Expected at least 16 shards with distinct names, found: {sorted(names)}")
    if any(tries[index] < 2 for index in lost_shards):
        raise StackError(f"The lost shards were not retried: {tries}")
    if sum(receipt["vectors"] for receipt in receipts) != source.rows:
        raise StackError(
            f"The receipts count {sum(receipt['vectors'] for receipt in receipts):,} vectors, not {source.rows:,}."
        )
    expected, actual = source.expected(), local.dump(INDEX)
    if actual != expected:
        missing, unexpected = len(expected.keys() - actual.keys()), len(actual.keys() - expected.keys())
        different = sum(actual[key] != expected[key] for key in expected.keys() & actual.keys())
        raise StackError(
            f"The index does not match the source: {missing} missing, {unexpected} unexpected, {different} different."
        )
    log.write(f"The index matches the source: {len(actual):,} vectors, ids and content")
    plan = _xcom(stack, run, "plan", -1, "summary")
    log.write(
        f"Planned {plan['shards']} shards, {plan['vectors']:,} vectors, {plan['bytes_to_send'] / 1e6:,.1f} MB to send"
    )
    log.write(
        f"Loaded {len(tasks)} shards, {source.rows:,} vectors, {bytes_needed / 1e6:,.1f} MB, in {len(writes)} requests"
    )
    repeated_bytes = bytes_requested - bytes_needed
    log.write(
        f"Sent {vectors - source.rows:,} vectors twice, {repeated_bytes / 1e6:,.1f} MB "
        f"({repeated_bytes / bytes_needed:.1%})"
    )
    if vectors - source.rows > IN_FLIGHT * PER_REQUEST * len(lost_shards):
        raise StackError("More vectors were sent twice than were in flight when the worker was killed.")


def _tasks(stack: Stack, run: str, task_id: str) -> list[dict[str, Any]]:
    path = f"dags/{DAG_ID}/dagRuns/{run}/taskInstances/{task_id}/listMapped?limit=100"
    return list(stack.api("GET", path)["task_instances"])


def _partly_loaded_shards(stack: Stack, run: str, worker: str) -> dict[int, int]:
    """Return the acknowledged vectors of each shard that a worker is loading.

    Return nothing until at least one of the shards has a checkpoint.
    """
    worker_shards = {int(index) for index in re.findall(r"task_id=load/map_index=(\d+)/attempt", stack.log(worker))}
    running = {task["map_index"] for task in _tasks(stack, run, "load") if task["state"] == "running"}
    acknowledged = {}
    for index in sorted(worker_shards & running):
        path = f"dags/{DAG_ID}/dagRuns/{run}/taskInstances/load/state-store?map_index={index}"
        checkpoints = stack.api("GET", path)["task_state_store"]
        acknowledged[index] = sum(checkpoint["value"]["receipt"]["vectors"] for checkpoint in checkpoints)
    return acknowledged if any(acknowledged.values()) else {}


def _states(stack: Stack, run: str) -> dict[str, int]:
    tasks = stack.api("GET", f"dags/{DAG_ID}/dagRuns/{run}/taskInstances?limit=100")["task_instances"]
    return dict(Counter(f"{task['task_id']} {task['state']}" for task in tasks))


def _check_state(stack: Stack, run: str) -> str:
    """Return the state of the run.

    :raises StackError: The run failed.
    """
    state = str(stack.api("GET", f"dags/{DAG_ID}/dagRuns/{run}")["state"])
    if state == "failed":
        raise StackError(f"The run failed: {_states(stack, run)}")
    return state


def _xcom(stack: Stack, run: str, task_id: str, map_index: int, key: str = "return_value") -> Any:
    path = f"dags/{DAG_ID}/dagRuns/{run}/taskInstances/{task_id}/xcomEntries/{key}?map_index={map_index}"
    return stack.api("GET", f"{path}&stringify=false")["value"]


if __name__ == "__main__":
    sys.exit(main())
