"""Tests on a real Airflow that a retry replaces its own dead letters, but not those of another run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow

Rows = Callable[..., str]


@pytest.fixture
def conf(rows: Rows, tmp_path: Path) -> dict[str, str]:
    """Return a run configuration whose source starts and ends with a bad row."""
    source = Path(rows(40))
    source.write_bytes(b"bad 1\n" + source.read_bytes() + b"bad 2\n")
    return {"source": str(source), "dead_letters": str(tmp_path / "bad.ndjson")}


@pytest.mark.parametrize("dag_id", ["dead_letters_durable", "dead_letters_not_durable"])
def test_retry_replaces_its_own_dead_letters(
    airflow: Airflow, books: LocalVectorize, conf: dict[str, str], dag_id: str
) -> None:
    books.fail("http_500", operation="upsert", after=2, times=1)
    run = airflow.run(dag_id, conf)
    assert (run.state, run.tries("load")) == ("success", 2)
    dead_letters = [json.loads(line) for line in Path(conf["dead_letters"]).read_text().splitlines()]
    assert [(one["row"], one["run"]) for one in dead_letters] == [
        ("bad 1", f"{dag_id}/{run.run_id}/load"),
        ("bad 2", f"{dag_id}/{run.run_id}/load"),
    ]
    receipt = run.xcom("load")
    assert receipt["dead_letter_path"] == Path(conf["dead_letters"]).as_uri()
    assert receipt["rejected"] == sum(receipt["rejected_by_reason"].values()) == 2
    assert run.xcom("load", "dead_letter_path") == receipt["dead_letter_path"]
    text = airflow.log.text
    assert f"Rejected 2 rows: {next(iter(receipt['rejected_by_reason']))}: 2. They are written to file://" in text


@pytest.mark.parametrize("dag_id", ["dead_letters_not_durable", "dead_letters_of_a_function"])
def test_load_with_dead_letters_of_another_run_fails_and_keeps_them(
    airflow: Airflow, books: LocalVectorize, conf: dict[str, str], dag_id: str
) -> None:
    first = airflow.run(dag_id, conf)
    assert first.state == "success"
    dead_letters = Path(conf["dead_letters"]).read_bytes()

    books.clear_requests()
    second = airflow.run(dag_id, conf)
    assert second.state == "failed"
    assert (
        f"holds the dead letters of {dag_id}/{first.run_id}/load, and this load would overwrite it" in airflow.log.text
    )
    assert Path(conf["dead_letters"]).read_bytes() == dead_letters
    assert not books.requests("upsert")

    pytest.importorskip("airflow.sdk")  # clearing works differently in Airflow 2
    airflow.run_task_again(first, "load")  # a cleared task starts over
    assert len(Path(conf["dead_letters"]).read_text().splitlines()) == 2


def test_corrected_dead_letters_load_as_a_source(
    airflow: Airflow, books: LocalVectorize, conf: dict[str, str], tmp_path: Path
) -> None:
    source = Path(conf["source"])
    source.write_text(source.read_text().replace('"book-7"', "7"))
    receipt = airflow.run("dead_letters_not_durable", conf).xcom("load")
    assert (receipt["vectors"], receipt["rejected"]) == (39, 3)

    corrected = tmp_path / "corrected"
    dead_letters = [json.loads(line) for line in Path(conf["dead_letters"]).read_text().splitlines()]
    dead_letters[1]["row"] = dead_letters[1]["row"].replace('"id": 7', '"id": "book-7"')
    corrected.write_text("".join(json.dumps(one) + "\n" for one in dead_letters if "book-7" in one["row"]))
    conf_of_next_run = {"source": str(corrected), "dead_letters": str(tmp_path / "still-bad.ndjson")}
    receipt = airflow.run("dead_letters_not_durable", conf_of_next_run).xcom("load")
    assert (receipt["vectors"], receipt["rejected"]) == (1, 0)
    assert books.count("books") == 40
