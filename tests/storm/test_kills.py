"""Test repeated kills: each attempt resumes, and sends at most the batches again that were in flight."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.support import make_rows

from .scenario import Scenario
from .storm import StormRun, start_local_vectorize


@pytest.fixture(scope="module")
def local() -> Iterator[LocalVectorize]:
    with start_local_vectorize() as local_vectorize:
        yield local_vectorize


@pytest.mark.slow
@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".parquet"])
def test_load_killed_repeatedly_writes_whole_source(
    local: LocalVectorize, tmp_path: Path, suffix: str, in_flight: int
) -> None:
    rng = random.Random(f"{suffix} {in_flight}")
    rows = make_rows(1_200)
    for row in rows[::7]:
        row["id"] = rows[rng.randrange(len(rows))]["id"]
    texts = [json.dumps(row).encode() for row in rows]
    bad = sorted(rng.sample(range(1_200), 3))
    for place in bad:
        texts[place] = b'{"id": "bad", "values": [1.0]}' if suffix == ".parquet" else b"bad"
    scenario = Scenario(
        seed=in_flight,
        operation="upsert",
        suffix=suffix,
        in_flight=in_flight,
        per_request=20,
        validation="full",
        float32_text="auto",
        held=False,
        lag=0.0,
        flaps=False,
        budget="100000/300",
        faults=[{"fault": "delay", "operation": "write", "probability": 0.5, "seconds": 0.03}],
        disasters=[("kill", rng.randrange(2, 15)) for _ in range(5)],
        texts=[texts[:500], texts[500:]],
        good=[row for place, row in enumerate(rows) if place not in bad],
        bad=[(int(place >= 500), place % 500 + 1 if place < 500 else place - 499) for place in bad],
        duplicates=True,
        late_seconds=0.3,  # ten times as long as a request is delayed
    )

    outcome = StormRun(local, scenario, tmp_path).run()

    assert outcome.kills >= 3
    assert outcome.attempts == outcome.kills + 1
    largest = max(request.body_bytes for request in local.requests("upsert"))
    assert outcome.bytes_twice <= outcome.kills * in_flight * largest
    log = (tmp_path / "log.txt").read_text()
    line = "row" if suffix == ".parquet" else "line"
    assert log.count(f"Resuming from the last checkpoint at {line} ") >= outcome.kills - 1
    assert "Starting over" not in log
