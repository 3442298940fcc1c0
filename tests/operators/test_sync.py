"""Tests of the sync operator, of the sensor with its result, and of the command that shows the state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_vectorize import state
from airflow_provider_vectorize.errors import ConfigError, SyncError
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.sync import VectorizeSyncOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor
from tests.operators.conftest import Run
from tests.support import create_index, expected_dump, make_rows, ndjson


class TaskInstance:
    """Keeps what a task pushes to XCom."""

    dag_id, run_id, task_id, map_index, try_number, max_tries = "dag", "run", "task", -1, 1, 0

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


@pytest.fixture
def parameters(local_vectorize: LocalVectorize, tmp_path: Path) -> dict[str, Any]:
    create_index(local_vectorize)
    (tmp_path / "a.ndjson").write_bytes(ndjson(make_rows(60)))
    return {"index_name": "books", "source": str(tmp_path / "*.ndjson"), "state": str(tmp_path / "state")}


def test_sync_operator_returns_receipt_that_the_sensor_takes(
    run: Run, parameters: dict[str, Any], local_vectorize: LocalVectorize
) -> None:
    first = run(VectorizeSyncOperator, **parameters)
    assert (first["added"], first["index_name"], first["operation"]) == (60, "books", "upsert")
    run(VectorizeMutationSensor, mutation=first, deferrable=False)

    second = run(VectorizeSyncOperator, **parameters)
    assert second["mutation_id"] is None
    local_vectorize.clear_requests()
    run(VectorizeMutationSensor, mutation=second, deferrable=False)
    assert local_vectorize.requests() == []


@pytest.mark.parametrize("proof", ["log", "read_back"])
def test_sensor_waits_for_deletions_of_a_sync(run: Run, parameters: dict[str, Any], tmp_path: Path, proof: str) -> None:
    run(VectorizeSyncOperator, **parameters)
    (tmp_path / "a.ndjson").write_bytes(ndjson(make_rows(50) + make_rows(1, first=99)))

    result = run(VectorizeSyncOperator, **parameters, delete_vanished=True)

    assert (result["deleted"], result["vectors"]) == (10, 1)
    run(VectorizeMutationSensor, mutation=result, proof=proof, deferrable=False)


def test_sync_operator_held_brake_fails_without_retries_and_pushes_the_plan(
    run: Run, parameters: dict[str, Any], tmp_path: Path, local_vectorize: LocalVectorize
) -> None:
    run(VectorizeSyncOperator, **parameters)
    (tmp_path / "a.ndjson").write_bytes(ndjson(make_rows(10)))
    ti = TaskInstance()

    with pytest.raises(AirflowFailException, match="Withheld 50 deletions") as caught:
        run(VectorizeSyncOperator, {"ti": ti}, **parameters, delete_vanished=True)

    assert isinstance(caught.value.__cause__, SyncError)
    assert ti.pushed["sync_result"]["withheld"] == 50
    result = run(VectorizeSyncOperator, **parameters, delete_vanished="True", approve=ti.pushed["plan"])
    assert result["deleted"] == 50
    assert local_vectorize.dump("books") == expected_dump(make_rows(10))


def test_sync_operator_wrong_literal_fails_when_the_dag_is_parsed() -> None:
    with pytest.raises(ConfigError, match="max_deletes must be"):
        VectorizeSyncOperator(task_id="sync", index_name="docs", source="a", state="s", max_deletes=2.5)


def test_state_command_shows_state_ids_and_diff(
    run: Run, parameters: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(VectorizeSyncOperator, **parameters)
    (tmp_path / "a.ndjson").write_bytes(ndjson([*make_rows(1, seed=5), *make_rows(60)[1:55], *make_rows(1, first=99)]))
    run(VectorizeSyncOperator, **parameters, delete_vanished=True)
    capsys.readouterr()

    assert state.main(["show", parameters["state"]]) == 0
    shown = capsys.readouterr().out
    assert 'Index:       "books"' in shown
    assert "IDs:         56 in generations/000002-" in shown
    assert "a.ndjson (56 rows, version" in shown
    assert state.main(["ids", parameters["state"]]) == 0
    assert len(capsys.readouterr().out.split()) == 56
    assert state.main(["diff", parameters["state"]]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "+ v99", "- v55", "- v56", "- v57", "- v58", "- v59", "~ v0",
    ]  # fmt: skip
    assert state.main(["ids", str(tmp_path / "nothing")]) == 1
    assert "holds no state of a sync" in capsys.readouterr().err
