"""Each bad input has its documented outcome, and a bad row never causes the loss of a good one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.errors import BadRowError, ConfigError, SourceError
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.rows import row_processes, worker_process
from tests.support import create_index

from .builders import OBJECTS, V1, V2, Case
from .cases import BAD, BROKEN, CASES, FINE, WHOLE

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]


def description_of(case: Case) -> str:
    return case.description


@pytest.fixture
def load(local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Return a function that calls ``VectorizeHook.load`` on an empty index."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    connection = local_vectorize.connection
    connection["extra"] |= {"retry_seconds": 0}
    monkeypatch.setenv("AIRFLOW_CONN_VECTORIZE_DEFAULT", json.dumps(connection))
    create_index(local_vectorize)

    def run(source: Any, **options: Any) -> dict[str, Any]:
        source = [str(one) for one in source] if isinstance(source, list) else str(source)
        return VectorizeHook().load("books", source, **options)

    return run


def path_of(case: Case, folder: Path) -> Path:
    if not case.large:
        return OBJECTS / case.name
    path = folder / case.name
    path.write_bytes(case.content())
    return path


def read_dead_letters(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("operation", ["upsert", "insert"])
@pytest.mark.parametrize("case", [*FINE, *WHOLE], ids=description_of)
def test_load_of_odd_but_good_rows_succeeds(
    case: Case, operation: str, load: Callable[..., Any], local_vectorize: LocalVectorize
) -> None:
    receipt = load(OBJECTS / case.name, operation=operation)
    assert set(local_vectorize.dump("books")) == set(case.good)
    assert receipt["rejected"] == 0


@pytest.mark.parametrize("case", BAD, ids=description_of)
def test_load_with_a_bad_row_fails_and_names_it(
    case: Case, load: Callable[..., Any], local_vectorize: LocalVectorize, tmp_path: Path
) -> None:
    path = path_of(case, tmp_path)
    with pytest.raises(BadRowError) as caught:
        load(path)
    line, reason = case.bad[0]
    error = caught.value
    assert error.line == line
    assert reason in error.reason
    assert error.offset == len(b"".join(path.read_bytes().splitlines(keepends=True)[: line - 1]))
    assert str(error).startswith(f"Line {line} of {path.as_uri()} (byte {error.offset:,}) cannot be loaded: ")
    assert set(local_vectorize.dump("books")) <= set(case.good)


@pytest.mark.parametrize("case", BAD, ids=description_of)
@pytest.mark.parametrize(("validation", "processes"), [("full", 1), ("full", 2), ("light", 1), ("off", 1)])
def test_load_with_dead_letters_writes_bad_rows_and_loads_good_ones(
    case: Case,
    validation: str,
    processes: int,
    load: Callable[..., Any],
    local_vectorize: LocalVectorize,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_processes, "ALONE_BYTES", 1)  # The first block already goes to another process.
    monkeypatch.setattr(worker_process, "READY_SECONDS", 60.0)
    path = path_of(case, tmp_path)
    receipt = load(
        path,
        on_bad_row="dead_letter",
        dead_letter_path=str(tmp_path / "bad.ndjson"),
        validation=validation,
        processes=processes,
    )

    assert set(local_vectorize.dump("books")) == set(case.good)
    assert (receipt["vectors"], receipt["rejected"]) == (len(case.good), len(case.bad))
    dead_letters = read_dead_letters(tmp_path / "bad.ndjson")
    assert [(letter["object"], letter["line"]) for letter in dead_letters] == [
        (path.as_uri(), line) for line, _ in case.bad
    ]
    source = path.read_bytes()
    for letter, (_, reason) in zip(dead_letters, case.bad, strict=True):
        text = letter["row"].encode("utf-8", "surrogateescape")
        assert source[letter["offset"] :].startswith(text)
        assert len(text) == 1_000 if case.large else source[letter["offset"] + len(text) :].startswith((b"\n", b""))
        assert validation != "full" or reason in letter["reason"]


@pytest.mark.parametrize("case", BAD, ids=description_of)
def test_discard_drops_only_rows_that_are_not_json_vectors(
    case: Case,
    load: Callable[..., Any],
    local_vectorize: LocalVectorize,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = path_of(case, tmp_path)
    if case.is_vector:
        with pytest.raises(BadRowError):
            load(path, unparsable_behavior="discard")
        return
    receipt = load(path, unparsable_behavior="discard")
    assert set(local_vectorize.dump("books")) == set(case.good)
    assert receipt["rejected"] == len(case.bad)
    for line, _ in case.bad:
        assert f" (line {line} of {path.as_uri()}, dropped)" in caplog.text


@pytest.mark.parametrize("case", BROKEN, ids=description_of)
@pytest.mark.parametrize("tolerant", [False, True])
def test_load_of_a_broken_object_fails_even_with_dead_letters(
    case: Case, tolerant: bool, load: Callable[..., Any], tmp_path: Path
) -> None:
    options = {"on_bad_row": "dead_letter", "dead_letter_path": str(tmp_path / "bad.ndjson")} if tolerant else {}
    with pytest.raises(SourceError) as caught:
        load(OBJECTS / case.name, **options)
    if case.bad and not tolerant:
        assert isinstance(caught.value, BadRowError)
    else:
        assert case.error in str(caught.value)
    assert case.name in str(caught.value)


@pytest.mark.parametrize("case", BROKEN, ids=description_of)
def test_load_of_a_broken_object_among_good_ones_fails_or_is_logged(
    case: Case, load: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = tmp_path / "a.ndjson"
    good.write_bytes(V1 + b"\n")
    source = [good, OBJECTS / case.name]
    if case.error == "The source is empty":
        assert load(source)["vectors"] == 1
        assert re.search(rf"Skipped an object without rows: .*{re.escape(case.name)}", caplog.text)
    elif case.bad:
        dead_letter_file = tmp_path / "bad.ndjson"
        assert load(source, on_bad_row="dead_letter", dead_letter_path=str(dead_letter_file))["vectors"] == 1
        assert len(read_dead_letters(dead_letter_file)) == len(case.bad)
    else:
        with pytest.raises(SourceError, match=case.error):
            load(source)


# ---------------------------------------------------------------------- names without an object


def test_load_of_a_missing_object_fails(load: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"There is no object file:///.*/missing.ndjson"):
        load(tmp_path / "missing.ndjson")


def test_load_of_a_folder_fails(load: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is a folder: name the objects in it, for instance with .*/\*.ndjson"):
        load(tmp_path)


def test_load_of_a_glob_without_matches_fails(load: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"No object matches .*\*.ndjson, so there is nothing to load"):
        load(tmp_path / "*.ndjson")


@pytest.mark.parametrize("source", ["", " ", [], ["a.ndjson", ""]])
def test_load_of_an_empty_source_fails(load: Callable[..., Any], source: Any) -> None:
    with pytest.raises(ConfigError, match="The source is empty"):
        load(source)


@contextmanager
def without_root() -> Iterator[None]:
    """Switch to another user if the tests run as root, who may read every file."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_load_of_an_object_without_read_permission_fails(load: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "secret.ndjson"
    path.write_bytes(V1)
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.is_relative_to(Path(os.environ.get("TMPDIR", "/tmp"))):
            folder.chmod(folder.stat().st_mode | 0o055)
    with (
        without_root(),
        pytest.raises(
            SourceError, match=r"secret.ndjson cannot be read: permission denied. Check the storage connection"
        ),
    ):
        load(path)


def test_load_of_names_with_odd_characters_succeeds(
    load: Callable[..., Any], local_vectorize: LocalVectorize, tmp_path: Path
) -> None:
    for number, name in enumerate(["a b.ndjson", "ä.ndjson", "c#d.ndjson", "e%20f.ndjson", "[g].ndjson", "h?.ndjson"]):
        (tmp_path / name).write_bytes(V1.replace(b"v1", f"n{number}".encode()) + b"\n")
    load(tmp_path / "*.ndjson")
    assert set(local_vectorize.dump("books")) == {f"n{number}" for number in range(6)}


# ---------------------------------------------------------------------- the corpus itself


@pytest.mark.parametrize("case", CASES, ids=description_of)
def test_corpus_files_match_the_table_of_cases(case: Case) -> None:
    if case.name.endswith(".ndjson") and not case.large and not case.name.startswith(("gzip", "zst")):
        assert (OBJECTS / case.name).read_bytes() == case.content()
    else:  # The compressed bytes depend on the versions of the libraries.
        assert case.large or (OBJECTS / case.name).exists()


def test_documentation_lists_every_case() -> None:
    text = (ROOT / "docs" / "bad-rows.md").read_text()
    assert [case.description for case in CASES if case.description not in text] == []


def test_good_rows_of_the_corpus_are_loaded(load: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "good.ndjson"
    path.write_bytes(V1 + b"\n" + V2)
    assert load(path)["vectors"] == 2
