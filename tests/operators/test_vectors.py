"""Tests of the operators that delete or fetch vectors by ID."""

from __future__ import annotations

import gzip
import json
import logging
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize import errors, storage
from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.load import deletion
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator, VectorizeGetVectorsOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor
from tests.api.conftest import ndjson, numbered_vectors, values, vector
from tests.operators.conftest import Run, fails
from tests.support import NO_WAIT

Write = Callable[[str, str], str]


@pytest.fixture
def shelf(books: VectorizeHook, local_vectorize: LocalVectorize) -> LocalVectorize:
    """Write 250 vectors, v0 to v249."""
    books.upsert("books", ndjson(*numbered_vectors(250)))
    local_vectorize.clear_requests()
    return local_vectorize


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return str(path)

    return write


def delete(run: Run, **parameters: Any) -> Any:
    return run(VectorizeDeleteVectorsOperator, index_name="books", **parameters)


# ---------------------------------------------------------------- delete


def test_delete_of_a_list_sends_100_ids_per_request(run: Run, shelf: LocalVectorize) -> None:
    receipt = delete(run, ids=[f"v{n}" for n in range(240)] + ["not-there"])
    assert shelf.count("books") == 10
    sent = [request.mutation_id for request in shelf.requests("delete_by_ids")]
    assert receipt == {
        "operation": "delete",
        "index_name": "books",
        "mutation_id": sent[-1],
        "mutation_ids": sent,
        "vectors": 241,
        "batches": 3,
        "accepted_at": receipt["accepted_at"],
        "sent_after": receipt["sent_after"],
        "samples": [{"id": f"v{n}", "digest": "", "new": True} for n in (221, 222, 223)],
        "sealed": True,
        "created_on": receipt["created_on"],
        "existing_of_first": {"ids": 20, "existing": 20},
    }
    assert receipt["accepted_at"].endswith("+00:00")
    assert receipt["sent_after"] <= receipt["accepted_at"]
    assert json.loads(json.dumps(receipt)) == receipt


def test_delete_of_id_file_accepts_all_line_ends(run: Run, shelf: LocalVectorize, write: Write) -> None:
    text = "\ufeffv0\r\n\n  v1 \nv2\n\u2028odd\nv3"
    assert delete(run, source=write("ids.txt", text), source_lines_are="ids")["vectors"] == 5
    assert shelf.count("books") == 246


def test_delete_of_a_load_source_deletes_its_vectors(run: Run, shelf: LocalVectorize, write: Write) -> None:
    parts = [
        write("a.ndjson", ndjson(*list(numbered_vectors(250))[:150]).decode()),
        write("b.ndjson.gz", '{"values": [], "metadata": {"id": "v1"}, "id": "v150"}\n{"id":"v151","values":null}'),
    ]
    receipt = delete(run, source=parts, source_lines_are="vectors")
    assert (receipt["vectors"], receipt["batches"]) == (152, 2)
    assert sorted(shelf.dump("books")) == sorted(f"v{n}" for n in range(152, 250))


def test_delete_of_a_glob_reads_all_matching_objects(
    run: Run, shelf: LocalVectorize, write: Write, tmp_path: Path
) -> None:
    write("1.txt", "v1\n")
    write("2.txt", "v2\n")
    assert delete(run, source=f"{tmp_path}/*.txt", source_lines_are="ids")["vectors"] == 2


@pytest.mark.parametrize("ids", [[], ()])
def test_delete_of_empty_list_succeeds_and_sends_nothing(run: Run, shelf: LocalVectorize, ids: Any) -> None:
    receipt = delete(run, ids=ids)
    assert (receipt["vectors"], receipt["mutation_id"], receipt["accepted_at"]) == (0, None, None)
    assert shelf.requests() == []


def test_delete_of_empty_id_file_succeeds(run: Run, shelf: LocalVectorize, write: Write) -> None:
    assert delete(run, source=write("ids.txt", "\n\n"), source_lines_are="ids")["vectors"] == 0


@pytest.mark.parametrize(
    ("text", "lines_are", "message"),
    [
        ("v0\n" + "x" * 65 + "\n", "ids", "65 bytes, and an ID has 1 to 64"),
        ('{"id": "v0"}\n\n{"values": []}\n', "vectors", "Object missing required field `id`"),
        ('{"id": "v0"}\nv1\n', "vectors", "not a valid JSON vector"),
        ('{"id": 7}\n', "vectors", "Expected `str`"),
        ('{"id": ""}\n', "vectors", "0 bytes"),
        ('{"id": "\\ud800"}\n', "vectors", "not a valid JSON vector"),
    ],
)
def test_delete_of_a_line_without_id_fails_and_names_the_line(
    run: Run, shelf: LocalVectorize, write: Write, text: str, lines_are: str, message: str
) -> None:
    source = write("source", text)
    with fails(errors.BadRowError, match="holds no ID") as caught:
        delete(run, source=source, source_lines_are=lines_are)
    assert message in str(caught.value)
    assert caught.value.uri.endswith("/source")
    lines = text.encode().split(b"\n")
    assert len(lines[caught.value.line - 1]) > 0
    assert caught.value.offset == sum(len(line) + 1 for line in lines[: caught.value.line - 1])
    assert "Nothing was acknowledged before." in str(caught.value)


NOT_BARE_IDS: list[tuple[bytes, int, str]] = [
    (b'"v0"\n"v1"\n', 1, "it begins with a quote"),
    ("“v0”\n".encode(), 1, "it begins with a quote"),
    (b"v0\n'v1'\n", 2, "it begins with a quote"),
    (b'["v0", "v1"]\n', 1, "it begins with a bracket"),
    (b'[\n  "v0",\n  "v1"\n]\n', 1, "it begins with a bracket"),
    (b'v0\n{"id": "v1"}\n', 2, "set source_lines_are='vectors'"),
    (b"v0,v1,v2\n", 1, "it contains a comma"),
    (b"v0\nv1,\n", 2, "it contains a comma"),
    (b"v0,the title\n", 1, "it contains a comma"),
    (b"v0;the title\n", 1, "it contains a semicolon"),
    (b"v0\tthe title\n", 1, "it contains a tab"),
    (b"id\nv0\n", 1, "it is the heading of a column"),
    (b"\n\nVector_ID\r\nv0\r\n", 3, "it is the heading of a column"),
    (b"v0\rv1\rv2\r", 1, "it contains a carriage return"),
    (b"v0\rv1" * 400_000, 1, "it contains a carriage return"),
    ("v0\nv1\n".encode("utf-16"), 1, "UTF-16"),
    ("v0\nv1\n".encode("utf-16-le"), 1, "UTF-16"),
    ("v0\nv1\n".encode("utf-16-be"), 1, "UTF-16"),
    ("v0\n".encode("utf-32"), 1, "UTF-16 or UTF-32"),
    ("漢\n漢".encode("utf-16"), 1, "UTF-16"),
    (b"v0\nv\x001\n", 2, "binary"),
    (b"v0\n\xef\xbb\xbfv1\n", 2, "byte order mark"),
    (b"v0\nv1\x1a\n", 2, "a control character"),
    (b"v\xff0\n", 1, "not UTF-8, at byte 1 of the line"),
]


@pytest.mark.parametrize(("content", "line", "message"), NOT_BARE_IDS, ids=[repr(one[0][:20]) for one in NOT_BARE_IDS])
def test_delete_of_lines_that_are_not_bare_ids_deletes_nothing(
    run: Run, shelf: LocalVectorize, tmp_path: Path, content: bytes, line: int, message: str
) -> None:
    (tmp_path / "ids.txt").write_bytes(content)
    with fails(errors.BadRowError, match=rf"^Line {line} of .*ids\.txt \(byte \d+\) holds no ID: ") as caught:
        delete(run, source=str(tmp_path / "ids.txt"), source_lines_are="ids")
    assert message in str(caught.value)
    assert shelf.count("books") == 250
    assert shelf.requests("delete_by_ids") == []


ODD_IDS = [
    "a b",
    "ä/ö",
    "it's",
    '5"',
    "x=1&y=2",
    "a|b",
    "#1",
    "(id)",
    "https://example.com/?a=b",
    "id",
    "-",
    "漢字",
    "a\\b",
]


def test_delete_of_bare_ids_with_unusual_characters_succeeds(run: Run, books: VectorizeHook, write: Write) -> None:
    books.upsert("books", [vector(vector_id, 1) for vector_id in [*ODD_IDS, "kept"]])
    receipt = delete(run, source=write("ids.txt", "v0\n" + "\n".join(ODD_IDS)), source_lines_are="ids")
    assert receipt["existing_of_first"] == {"ids": len(ODD_IDS) + 1, "existing": len(ODD_IDS)}
    assert [*books.list_vectors("books")] == ["kept"]


def test_delete_of_ids_in_json_accepts_every_character(run: Run, books: VectorizeHook, write: Write) -> None:
    ids = ['"quoted"', "a,b", "a;b", "tab\t", "[1]", "\r", "\u0000"]
    books.upsert("books", [vector(vector_id, 1) for vector_id in [*ids, "kept"]])
    text = "\n".join(json.dumps({"id": vector_id}) for vector_id in ids)
    assert delete(run, source=write("ids.ndjson", text), source_lines_are="vectors")["vectors"] == len(ids)
    assert [*books.list_vectors("books")] == ["kept"]


@pytest.mark.parametrize("separator", [" ", "  ", "|", " | "])
def test_delete_of_lines_with_a_second_column_fails_after_a_lookup(
    run: Run, shelf: LocalVectorize, write: Write, separator: str
) -> None:
    source = write("ids.txt", "".join(f"v{n}{separator}A title\n" for n in range(30)))
    with fails(errors.ConfigError, match=r"second column: none of the first 20 exists in index \"books\", but for 20"):
        delete(run, source=source, source_lines_are="ids")
    assert shelf.count("books") == 250


def test_delete_of_missing_ids_counts_them_and_warns(
    run: Run, shelf: LocalVectorize, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    receipt = delete(run, ids=[f"V{n} x" for n in range(30)])
    assert receipt["existing_of_first"] == {"ids": 20, "existing": 0}
    (warning,) = _warnings(caplog)
    assert warning.getMessage().startswith('None of the first 20 IDs exists in index "books". ')
    text = capsys.readouterr().out + caplog.text  # Airflow 3's tasks log to standard output
    assert 'acknowledged the deletion of 30 IDs from index "books" in 1 request (last mutation ' in text
    assert "Of the first 20 IDs, 0 existed." in text
    assert "IDs deleted" not in text

    caplog.clear()
    assert delete(run, ids=["v0", "V0", "v0"])["existing_of_first"] == {"ids": 2, "existing": 1}
    assert not _warnings(caplog)


def _warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return all warnings except the one that Airflow 2 logs when a test executes a task."""
    found = [one for one in caplog.records if one.levelname == "WARNING"]
    return [one for one in found if "cannot be called outside" not in one.getMessage()]


def test_delete_of_a_line_that_is_not_utf_8_names_the_line(run: Run, shelf: LocalVectorize, tmp_path: Path) -> None:
    (tmp_path / "ids").write_bytes(b"v0\nv\xff\n")
    with fails(errors.BadRowError, match=r"Line 2 of .* not UTF-8, at byte 1 of the line"):
        delete(run, source=str(tmp_path / "ids"), source_lines_are="ids")


def test_delete_after_a_failure_reports_progress_and_its_retry_succeeds(run: Run, shelf: LocalVectorize) -> None:
    ids = [f"v{n}" for n in range(250)]
    shelf.fail("http_500", operation="delete_by_ids", after=1)
    with fails(errors.ServerError, match="Acknowledged before: 100 IDs in 1 request"):
        delete(run, ids=ids, limits=NO_WAIT)
    assert shelf.count("books") == 150
    assert delete(run, ids=ids)["vectors"] == 250
    assert shelf.count("books") == 0


def test_delete_receipt_keeps_only_the_last_mutation_ids(
    run: Run, shelf: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "MUTATION_IDS", 2)
    receipt = delete(run, ids=[f"v{n}" for n in range(250)])
    assert receipt["batches"] == 3
    assert receipt["mutation_ids"] == [request.mutation_id for request in shelf.requests("delete_by_ids")][-2:]
    assert receipt["mutation_ids"][-1] == receipt["mutation_id"]


def test_read_ids_of_a_large_source_uses_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    with path.open("w") as file:
        file.writelines(f"{'x' * 50}{n}\n" for n in range(150_000))  # 8 MB
    tracemalloc.start()
    try:
        count = sum(1 for _ in deletion.read_ids(storage.find(str(path)), "ids", LIMITS))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 150_000
    assert peak < 6 << 20


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"ids": ["a"], "source": "ids.txt"},
        {"source": "ids.txt"},
        {"source": "ids.txt", "source_lines_are": "rows"},
        {"ids": "abc"},
        {"ids": [1, 2]},
    ],
)
def test_delete_with_wrong_parameters_sends_nothing(
    run: Run, shelf: LocalVectorize, parameters: dict[str, Any]
) -> None:
    with fails(errors.ConfigError):
        delete(run, **parameters)
    assert shelf.requests() == []


def test_delete_of_missing_source_names_it(run: Run, shelf: LocalVectorize, tmp_path: Path) -> None:
    with fails(errors.SourceError, match="There is no object"):
        delete(run, source=str(tmp_path / "nothing"), source_lines_are="ids")


def test_read_ids_of_a_source_that_changes_fails(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("a\nb\n")
    ids = deletion.read_ids(storage.find(str(path)), "ids")
    assert next(ids) == "a"
    path.write_text("a\nb\nc\n")
    with fails(errors.SourceError, match="changed while it was read"):
        list(ids)


def test_delete_after_on_kill_sends_no_more_requests(run: Run, shelf: LocalVectorize) -> None:
    task = VectorizeDeleteVectorsOperator(task_id="task", index_name="books", ids=["v0"] * 101)

    class StopsAtSecondRequest(list[str]):
        def __iter__(self) -> Any:
            yield from ["v0"] * 200  # a request is sent when the ids of the next one were read
            task.on_kill()
            yield "v1"

    task._ids = StopsAtSecondRequest  # type: ignore[method-assign]
    with fails(errors.VectorizeError, match=r"stopped. Acknowledged before: 100 IDs"):
        task.execute({})  # type: ignore[arg-type]
    assert len(shelf.requests("delete_by_ids")) == 1


def test_sensor_waits_for_the_deletion(run: Run, shelf: LocalVectorize) -> None:
    shelf.hold()
    receipt = delete(run, ids=[f"v{n}" for n in range(150)])
    sensor = VectorizeMutationSensor(task_id="wait", mutation=receipt)
    assert not sensor.poke({})
    shelf.process()
    assert sensor.poke({})


# ---------------------------------------------------------------- get


def test_get_vectors_returns_them_in_the_order_of_the_ids(run: Run, books: VectorizeHook) -> None:
    books.upsert("books", [vector("a", 1, metadata={"k": 1}), vector("b", 2, namespace="n"), *numbered_vectors(30)])
    found = run(VectorizeGetVectorsOperator, index_name="books", ids=["b", "a", "b"])
    assert found == [
        {"id": "b", "values": values(2), "namespace": "n"},
        {"id": "a", "values": values(1), "metadata": {"k": 1}},
    ]
    ids = [f"v{n}" for n in reversed(range(30))]
    assert [one["id"] for one in run(VectorizeGetVectorsOperator, index_name="books", ids=ids)] == ids


def test_get_vectors_with_missing_ids_fails_or_skips_them(run: Run, shelf: LocalVectorize) -> None:
    ids = ["v1", "gone", *(f"gone-{n}" for n in range(12))]
    with fails(errors.VectorsNotFoundError, match="13 of 14 IDs do not exist in index") as caught:
        run(VectorizeGetVectorsOperator, index_name="books", ids=ids)
    assert caught.value.ids == tuple(ids[1:])
    assert caught.value.index_name == "books"
    found = run(VectorizeGetVectorsOperator, index_name="books", ids=ids, if_missing="skip")
    assert [one["id"] for one in found] == ["v1"]


def test_get_vectors_with_wrong_parameters_sends_nothing(run: Run, shelf: LocalVectorize) -> None:
    for parameters in ({"ids": ["v1"], "if_missing": "ignore"}, {"ids": "v1"}, {"ids": [1]}):
        with fails(errors.ConfigError):
            run(VectorizeGetVectorsOperator, index_name="books", **parameters)
    assert shelf.requests() == []


def test_delete_renders_templates_of_ids_and_source(run: Run, shelf: LocalVectorize, write: Write) -> None:
    context = {"id": "v1", "path": write("ids.txt", "v2\n")}
    delete(run, context=context, ids=["{{ id }}"])
    delete(run, context=context, source="{{ path }}", source_lines_are="ids")
    assert set(shelf.dump("books")) == {f"v{n}" for n in range(250)} - {"v1", "v2"}
