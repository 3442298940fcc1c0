"""A load of 200 requests on a budget of 30 in ten seconds, in real time: not one may be made during a block."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.support import create, make_rows, ndjson, truth

ROOT = Path(__file__).parents[2]
BUDGET = "30/10"
REQUESTS = 200
#: Processes and threads of each.
WAYS = ((1, 8), (2, 4))


def live_with_it(processes: int, threads: int) -> str:
    """Load by so many processes at the same time, which know nothing of each other.

    :return: what was measured, in words.
    :raises AssertionError: a request was made during a block, or something is lost.
    """
    rows = make_rows(REQUESTS)
    share = REQUESTS // processes
    with LocalVectorize.start(extra_args=["--no-sync"]) as local, tempfile.TemporaryDirectory() as folder:
        create(local)
        local.set_budget(BUDGET)
        local.clear_requests()
        begun = time.monotonic()
        running = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.storm.loader",
                    str(_config(local, Path(folder), number, rows, share, threads)),
                ],
                cwd=ROOT,
                stderr=subprocess.DEVNULL,
            )
            for number in range(processes)
        ]
        codes = [process.wait(timeout=600) for process in running]
        seconds = time.monotonic() - begun
        requests = local.requests()
        blocked = sum(one.in_block for one in requests)
        writes = sum(one.operation == "upsert" for one in requests)
        assert codes == [0] * processes, codes
        assert blocked == 0, f"{blocked} requests were made during a block"
        assert writes == REQUESTS
        assert local.dump("books") == truth(rows)
    return (
        f"budget of {BUDGET.replace('/', ' requests in ')} s: {writes} writes ({len(requests)} requests) by "
        f"{processes} x {threads} threads in {seconds:.0f} s; {blocked} requests during a block"
    )


def _config(
    local: LocalVectorize, folder: Path, number: int, rows: list[dict[str, object]], share: int, threads: int
) -> Path:
    own = folder / str(number)
    own.mkdir()
    source = own / "source.ndjson"
    source.write_bytes(ndjson(rows[number * share : (number + 1) * share]))
    config = {
        "folder": str(own),
        "account_id": local.account_id,
        "token": local.token,
        "base_url": local.base_url,
        "index": "books",
        "operation": "upsert",
        "objects": [str(source)],
        "per_request": 1,
        "retry_seconds": 600,
        "timeout": 30.0,
        "options": {"max_in_flight": threads},
    }
    path = own / "config.json"
    path.write_text(json.dumps(config))
    return path
