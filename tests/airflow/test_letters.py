"""Whose dead letters a file holds, on a real Airflow: a retry replaces its own, and no run those of another."""

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
    """A source with a bad row at its beginning and one at its end."""
    source = Path(rows(40))
    source.write_bytes(b"bad 1\n" + source.read_bytes() + b"bad 2\n")
    return {"source": str(source), "letters": str(tmp_path / "bad.ndjson")}


@pytest.mark.parametrize("dag_id", ["letters_durable", "letters_forgetful"])
def test_a_retry_replaces_its_own_letters(
    airflow: Airflow, books: LocalVectorize, conf: dict[str, str], dag_id: str
) -> None:
    books.fail("http_500", operation="upsert", after=2, times=1)
    run = airflow.run(dag_id, conf)
    assert (run.state, run.tries("load")) == ("success", 2)
    letters = [json.loads(line) for line in Path(conf["letters"]).read_text().splitlines()]
    assert [(one["row"], one["run"]) for one in letters] == [
        ("bad 1", f"{dag_id}/{run.run_id}/load"),
        ("bad 2", f"{dag_id}/{run.run_id}/load"),
    ]
    receipt = run.xcom("load")
    assert receipt["dead_letter_path"] == Path(conf["letters"]).as_uri()
    assert receipt["rejected"] == sum(receipt["rejected_by_reason"].values()) == 2
    assert run.xcom("load", "dead_letter_path") == receipt["dead_letter_path"]
    text = airflow.log.text
    assert f"Rejected 2 rows: {next(iter(receipt['rejected_by_reason']))}: 2. They are written to file://" in text


@pytest.mark.parametrize("dag_id", ["letters_forgetful", "letters_of_a_function"])
def test_the_letters_of_another_run_stay(
    airflow: Airflow, books: LocalVectorize, conf: dict[str, str], dag_id: str
) -> None:
    first = airflow.run(dag_id, conf)
    assert first.state == "success"
    letters = Path(conf["letters"]).read_bytes()

    books.clear_requests()
    second = airflow.run(dag_id, conf)
    assert second.state == "failed"
    assert f"holds the dead letters of {dag_id}/{first.run_id}/load, and this load would replace it" in airflow.log.text
    assert Path(conf["letters"]).read_bytes() == letters
    assert not books.requests("upsert")

    pytest.importorskip("airflow.sdk")  # Airflow 2 is cleared in another way
    airflow.again(first, "load")  # cleared, it starts over
    assert len(Path(conf["letters"]).read_text().splitlines()) == 2


def test_corrected_letters_of_one_run_are_the_source_of_the_next(
    airflow: Airflow, books: LocalVectorize, conf: dict[str, str], tmp_path: Path
) -> None:
    source = Path(conf["source"])
    source.write_text(source.read_text().replace('"book-7"', "7"))
    receipt = airflow.run("letters_forgetful", conf).xcom("load")
    assert (receipt["vectors"], receipt["rejected"]) == (39, 3)

    corrected = tmp_path / "corrected"
    letters = [json.loads(line) for line in Path(conf["letters"]).read_text().splitlines()]
    letters[1]["row"] = letters[1]["row"].replace('"id": 7', '"id": "book-7"')
    corrected.write_text("".join(json.dumps(one) + "\n" for one in letters if "book-7" in one["row"]))
    again = {"source": str(corrected), "letters": str(tmp_path / "still-bad.ndjson")}
    receipt = airflow.run("letters_forgetful", again).xcom("load")
    assert (receipt["vectors"], receipt["rejected"]) == (1, 0)
    assert books.count("books") == 40
