"""Tests of the check operator: what it returns, what it pushes if a gate fails, and its links."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.checks import reads
from airflow_provider_vectorize.checks.gates import Gates
from airflow_provider_vectorize.errors import CheckError, ConfigError
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.check import VectorizeCheckOperator
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from tests.checks.support import corpus
from tests.operators.conftest import Run
from tests.operators.test_sync import TaskInstance
from tests.support import create_index, ndjson


@pytest.fixture
def receipt(run: Run, local_vectorize: LocalVectorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the receipt of a load that collected what checks need."""
    monkeypatch.setattr(reads, "READ_SECONDS", 0.0)
    create_index(local_vectorize)
    (tmp_path / "a.ndjson").write_bytes(ndjson(corpus(80)))
    return run(
        VectorizeUpsertOperator,
        index_name="books",
        source=str(tmp_path / "a.ndjson"),
        collect_checks=str(tmp_path / "checks.json"),
    )


def test_check_operator_returns_figures_and_pushes_links(run: Run, receipt: Any, tmp_path: Path) -> None:
    ti = TaskInstance()
    result = run(
        VectorizeCheckOperator,
        {"ti": ti, "name": "books"},
        index_name="{{ name }}",
        receipt=receipt,
        report_path=f"{tmp_path}/{{{{ name }}}}.html",
    )
    assert (result["passed"], result["vector_count"]) == (True, 80)
    assert result["gates"]["recall"]["value"] == 1.0
    assert result["report_path"] == (tmp_path / "books.html").as_uri()
    assert ti.pushed["vectorize_report_link"] == "", "files have no web page"
    assert "check_result" not in ti.pushed


def test_check_operator_failed_gate_raises_and_pushes_the_figures(run: Run, receipt: Any) -> None:
    ti = TaskInstance()
    with pytest.raises(CheckError, match=r'1 of 7 gates of index "books" failed. count: 80 vectors'):
        run(VectorizeCheckOperator, {"ti": ti}, index_name="books", receipt=receipt, gates=Gates(count=1_000))
    assert ti.pushed["check_result"]["passed"] is False
    assert ti.pushed["check_result"]["gates"]["count"]["status"] == "failed"


def test_check_operator_wrong_gates_raise_when_the_dag_is_parsed() -> None:
    with pytest.raises(ConfigError, match="gates must be an object of class Gates"):
        VectorizeCheckOperator(task_id="check", index_name="books", gates={"count": 1})  # type: ignore[arg-type]
