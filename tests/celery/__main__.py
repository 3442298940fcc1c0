"""A mapped load of 1 GB on a real deployment, one worker of which is lost in the middle: ``make test-celery``.

PostgreSQL, Redis, scheduler, DAG processor, triggerer, API server and two Celery workers run on loopback, in a folder
of their own that is gone afterwards. When a part of the load is acknowledged, one worker and all its processes are
killed. The run has to end green all the same, and the index has to hold the source and nothing else.
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
#: MB of text of each object.
OBJECTS = {
    **{f"a-{number}.ndjson": 250 for number in range(3)},
    **{f"b-{number}.ndjson.gz": 50 for number in range(6)},
}
#: Share of the source that is acknowledged when a worker is killed.
KILL_AT = 0.3
#: As the DAG has it: requests that a task has under way, and vectors in each.
IN_FLIGHT, PER_REQUEST = 2, 500
#: Seconds that Vectorize takes to answer a write, and to make it visible.
LATENCY, LAG = 1.0, 5.0


class Story:
    """Says what happens, and when."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def tell(self, text: str) -> None:
        print(f"{time.monotonic() - self._begun:6.1f} s  {text}", flush=True)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    story = Story()
    folder = Path(tempfile.mkdtemp(prefix="vectorize-celery-"))
    folder.chmod(0o755)  # PostgreSQL's user has to get in
    (folder / "source").mkdir()
    kept = True
    try:
        with LocalVectorize.start(folder / "vectorize", lag=LAG) as local:
            stack = Stack(folder, Path(__file__).with_name("dags"), local.airflow_env())
            try:
                test(stack, local, folder, story)
                kept = False
            finally:
                story.tell("ending all processes")
                stack.stop()
    except StackError as error:
        print(f"\nFAILED: {error}")
        return 1
    finally:
        if kept:
            shutil.rmtree(folder / "source", ignore_errors=True)
            print(f"The logs are in {folder}.")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    story.tell("green")
    return 0


def test(stack: Stack, local: LocalVectorize, folder: Path, story: Story) -> None:
    stack.start_database_and_broker()
    story.tell("PostgreSQL and Redis run, Airflow's tables are there")
    source = Source(folder / "source")
    for name, megabytes in OBJECTS.items():
        source.write(name, megabytes)
    story.tell(
        f"the source is written: {len(OBJECTS)} objects, {source.rows:,} rows, {source.text_bytes / 1e6:,.0f} MB"
    )
    stack.start_airflow(DAG_ID)
    story.tell(f"Airflow runs with {', '.join(stack.running)}")
    local.fail("delay", operation="upsert", times=None, seconds=LATENCY)

    stack.api("PATCH", f"dags/{DAG_ID}", {"is_paused": False})
    conf = {"source": f"{(folder / 'source').as_uri()}/*.ndjson*"}
    run = stack.api("POST", f"dags/{DAG_ID}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"]
    begun = time.monotonic()
    lost: dict[int, int] = {}
    for _ in stack.polls(240):
        acknowledged = sum(one.vectors for one in local.requests("upsert") if one.status == 200)
        if acknowledged >= KILL_AT * source.rows:
            lost = _half_done(stack, run, "worker-2")
        if lost:
            break
        _not_failed(stack, run)
    else:
        raise StackError(f"The load does not get on: {_states(stack, run)}")
    count = stack.kill("worker-2")
    story.tell(
        f"{acknowledged:,} of {source.rows:,} vectors are acknowledged: worker-2 is killed, {count} processes, in the "
        f"middle of {' and '.join(f'shard {index} ({vectors:,} acknowledged)' for index, vectors in lost.items())}"
    )
    for _ in stack.polls(300, 1):
        if _not_failed(stack, run) == "success":
            break
    else:
        raise StackError(f"The run has not ended: {_states(stack, run)}")
    story.tell(f"the run is green, {time.monotonic() - begun:.0f} s after it was started")
    _check(stack, local, source, run, lost, story)


def _check(stack: Stack, local: LocalVectorize, source: Source, run: str, lost: dict[int, int], story: Story) -> None:
    tasks = _tasks(stack, run, "load")
    tries = {task["map_index"]: task["try_number"] for task in tasks}
    names = {task["rendered_map_index"] for task in tasks}
    receipts = [_xcom(stack, run, "load", task["map_index"]) for task in tasks]
    writes = local.requests("upsert")
    requested = sum(one.body_bytes for one in writes)
    needed = sum(receipt["bytes_sent"] for receipt in receipts)
    vectors = sum(one.vectors for one in writes if one.status == 200)
    if len(tasks) < 16 or len(names) != len(tasks):
        raise StackError(f"There should be 16 shards or more, each with a name of its own: {sorted(names)}")
    if any(tries[index] < 2 for index in lost):
        raise StackError(f"The lost shards were not tried again: {tries}")
    if sum(receipt["vectors"] for receipt in receipts) != source.rows:
        raise StackError(f"The receipts speak of {sum(receipt['vectors'] for receipt in receipts):,} vectors.")
    expected, found = source.expected(), local.dump(INDEX)
    if found != expected:
        missing, foreign = len(expected.keys() - found.keys()), len(found.keys() - expected.keys())
        other = sum(found[key] != expected[key] for key in expected.keys() & found.keys())
        raise StackError(
            f"The index is not the source: {missing} missing, {foreign} foreign, {other} of other content."
        )
    story.tell(f"the index equals the source: {len(found):,} vectors, ids and content")
    plan = _xcom(stack, run, "plan", -1, "summary")
    story.tell(
        f"planned: {plan['shards']} shards, {plan['vectors']:,} vectors, {plan['bytes_to_send'] / 1e6:,.1f} MB to send"
    )
    story.tell(f"loaded: {len(tasks)} shards, {source.rows:,} vectors, {needed / 1e6:,.1f} MB, {len(writes)} writes")
    twice = requested - needed
    story.tell(f"sent twice: {vectors - source.rows:,} vectors, {twice / 1e6:,.1f} MB ({twice / needed:.1%})")
    if vectors - source.rows > IN_FLIGHT * PER_REQUEST * len(lost):
        raise StackError("That is more than was in flight.")


def _tasks(stack: Stack, run: str, task_id: str) -> list[dict[str, Any]]:
    path = f"dags/{DAG_ID}/dagRuns/{run}/taskInstances/{task_id}/listMapped?limit=100"
    return list(stack.api("GET", path)["task_instances"])


def _half_done(stack: Stack, run: str, worker: str) -> dict[int, int]:
    """The shards that a worker is at, with what is acknowledged of each; none while none has a checkpoint."""
    mine = {int(index) for index in re.findall(r"task_id=load/map_index=(\d+)/attempt", stack.log(worker))}
    running = {task["map_index"] for task in _tasks(stack, run, "load") if task["state"] == "running"}
    found = {}
    for index in sorted(mine & running):
        path = f"dags/{DAG_ID}/dagRuns/{run}/taskInstances/load/state-store?map_index={index}"
        kept = stack.api("GET", path)["task_state_store"]
        found[index] = sum(one["value"]["receipt"]["vectors"] for one in kept)
    return found if any(found.values()) else {}


def _states(stack: Stack, run: str) -> dict[str, int]:
    found = stack.api("GET", f"dags/{DAG_ID}/dagRuns/{run}/taskInstances?limit=100")["task_instances"]
    return dict(Counter(f"{task['task_id']} {task['state']}" for task in found))


def _not_failed(stack: Stack, run: str) -> str:
    state = str(stack.api("GET", f"dags/{DAG_ID}/dagRuns/{run}")["state"])
    if state == "failed":
        raise StackError(f"The run failed: {_states(stack, run)}")
    return state


def _xcom(stack: Stack, run: str, task_id: str, map_index: int, key: str = "return_value") -> Any:
    path = f"dags/{DAG_ID}/dagRuns/{run}/taskInstances/{task_id}/xcomEntries/{key}?map_index={map_index}"
    return stack.api("GET", f"{path}&stringify=false")["value"]


if __name__ == "__main__":
    sys.exit(main())
