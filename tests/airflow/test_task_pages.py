"""Tests of what Airflow shows of a task: links, names of mapped tasks, rendered templates, attempts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.links.load import INDEX_LINK, index_url
from airflow_provider_vectorize.local.handle import ACCOUNT_ID, LocalVectorize
from airflow_provider_vectorize.operators.source_task import label
from tests.airflow.runs import Airflow, Run, needs_airflow_3_1, query

Rows = Callable[..., str]
OPERATORS = ("create_index", "plan", "create_metadata_index", "load", "query", "get", "delete", "delete_metadata_index")


def column(run: Run, task_id: str, name: str) -> list[Any]:
    """Return a column of a mapped task in the order of map indexes."""
    found = query(
        f"select {name} from task_instance where dag_id = ? and run_id = ? and task_id = ? order by map_index",
        run.dag_id,
        run.run_id,
        task_id,
    )
    return [value for (value,) in found]


def rendered(run: Run, task_id: str) -> dict[str, Any]:
    ((fields,),) = query(
        "select rendered_fields from rendered_task_instance_fields where run_id = ? and task_id = ?",
        run.run_id,
        task_id,
    )
    found: dict[str, Any] = json.loads(fields)
    return found


def page_url(local: LocalVectorize) -> str:
    return local.base_url.removesuffix("client/v4")


def test_every_operator_links_to_the_page_of_the_local_vectorize(
    airflow: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    run = airflow.run("every_operator", {"source": rows(10)})

    assert run.states() == dict.fromkeys(OPERATORS, "success")
    for task_id in OPERATORS:
        assert run.xcom(task_id, INDEX_LINK) == page_url(books), task_id
        task = airflow.bag.dags["every_operator"].task_dict[task_id]
        assert "Vectorize index" in {link.name for link in task.operator_extra_links}


@needs_airflow_3_1  # dag.test() does not activate assets
def test_index_link_exists_while_the_task_runs(
    airflow: Airflow, books: LocalVectorize, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    links_during_the_load: list[Any] = []

    def load(hook: VectorizeHook, *args: Any, **options: Any) -> Any:
        links_during_the_load.extend(query("select task_id from xcom where key = ?", INDEX_LINK))
        raise SystemError("the worker was lost")

    monkeypatch.setattr(VectorizeHook, "load", load)

    before = len(query("select task_id from xcom where key = ?", INDEX_LINK))
    run = airflow.run("load_an_asset", {"source": rows(10)})

    assert run.state == "failed"
    assert len(links_during_the_load) == before + 1
    assert run.xcom("load", INDEX_LINK) == page_url(books)


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        (
            "https://api.cloudflare.com/client/v4",
            f"https://dash.cloudflare.com/{ACCOUNT_ID}/ai/vectorize/my_docs-2",
        ),
        ("https://gateway.example.com/cf", f"https://dash.cloudflare.com/{ACCOUNT_ID}/ai/vectorize/my_docs-2"),
        ("http://127.0.0.1:8787/client/v4", "http://127.0.0.1:8787/"),
        ("http://[::1]:8787/client/v4", "http://[::1]:8787/"),
        ("http://vectorize:80/client/v4", "http://vectorize:80/"),
    ],
)
def test_index_url_is_the_dashboard_or_the_local_page(base_url: str, url: str) -> None:
    assert index_url(base_url, ACCOUNT_ID, "my_docs-2") == url


def test_permanent_failure_is_not_retried_and_links_to_its_index(
    airflow: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    source = Path(rows(10))
    source.write_bytes(source.read_bytes() + b"no row\n")

    run = airflow.run("fails_at_once", {"source": str(source)})

    assert set(run.states().values()) == {"failed"}
    tries = {task: run.tries(task) for task in ("bad_row", "no_index", "no_name", "wrong_setting", "mapped", "not_yet")}
    assert tries == {"bad_row": 1, "no_index": 1, "no_name": 1, "wrong_setting": 1, "mapped": 1, "not_yet": 3}
    assert {task: run.xcom(task, INDEX_LINK) for task in ("bad_row", "no_index", "not_yet")} == dict.fromkeys(
        ("bad_row", "no_index", "not_yet"), page_url(books)
    )
    for message in (
        "Line 11 of",
        'Index name "nowhere"',
        "index_name is the text 'None'",
        "max_in_flight must be a whole number of 1 or more, not 'four'.",
        "validation must be 'full', 'light' or 'off', not 'fulll'.",
    ):
        assert message in airflow.log.text


def test_mapped_loads_are_named_by_source_or_by_the_template_of_the_dag(
    airflow: Airflow, books: LocalVectorize, rows: Rows, tmp_path: Path
) -> None:
    sources = [rows(3, "a.ndjson"), [rows(3, "b.ndjson"), rows(3, "c.ndjson")], f"{tmp_path}/*.ndjson"]

    run = airflow.run("named_loads", {"sources": sources})

    folder = tmp_path.name
    assert run.state == "success"
    assert column(run, "load", "rendered_map_index") == [
        f"{folder}/a.ndjson",
        f"{folder}/b.ndjson and 1 more",
        f"{folder}/*.ndjson",
    ]
    assert column(run, "users", "rendered_map_index")[0] == "load of djson"


def test_mapped_load_that_fails_has_a_name(airflow: Airflow, books: LocalVectorize, tmp_path: Path) -> None:
    run = airflow.run("named_loads", {"sources": [str(tmp_path / "missing.ndjson")]})

    assert column(run, "load", "rendered_map_index") == [f"{tmp_path.name}/missing.ndjson"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://conn@bucket/dt=2026-01-01/part-0.ndjson.gz", "dt=2026-01-01/part-0.ndjson.gz"),
        ("s3://conn@bucket/a.ndjson", "bucket/a.ndjson"),
        ("a.ndjson", "a.ndjson"),
        (["/data/a.ndjson#bytes=0-100"], "data/a.ndjson#bytes=0-100"),
        (["/data/a"] * 1_234, "data/a and 1,233 more"),
        (Path("/data/a"), "data/a"),
        (None, ""),
        ([], ""),
        (7, ""),
        ("/x/" + "a" * 300, "a" * 250),
        (["/x/" + "a" * 300] * 2, "a" * 239 + " and 1 more"),
    ],
)
def test_label_of_any_source_is_short(source: Any, message: str) -> None:
    assert label(source) == message


def test_rendered_templates_show_the_output_of_mapped_tasks(
    airflow: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    sources = [rows(5, "a.ndjson"), rows(5, "b.ndjson", first=5)]

    run = airflow.run("lazy_outputs", {"sources": sources, "ids": ["book-1", "book-2"]})

    assert run.state == "success"
    assert rendered(run, "load")["source"] == sources
    assert rendered(run, "delete")["ids"] == ["book-1", "book-2"]
    assert "Lazy" not in json.dumps([rendered(run, task) for task in ("load", "delete")])
    assert books.count("books") == 8
