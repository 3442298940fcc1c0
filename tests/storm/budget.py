"""Loads on a budget of 30 requests in ten seconds, in real time, by processes that do not talk to each other.

Not one request may be made during a block, and no process may starve beside the others.
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
    """A process.

    :param writes: that it has to make.
    :param threads: that make them.
    """

    writes: int
    threads: int


#: One alone; two alike; three that differ.
WAYS = (
    (Worker(200, 8),),
    (Worker(100, 4), Worker(100, 4)),
    (Worker(120, 8), Worker(50, 2), Worker(30, 1)),
)


def live_with_it(*workers: Worker) -> str:
    """Load by these processes at the same time, each into an index of its own, by which its requests are known.

    :return: what was measured, in words.
    :raises AssertionError: a request was made during a block, or something is lost, or somebody starved.
    """
    with LocalVectorize.start(extra_args=["--no-sync"]) as local, tempfile.TemporaryDirectory() as folder:
        rows = [make_rows(worker.writes) for worker in workers]
        for number in range(len(workers)):
            create_index(local, _index(number))
        local.set_budget(BUDGET)
        local.clear_requests()
        begun = time.monotonic()
        running = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.storm.loader",
                    str(_config(local, Path(folder), number, rows[number], worker.threads)),
                ],
                cwd=ROOT,
                stderr=subprocess.DEVNULL,
            )
            for number, worker in enumerate(workers)
        ]
        codes = [process.wait(timeout=600) for process in running]
        seconds = time.monotonic() - begun
        requests = local.requests()
        blocked = sum(one.in_block for one in requests)
        assert codes == [0] * len(workers), codes
        assert blocked == 0, f"{blocked} requests were made during a block"
        told = []
        for number, worker in enumerate(workers):
            served = [
                one.started for one in requests if one.operation == "upsert" and f"/{_index(number)}/" in one.path
            ]
            silence = max(after - before for before, after in pairwise(served))
            assert len(served) == worker.writes
            assert local.dump(_index(number)) == expected_dump(rows[number])
            assert silence < 2 * int(BUDGET.split("/")[1]), f"worker {number} was silent for {silence:.0f} s"
            told.append(
                f"{worker.writes} writes by {worker.threads} threads in {served[-1] - served[0]:.0f} s, "
                f"never silent for more than {silence:.1f} s"
            )
    return (
        f"budget of {BUDGET.replace('/', ' requests in ')} s: {len(requests)} requests in {seconds:.0f} s, "
        f"{blocked} during a block; {'; '.join(told)}"
    )


def _index(number: int) -> str:
    return f"books-{number}"


def _config(local: LocalVectorize, folder: Path, number: int, rows: list[dict[str, object]], threads: int) -> Path:
    own = folder / str(number)
    own.mkdir()
    source = own / "source.ndjson"
    source.write_bytes(ndjson(rows))
    config = {
        "folder": str(own),
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
        "options": {"max_in_flight": threads},
    }
    path = own / "config.json"
    path.write_text(json.dumps(config))
    return path
