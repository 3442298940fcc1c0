"""docs/nightly-sync.md: its DAG does what the steps say, on a real Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.sync import PLAN, RESULT
from tests.airflow.runs import Run
from tests.docs.test_pages import DIMENSIONS, data, database, docs_index, run  # noqa: F401 - fixtures

pytestmark = pytest.mark.airflow


def write_corpus(folder: Path, count: int) -> None:
    rows = [{"id": f"page-{n}", "values": [n, *[0.5] * (DIMENSIONS - 1)]} for n in range(count)]
    (folder / "corpus" / "pages.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))


def counts(result: dict[str, Any]) -> dict[str, int]:
    return {name: result[name] for name in ("added", "changed", "unchanged", "deleted", "withheld") if result[name]}


def test_nightly_sync_page_leads_from_dry_run_to_approved_deletions(
    run: Callable[..., Run],  # noqa: F811
    data: Path,  # noqa: F811
    docs_index: LocalVectorize,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_corpus(data, 60)
    assert counts(run("sync_docs", {"dry_run": True}).xcom("sync")) == {"added": 60}
    assert docs_index.count("docs") == 9
    assert not (data / "vectorize-state").exists()

    assert counts(run("sync_docs").xcom("sync")) == {"added": 60}
    write_corpus(data, 55)
    assert counts(run("sync_docs").xcom("sync")) == {"unchanged": 55, "deleted": 5}
    assert docs_index.count("docs") == 55

    write_corpus(data, 10)
    capsys.readouterr()
    held = run("sync_docs")
    assert held.states() == {"sync": "failed", "wait": "upstream_failed"}
    assert held.tries("sync") == 1
    assert counts(held.xcom("sync", RESULT)) == {"unchanged": 10, "withheld": 45}
    assert "The sync needs a person: Withheld 45 deletions" in capsys.readouterr().out

    approved = run("sync_docs", {"approve": held.xcom("sync", PLAN)})
    assert counts(approved.xcom("sync")) == {"unchanged": 10, "deleted": 45}
    assert approved.state == "success"
    assert docs_index.count("docs") == 10


def test_nightly_sync_page_reports_foreign_vectors_without_deleting_them(
    run: Callable[..., Run],  # noqa: F811
    data: Path,  # noqa: F811
    docs_index: LocalVectorize,  # noqa: F811
) -> None:
    write_corpus(data, 4)
    assert run("sync_docs", {"report_foreign": True}).xcom("sync", "foreign") == 5
    assert docs_index.count("docs") == 9
