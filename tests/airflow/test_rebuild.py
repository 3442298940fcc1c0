"""The example DAGs ``rebuild`` and ``rollback`` on a real Airflow: two rebuilds, a failed third one, and a rollback."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.checks import reads
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow, needs_airflow_3_1

DIMENSIONS = 256
KV = "kv://0f2ac74b498b48028cb68387c421e279/docs"
HOURS = 3_600.0


def write_corpus(folder: Path, count: int, *, zeros: int = 0) -> None:
    """Write vectors, the first ones of which have only zeros."""
    rows = [{"id": f"doc-{n}", "values": [n + 1.0, *[0.5] * (DIMENSIONS - 1)]} for n in range(count)]
    for row in rows[:zeros]:
        row["values"] = [0.0] * DIMENSIONS
    (folder / "corpus").mkdir(exist_ok=True)
    (folder / "corpus" / "corpus.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(params=["kv", "variable", "file"])
def pointer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    uri = {"kv": KV, "variable": "variable://docs_index", "file": f"file://{tmp_path}/pointer.json"}[request.param]
    monkeypatch.setenv("AIRFLOW_VAR_DOCS_POINTER", uri)
    monkeypatch.setenv("AIRFLOW_VAR_CORPUS", f"{tmp_path.as_uri()}/corpus")
    monkeypatch.setenv("AIRFLOW_VAR_CHECKS", f"{tmp_path.as_uri()}/checks")
    monkeypatch.setattr(reads, "READ_SECONDS", 0.0)
    return uri


def requests_of(vectorize: LocalVectorize) -> dict[str, int]:
    counts = Counter(request.operation for request in vectorize.requests())
    vectorize.clear_requests()
    return dict(counts)


@needs_airflow_3_1  # It cannot push that no index is live yet.
def test_two_rebuilds_a_failed_third_and_a_rollback(
    airflow: Airflow, vectorize: LocalVectorize, tmp_path: Path, pointer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    totals = []

    def rebuild(expected: str) -> Any:
        run = airflow.run("rebuild")
        assert run.state == expected, airflow.log.text
        totals.append(sum(requests_of(vectorize).values()))
        return run

    for task in airflow.bag.dags["rebuild"].tasks:
        monkeypatch.setattr(task, "retries", 0)
    write_corpus(tmp_path, 20)
    assert rebuild("success").xcom("publish") == {"index_name": "docs-a", "previous": None}
    vectorize.shift_clock(2 * HOURS)
    write_corpus(tmp_path, 30)
    second = rebuild("success")
    assert second.xcom("publish") == {"index_name": "docs-b", "previous": "docs-a"}
    assert (vectorize.count("docs-a"), vectorize.count("docs-b")) == (20, 30)

    vectorize.shift_clock(4 * HOURS)
    write_corpus(tmp_path, 30, zeros=2)  # as an embedding job writes for texts that failed
    third = rebuild("failed")
    assert third.states()["check"] == "failed"
    assert '1 of 7 gates of index "docs-a" failed. zero vectors: 2 of 30 vectors have only zeros' in airflow.log.text
    assert third.xcom("check", "check_result")["gates"]["zero_vectors"]["value"] == round(2 / 30, 6)
    assert "1 of 7 gates failed" in (tmp_path / "checks" / "docs.html").read_text()
    assert third.states()["publish"] == "upstream_failed"
    assert third.xcom("pick_slot") == {"index_name": "docs-a", "live": "docs-b"}
    rollback = airflow.run("rollback", {"index_name": "docs-a"})
    assert rollback.state == "failed", "the slot of the failed rebuild must not go live"
    assert "does not name it as the previous one" in airflow.log.text

    vectorize.shift_clock(6 * HOURS)
    write_corpus(tmp_path, 40)
    assert rebuild("success").xcom("publish") == {"index_name": "docs-a", "previous": "docs-b"}
    for _ in range(2):  # the second one finds that it is done
        vectorize.clear_requests()
        rollback = airflow.run("rollback", {"index_name": "docs-b"})
        assert (rollback.state, rollback.xcom("publish")) == (
            "success",
            {"index_name": "docs-b", "previous": "docs-a"},
        )
        totals.append(sum(requests_of(vectorize).values()))
    with_kv = pointer == KV
    assert totals == ([39, 52, 53, 60, 6, 2] if with_kv else [34, 47, 47, 52, 2, 1])
