"""Run the DAGs of docs/recipes unchanged, against the local Vectorize and stand-ins for the models."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow import model_api
from tests.airflow.model_api import ModelApi
from tests.airflow.runs import Airflow, Log, runs_here
from tests.airflow.test_example_dags import create_index, write
from tests.airflow.test_nightly_sync import answer, can_approve
from tests.node import TOOLS, install

HERE = Path(__file__).parent
RECIPES = HERE.parents[1] / "example_dags" / "recipes"
Recipe = Callable[[str], Airflow]


@pytest.fixture
def recipe(airflow_home: Airflow, dags_folder: Path, log: Log, vectorize: LocalVectorize) -> Iterator[Recipe]:
    """Return a function that puts a recipe into the DAGs folder, where its DAG has the name of its file."""
    folder = dags_folder / "recipes"

    def prepare(name: str) -> Airflow:
        if not runs_here(RECIPES / f"{name}.py"):
            pytest.skip("The recipe needs a newer Airflow.")
        shutil.copytree(RECIPES, folder, ignore=lambda _, names: {one for one in names if one == "__pycache__"})
        for other in folder.glob("*.py"):
            if other.stem != name:
                other.unlink()
        prepared = Airflow(folder)
        prepared.log = log
        return prepared

    yield prepare
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def models() -> Iterator[ModelApi]:
    """Return a stand-in for the APIs of models."""
    with model_api.serve() as api:
        yield api


def define_connection(monkeypatch: pytest.MonkeyPatch, conn_id: str, **fields: Any) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))


def check_pages(vectorize: LocalVectorize, model: str) -> None:
    """Check that the index has all pages, each with the embedding of its own text."""
    assert vectorize.count("docs") == 250
    for number in (0, 99, 100, 249):
        text = f"This is page {number}."
        (vector,) = VectorizeHook().get_by_ids("docs", [f"page-{number}"])
        assert list(vector.values or ()) == model_api.embedding(text)
        assert vector.metadata == {"text": text, "model": model}


def test_workers_ai_recipe_loads_the_embedding_of_each_text(
    recipe: Recipe, models: ModelApi, vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    define_connection(monkeypatch, "workers_ai", conn_type="http", host=f"{models.url}/ai", password=model_api.KEY)

    run = recipe("workers_ai").run("workers_ai")

    assert set(run.states().values()) == {"success"}
    assert [len(body["text"]) for _, body in models.requests] == [100, 100, 50]
    check_pages(vectorize, model_api.WORKERS_AI_MODEL)


def test_workers_ai_recipe_with_a_wrong_token_fails_without_loading(
    recipe: Recipe, models: ModelApi, vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    define_connection(monkeypatch, "workers_ai", conn_type="http", host=f"{models.url}/ai", password="wrong-token")
    airflow = recipe("workers_ai")

    run = airflow.run("workers_ai")

    assert (run.states()["load"], vectorize.count("docs")) == ("failed", 0)
    assert "401 Client Error" in airflow.log.text
    assert "wrong-token" not in airflow.log.text


def test_openai_recipe_loads_the_embedding_of_each_text(
    recipe: Recipe, models: ModelApi, vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai")
    define_connection(monkeypatch, "openai", conn_type="generic", host=f"{models.url}/v1", password=model_api.KEY)

    run = recipe("openai_embeddings").run("openai_embeddings")

    assert set(run.states().values()) == {"success"}
    assert [len(body["input"]) for _, body in models.requests] == [200, 50]
    check_pages(vectorize, "text-embedding-3-small")


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[dict[str, Any]]], None]:
    """Return a function that writes the raw rows of the warehouse, and install dbt."""
    install(HERE / "install_dbt.sh", needs="uv")
    monkeypatch.setenv("AIRFLOW_VAR_DBT", str(TOOLS / "dbt" / "bin" / "dbt"))
    monkeypatch.setenv("AIRFLOW_VAR_WAREHOUSE", str(tmp_path))
    (tmp_path / "raw").mkdir()
    create_index()
    return lambda rows: pq.write_table(pa.Table.from_pylist(rows), tmp_path / "raw" / "rows.parquet")


def document(number: int, version: int = 1, **fields: Any) -> dict[str, Any]:
    """Return a raw row of a document."""
    row = {
        "doc_id": f"doc-{number}",
        "title": f"Version {version}",
        "embedding": [float(number + 1), float(version), *[0.5] * 254],
        "published": True,
        "updated_at": datetime(2026, 1, version, tzinfo=UTC),
    }
    return row | fields


@pytest.mark.clients
def test_dbt_recipe_loads_the_table_that_dbt_built(
    recipe: Recipe, warehouse: Callable[[list[dict[str, Any]]], None], vectorize: LocalVectorize
) -> None:
    warehouse([document(1), document(1, 2), document(2), document(3, published=False)])
    airflow = recipe("dbt_upstream")

    run = airflow.run("dbt_upstream")

    assert set(run.states().values()) == {"success"}, airflow.log.text
    assert set(vectorize.dump("docs")) == {"doc-1", "doc-2"}
    assert VectorizeHook().get_by_ids("docs", ["doc-1"])[0].metadata == {"title": "Version 2"}


@pytest.mark.clients
def test_dbt_recipe_with_a_failed_data_test_loads_nothing(
    recipe: Recipe, warehouse: Callable[[list[dict[str, Any]]], None], vectorize: LocalVectorize
) -> None:
    warehouse([document(1), document(2, embedding=None)])
    airflow = recipe("dbt_upstream")

    run = airflow.run("dbt_upstream")

    assert (run.states()["build"], run.states()["load"]) == ("failed", "upstream_failed")
    assert "not_null_documents_embedding" in airflow.log.text
    assert vectorize.count("docs") == 0


def test_agent_recipe_queries_only_the_pinned_index(
    recipe: Recipe,
    models: ModelApi,
    vectorize: LocalVectorize,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("airflow.providers.common.ai")
    pytest.importorskip("openai")
    define_connection(
        monkeypatch,
        "pydanticai_default",
        conn_type="pydanticai",
        host=f"{models.url}/v1",
        password=model_api.KEY,
        extra={"model": "openai-chat:gpt-5"},
    )
    create_index()
    write(tmp_path / "a.ndjson", 5)
    VectorizeHook().load("docs", str(tmp_path / "a.ndjson"), operation="upsert")
    models.tool_calls = [
        ("get_index_info", {}),
        ("query", {"vector_id": "doc-1", "top_k": 2}),
    ]
    airflow = recipe("agent")

    run = airflow.run("agent")

    assert run.state == "success", airflow.log.text
    assert run.xcom("answer") == "The answer of the model."
    _, last = models.requests[-1]
    tools = {tool["function"]["name"]: tool["function"] for tool in last["tools"]}
    assert set(tools) == {"query", "get_index_info"}
    assert "index_name" not in tools["query"]["parameters"]["properties"]
    info, found = (message["content"] for message in last["messages"] if message["role"] == "tool")
    assert '"vectorCount":5' in info.replace(" ", "")
    assert "doc-1" in found
    assert vectorize.count("docs") == 5


def test_approved_delete_recipe_deletes_after_the_approval(
    recipe: Recipe, vectorize: LocalVectorize, tmp_path: Path
) -> None:
    if not can_approve():
        pytest.skip("dag.test() runs approvals on Airflow 3.3 and newer only")
    create_index()
    write(tmp_path / "a.ndjson", 5)
    VectorizeHook().load("docs", str(tmp_path / "a.ndjson"), operation="upsert")
    ids = ["doc-1", "doc-2"]
    airflow = recipe("approved_delete")

    with answer("Reject") as shown:
        rejected = airflow.run("approved_delete", {"ids": ids})

    assert shown == {"subject": "Delete 2 vectors from the index docs?", "body": "doc-1, doc-2"}
    assert (rejected.states()["delete"], vectorize.count("docs")) == ("skipped", 5)

    with answer("Approve"):
        approved = airflow.run("approved_delete", {"ids": ids})

    assert set(approved.states().values()) == {"success"}
    assert set(vectorize.dump("docs")) == {"doc-0", "doc-3", "doc-4"}


def deadline_of(dag: Any) -> Any:
    """Return the only deadline of a DAG. Airflow 3.1 does not keep it in a list."""
    (alert,) = dag.deadline if isinstance(dag.deadline, list) else [dag.deadline]
    return alert


def test_deadline_recipe_is_due_at_six_and_ends_with_the_sensor(
    recipe: Recipe, vectorize: LocalVectorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_EMBEDDINGS", tmp_path.as_uri())
    create_index()
    write(tmp_path / "a.ndjson", 5)
    airflow = recipe("queryable_by_six")

    dag = airflow.bag.dags["queryable_by_six"]
    alert = deadline_of(dag)
    assert (dag.schedule, alert.interval) == ("0 3 * * *", timedelta(hours=3))
    assert alert.reference.reference_name == "DagRunLogicalDateDeadline"
    assert list(dag.leaves) == [dag.task_dict["wait"]]

    # dag.test() of Airflow 3.3 cannot finish a run with a deadline. test_live_events.py checks the deadline of a run.
    monkeypatch.setattr(dag, "deadline", None)
    run = airflow.run("queryable_by_six")

    assert set(run.states().values()) == {"success"}
    assert vectorize.count("docs") == 5


def test_deadline_recipe_sends_an_email_with_known_fields(recipe: Recipe) -> None:
    alert = deadline_of(recipe("queryable_by_six").bag.dags["queryable_by_six"])
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    assert alert.callback.path == f"{SmtpNotifier.__module__}.{SmtpNotifier.__qualname__}"
    inspect.signature(SmtpNotifier.__init__).bind(None, **alert.callback.kwargs)


@pytest.mark.parametrize(("expect", "state"), [("doc-3", "success"), ("doc-8", "failed")])
def test_temporary_index_recipe_deletes_its_index_also_after_a_failure(
    recipe: Recipe, vectorize: LocalVectorize, tmp_path: Path, expect: str, state: str
) -> None:
    write(tmp_path / "a.ndjson", 9)

    conf = {"source": (tmp_path / "a.ndjson").as_uri(), "ask": "doc-2", "expect": expect}
    run = recipe("temporary_index").run("temporary_index", conf)

    assert run.states() == dict.fromkeys(("create", "load", "wait", "ask", "delete"), "success") | {"compare": state}
    assert run.state == state
    assert VectorizeHook().list_indexes() == []
    assert run.xcom("create", "index_name").startswith("trial-2")


def test_every_recipe_has_a_test() -> None:
    tested = Path(__file__).read_text()
    for path in RECIPES.glob("*.py"):
        assert f'recipe("{path.stem}")' in tested, path
