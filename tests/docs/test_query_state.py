"""docs/query-state.md: its queries, its Python and the command give the same answers about the state of a sync."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_provider_vectorize import state as state_command
from airflow_provider_vectorize import storage
from airflow_provider_vectorize.errors import SyncError
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.support import Row, make_rows
from tests.sync.actors import Killed
from tests.sync.support import SyncedIndex

pytestmark = pytest.mark.airflow
PAGE = (Path(__file__).parents[2] / "docs" / "query-state.md").read_text()
#: The state has vectors that left the source, and vectors whose content in the index is not known.
VANISHED, UNKNOWN = range(25, 50), range(47, 50)
#: What its last commit changed.
ADDED, DELETED, CHANGED = [100], range(70, 100), [0, 1, *UNKNOWN]


def rows(*numbers: int, seed: int = 0) -> list[Row]:
    every = make_rows(101, seed=seed)
    return [every[number] | {"id": f"page-{number}"} for number in numbers]


def ids(numbers: Any) -> list[str]:
    return sorted(f"page-{number}" for number in numbers)


@pytest.fixture
def folder(local_vectorize: LocalVectorize, tmp_path: Path) -> Path:
    """Return a state whose last commit added, changed and deleted vectors, and left some that it does not know."""
    (tmp_path / "source").mkdir()
    docs = SyncedIndex(local_vectorize, tmp_path / "source")
    docs.create()
    stored: Any = storage.StoredFolder(str(tmp_path / "state"), None)
    docs.write("a.ndjson", rows(*range(50)))
    docs.write("b.ndjson", rows(*range(50, 100)))
    docs.sync(folder=stored)

    docs.write("b.ndjson", rows(*range(50, 70)))
    with pytest.raises(SyncError) as withheld:
        docs.sync(folder=stored, delete_vanished=True)

    docs.write("a.ndjson", rows(*range(47)) + rows(*UNKNOWN, seed=1))
    with pytest.raises(Killed):
        docs.sync(folder=stored, probe=kill_before_the_answer)

    docs.write("a.ndjson", rows(0, 1, seed=1) + rows(*range(2, 25), 100))
    with pytest.raises(SyncError, match="Withheld 25 deletions"):
        docs.sync(folder=stored, delete_vanished=True, approve=withheld.value.plan)
    return tmp_path / "state"


def kill_before_the_answer(event: str) -> None:
    if event.startswith("before acknowledgement"):
        raise Killed


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"^ *```{language}\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL))


def test_query_state_page_answers_questions_with_duckdb(folder: Path) -> None:
    connection = duckdb.connect()
    answers = []
    for statement in blocks("sql").replace("/data/vectorize-state/docs", str(folder)).split(";"):
        if statement.strip():
            answer = connection.execute(statement).fetchall()
            answers += [answer] if statement.strip().startswith("SELECT") else []
    by_object, vanished, unknown, of_a_vector, changes = answers

    assert [(Path(uri).name, count) for uri, count in by_object] == [("a.ndjson", 26), ("b.ndjson", 20)]
    assert [vector_id for (vector_id,) in vanished] == ids(VANISHED)
    assert [vector_id for (vector_id,) in unknown] == ids(UNKNOWN)
    assert [Path(uri).name for (uri,) in of_a_vector] == ["a.ndjson"]
    kinds = {"added": ADDED, "deleted": DELETED, "changed": CHANGED}
    assert sorted(changes) == sorted((vector_id, kind) for kind in kinds for vector_id in ids(kinds[kind]))


def test_query_state_page_answers_questions_with_pandas(folder: Path) -> None:
    names: dict[str, Any] = {}
    exec(blocks("python").replace("/data/vectorize-state/docs", str(folder)), names)

    by_object = {Path(uri).name: count for uri, count in names["vectors_by_object"].items()}
    assert by_object == {"a.ndjson": 26, "b.ndjson": 20}
    assert names["vanished"] == ids(VANISHED)
    assert names["unknown"] == ids(UNKNOWN)


def test_query_state_page_answers_questions_with_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def lines(*arguments: str) -> list[str]:
        capsys.readouterr()
        assert state_command.main([*arguments, str(folder)]) == 0
        return sorted(capsys.readouterr().out.splitlines())

    assert lines("ids", "--vanished") == ids(VANISHED)
    assert lines("ids", "--unknown") == ids(UNKNOWN)
    signs = {"+": ADDED, "-": DELETED, "~": CHANGED}
    assert lines("diff") == sorted(f"{sign} {vector_id}" for sign in signs for vector_id in ids(signs[sign]))
