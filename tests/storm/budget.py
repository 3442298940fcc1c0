"""Run loads with a budget of 30 requests in ten seconds, in real time, from independent processes.

No request may be sent during a rate-limit block, and no process may starve.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.support import create_index, expected_dump, make_rows, ndjson

ROOT = Path(__file__).parents[2]
BUDGET = "30/10"


class Worker(NamedTuple):
    """A loading process.

    :param writes: Number of writes that it sends.
    :param threads: Number of threads that send them.
    """

    writes: int
    threads: int


#: One worker, two equal ones, and three different ones.
WORKER_GROUPS = (
    (Worker(200, 8),),
    (Worker(100, 4), Worker(100, 4)),
    (Worker(120, 8), Worker(50, 2), Worker(30, 1)),
)


def run_workers(*workers: Worker) -> str:
    """Run loads concurrently, each into its own index, so that the requests of each can be identified.

    :return: The measurements as text.
    :raises AssertionError: A request was sent during a block, a vector is lost, or a process starved.
    """
    with LocalVectorize.start(extra_args=["--no-sync"]) as local, tempfile.TemporaryDirectory() as folder:
        rows = [make_rows(worker.writes) for worker in workers]
        for number in range(len(workers)):
            create_index(local, _index(number))
        local.set_budget(BUDGET)
        local.clear_requests()
        started_at = time.monotonic()
        running = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.storm.loader",
                    str(_write_config(local, Path(folder), number, rows[number], worker.threads)),
                ],
                cwd=ROOT,
                stderr=subprocess.DEVNULL,
            )
            for number, worker in enumerate(workers)
        ]
        codes = [process.wait(timeout=600) for process in running]
        seconds = time.monotonic() - started_at
        requests = local.requests()
        blocked = sum(request.in_block for request in requests)
        assert codes == [0] * len(workers), codes
        assert blocked == 0, f"{blocked} requests were sent during a block"
        measurements = []
        for number, worker in enumerate(workers):
            served = [
                request.started
                for request in requests
                if request.operation == "upsert" and f"/{_index(number)}/" in request.path
            ]
            silence = max(after - before for before, after in pairwise(served))
            assert len(served) == worker.writes
            assert local.dump(_index(number)) == expected_dump(rows[number])
            assert silence < 2 * int(BUDGET.split("/")[1]), f"worker {number} was silent for {silence:.0f} s"
            measurements.append(
                f"{worker.writes} writes by {worker.threads} threads in {served[-1] - served[0]:.0f} s, "
                f"never silent for more than {silence:.1f} s"
            )
    return (
        f"budget of {BUDGET.replace('/', ' requests in ')} s: {len(requests)} requests in {seconds:.0f} s, "
        f"{blocked} during a block; {'; '.join(measurements)}"
    )


def _index(number: int) -> str:
    return f"books-{number}"


def _write_config(
    local: LocalVectorize, folder: Path, number: int, rows: list[dict[str, object]], threads: int
) -> Path:
    worker_folder = folder / str(number)
    worker_folder.mkdir()
    source = worker_folder / "source.ndjson"
    source.write_bytes(ndjson(rows))
    config = {
        "folder": str(worker_folder),
        "account_id": local.account_id,
        "token": local.token,
        "base_url": local.base_url,
        "index": _index(number),
        "operation": "upsert",
        "objects": [str(source)],
        "parts": False,
        "per_request": 1,
        "retry_seconds": 600,
        "timeout": 30.0,
        "late_seconds": 120,
        "attempt": 1,
        "clears": 0,
        "options": {"max_in_flight": threads, "processes": 1},
    }
    path = worker_folder / "config.json"
    path.write_text(json.dumps(config))
    return path
