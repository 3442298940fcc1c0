"""The Python of the documentation pages runs, and their DAGs run on a real Airflow."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize import provider_info
from airflow_provider_vectorize.checks import reads
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow, Run

pytestmark = pytest.mark.airflow
DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    *(DOCS / f"{name}.md" for name in ("connection", "hook", "sensor", "errors", "nightly-sync")),
    *sorted((DOCS / "operators").glob("*.md")),
]
DIMENSIONS = 768
Row = dict[str, Any]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


SCRIPTS = [page for page in PAGES if any("DAG(" not in block for block in python_blocks(page))]
DAGS = {name: block for page in PAGES for block in python_blocks(page) for name in re.findall(r'dag_id="(\w+)"', block)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder that replaces ``file:///data/`` of the pages."""
    other_values = [0.5] * (DIMENSIONS - 1)
    rows = [{"id": f"page-{n}", "values": [n, *other_values], "metadata": {"year": 2020 + n}} for n in range(9)]
    (tmp_path / "embeddings.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "more.ndjson").write_text(json.dumps(rows[0] | {"id": "more"}) + "\nnonsense\n")
    (tmp_path / "orphans.txt").write_text("page-7\npage-8\n")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "pages.ndjson").write_text((tmp_path / "embeddings.ndjson").read_text())
    return tmp_path


@pytest.fixture
def docs_index(local_vectorize: LocalVectorize, data: Path, monkeypatch: pytest.MonkeyPatch) -> LocalVectorize:
    """Point the default connection to a loaded index "docs" with a metadata index on the year."""
    connection = local_vectorize.connection
    connection["extra"] |= {"retry_seconds": 0}
    monkeypatch.setenv("AIRFLOW_CONN_VECTORIZE_DEFAULT", json.dumps(connection))
    hook = VectorizeHook()
    hook.create_index("docs", dimensions=DIMENSIONS, metric="cosine")
    hook.create_metadata_index("docs", "year", "number")
    hook.list_metadata_indexes("docs")  # a read makes the metadata index visible before the vectors are written
    hook.upsert("docs", (data / "embeddings.ndjson").read_bytes())
    return local_vectorize


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a check read again at once."""
    monkeypatch.setattr(reads, "READ_SECONDS", 0.0)


@pytest.fixture(scope="session")
def database() -> None:
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def run(database: None, data: Path, docs_index: LocalVectorize) -> Iterator[Callable[..., Run]]:
    """Return a function that runs a DAG of the pages."""
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]) / "docs"
    folder.mkdir(exist_ok=True)

    def run(dag_id: str, conf: dict[str, Any] | None = None) -> Run:
        (folder / f"{dag_id}.py").write_text(DAGS[dag_id].replace("file:///data/", f"{data.as_uri()}/"))
        return Airflow(folder).run(dag_id, conf)

    yield run
    for file in folder.glob("*.py"):
        file.unlink()


@pytest.mark.parametrize("dag_id", DAGS)
def test_dag_of_a_page_runs_unchanged(run: Callable[[str], Run], dag_id: str) -> None:
    if "retry_policy(" in DAGS[dag_id] and not hasattr(pytest.importorskip("airflow.sdk"), "RetryRule"):
        pytest.skip("retry policies came with Airflow 3.3")
    finished = run(dag_id)
    assert finished.state == "success", finished.states()
    assert set(finished.states().values()) == {"success"}


def test_dags_of_the_pages_have_the_documented_results(run: Callable[[str], Run], docs_index: LocalVectorize) -> None:
    assert run("upsert").xcom("load")["rejected"] == 1
    assert docs_index.count("docs") == 10
    assert [vector["id"] for vector in run("get_vectors").xcom("get")] == ["page-1", "page-2"]
    assert run("ask").xcom("nearest")["count"] == 3
    assert run("create_indexes").xcom("by_shape")["created"] is False


def test_delete_vectors_page_deletes_all_vectors_of_the_source(
    run: Callable[[str], Run], docs_index: LocalVectorize
) -> None:
    assert run("delete_vectors").xcom("what_was_loaded")["vectors"] == 9
    assert docs_index.count("docs") == 0


@pytest.mark.parametrize("page", SCRIPTS, ids=lambda page: page.stem)
def test_python_of_a_page_runs_unchanged(
    page: Path, docs_index: LocalVectorize, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    for block in python_blocks(page):
        if "DAG(" not in block:
            exec(compile(block, str(page), "exec"), names)
    output = capsys.readouterr().out
    expected = {"connection": "Connected. The account has 1 index: docs", "hook": "\nb 0.85", "errors": "404 3000"}
    assert expected[page.stem] in output


def test_hook_page_deletes_the_orphaned_vectors(docs_index: LocalVectorize) -> None:
    names: dict[str, Any] = {}
    for block in python_blocks(DOCS / "hook.md"):
        exec(block, names)
    assert list(docs_index.dump("notes")) == ["a"]


def test_every_operator_has_a_page() -> None:
    listed = set(re.findall(r"\[(Vectorize\w+Operator)\]", (DOCS / "operators" / "README.md").read_text()))
    titles = {path.read_text().split("\n")[0].removeprefix("# ") for path in (DOCS / "operators").glob("[a-z]*.md")}
    sources = Path(provider_info.__file__).parent.joinpath("operators").glob("*.py")
    classes = {name for path in sources for name in re.findall(r"class (Vectorize\w+)\(", path.read_text())}
    assert listed == titles == classes


@pytest.mark.parametrize("page", sorted((DOCS / "operators").glob("[a-z]*.md")), ids=lambda page: page.stem)
def test_operator_page_lists_exactly_the_parameters_of_the_class(page: Path) -> None:
    text = page.read_text()
    name = text.split("\n")[0].removeprefix("# ")
    module = re.search(rf"from (airflow_provider_vectorize\.operators\.\w+) import .*\b{name}\b", text)
    assert module
    cls = getattr(importlib.import_module(module[1]), name)
    rows = [row.split("|")[1:4] for row in text.split("\n") if row.startswith("| `")]
    listed = {
        name: templated.strip() == "yes" for names, _, templated in rows for name in re.findall(r"`(\w+)`", names)
    }
    if page.stem != "insert":  # its page refers to that of upsert
        own = set(inspect.signature(cls.__init__).parameters) - {"self", "kwargs", "vectorize_conn_id"}
        assert set(listed) == own
        assert {name for name, templated in listed.items() if templated} == set(cls.template_fields) & own


def rows_after(text: str, header: str) -> set[str]:
    """Return the names in the first column of the table with this header."""
    table = text.partition(header)[2].partition("\n\n")[0]
    return {name for row in table.splitlines()[1:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_events_page_lists_parameters_payload_and_attributes() -> None:
    from airflow_provider_vectorize.events import IndexEvent
    from airflow_provider_vectorize.triggers.changes import begin
    from airflow_provider_vectorize.triggers.index import VectorizeIndexChangedTrigger
    from airflow_provider_vectorize.triggers.view import IndexState

    page = (DOCS / "events.md").read_text()
    parameters = set(inspect.signature(VectorizeIndexChangedTrigger.__init__).parameters) - {"self"}
    payload = VectorizeIndexChangedTrigger("docs")._payload(begin(IndexState(exists=False)), quiet=True)
    assert rows_after(page, "| parameter | meaning |\n") == parameters
    assert rows_after(page, "| key of the payload | value |\n") == set(payload)
    assert rows_after(page, "| attribute | event of a task | event of a watcher |\n") == set(
        IndexEvent.__dataclass_fields__
    )


def test_connection_page_lists_every_field_of_the_form() -> None:
    page = (DOCS / "connection.md").read_text()
    for name, field in provider_info.CONN_FIELDS.items():
        label = field["label"].split(" (")[0]
        assert f"| {label} | `{name}` (extra) |" in page
