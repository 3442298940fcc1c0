"""Tests of ``VectorizeHook.check`` with local files: receipts, checks files, states, golden queries and reports."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.checks import reads
from airflow_provider_vectorize.checks.gates import Gates
from airflow_provider_vectorize.errors import CheckError, ConfigError, SourceError
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.checks.support import corpus, other_model
from tests.support import create_index, ndjson


@pytest.fixture
def hook(
    local_vectorize: LocalVectorize, connect: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Return a hook with an index, whose checks do not pause."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    monkeypatch.setattr(reads, "READ_SECONDS", 0.0)
    create_index(local_vectorize)
    connect()
    (tmp_path / "a.ndjson").write_bytes(ndjson(corpus(120)))
    return VectorizeHook()


@pytest.fixture
def source(tmp_path: Path) -> str:
    return str(tmp_path / "a.ndjson")


def statuses(result: dict[str, Any]) -> dict[str, str]:
    return {name: gate["status"] for name, gate in result["gates"].items()}


def test_hook_check_collected_load_passes_all_gates(
    hook: Any, source: str, tmp_path: Path, local_vectorize: LocalVectorize
) -> None:
    rows = corpus(120)
    golden = tmp_path / "golden" / "queries.ndjson"
    golden.parent.mkdir()
    golden.write_bytes(ndjson([{"vector": row["values"], "expect": [row["id"]]} for row in rows[:5]]))
    receipt = hook.load("books", source, collect_checks=str(tmp_path / "checks" / "books.json"))
    local_vectorize.clear_requests()

    result = hook.check("books", receipt=receipt, queries=str(golden), report_path=str(tmp_path / "report.html"))

    assert set(statuses(result).values()) == {"passed"}
    assert result["passed"] is True
    assert result["requests"] == len(local_vectorize.requests())
    assert json.loads(json.dumps(result)) == result
    assert "All 9 gates passed" in (tmp_path / "report.html").read_text()
    assert receipt["checks_path"] == f"file://{tmp_path}/checks/books.json"


def test_hook_check_failed_gates_raise_once_with_all_figures(hook: Any, source: str, tmp_path: Path) -> None:
    receipt = hook.load("books", source, collect_checks=str(tmp_path / "checks" / "books.json"))
    hook.upsert("books", ndjson(other_model(corpus(120)[:60])))
    report = tmp_path / "report.html"

    with pytest.raises(CheckError) as caught:
        hook.check("books", receipt=receipt, report_path=str(report))

    message, result = str(caught.value), caught.value.result
    assert result is not None
    assert {name for name, status in statuses(dict(result)).items() if status == "failed"} == {
        "content", "self_retrieval", "recall",
    }  # fmt: skip
    for words in ("3 of 7 gates", "content: 60 of 120", "self retrieval:", "recall:", f"file://{report}"):
        assert words in message
    assert "3 of 7 gates failed" in report.read_text()
    assert not caught.value.permanent


def test_hook_check_state_of_a_sync_is_read_back(
    hook: Any, source: str, tmp_path: Path, local_vectorize: LocalVectorize
) -> None:
    state = str(tmp_path / "state")
    result = hook.sync("books", source, state, collect_checks=str(tmp_path / "checks.json"))
    assert set(statuses(hook.check("books", receipt=result, state=state)).values()) == {"passed", "skipped"}
    assert statuses(hook.check("books", receipt=result, state=state))["recall"] == "passed"

    night = hook.sync("books", source, state, collect_checks=str(tmp_path / "checks.json"))
    checked = hook.check("books", receipt=night, state=state)
    assert checked["gates"]["recall"]["status"] == "skipped"
    assert "1 objects were not opened" in checked["gates"]["recall"]["text"]
    assert checked["gates"]["content"]["text"].startswith("0 of 120 sampled vectors differ")

    hook.upsert("books", ndjson(other_model(corpus(120)[:3])))
    hook.delete_by_ids("books", ["v7"])
    with pytest.raises(CheckError, match=r"count: 119 vectors.*presence: 1 of 120.*content: 3 of 119"):
        hook.check("books", state=state, gates=Gates(min_self_retrieval=None))


def test_hook_check_several_receipts_of_shards(hook: Any, tmp_path: Path) -> None:
    receipts = []
    for number, rows in enumerate((corpus(60, seed=1), corpus(60, seed=2, first=100))):
        (tmp_path / f"{number}.ndjson").write_bytes(ndjson(rows))
        checks = str(tmp_path / f"checks-{number}.json")
        receipts.append(hook.load("books", str(tmp_path / f"{number}.ndjson"), collect_checks=checks))
    result = hook.check("books", receipt=receipts)
    assert result["gates"]["count"]["value"] == 120
    assert result["gates"]["presence"]["text"].startswith("0 of 120")
    assert result["gates"]["recall"]["text"] == "each of several loads saw only its own rows"


def test_hook_check_count_alone_is_enough(hook: Any, source: str) -> None:
    hook.load("books", source)
    assert hook.check("books", gates=Gates(count=120))["vector_count"] == 120
    with pytest.raises(CheckError, match="count: 120 vectors, at least 190 expected"):
        hook.check("books", gates=Gates(count=200, count_tolerance=0.05))


def test_hook_check_nothing_expected_raises_without_a_request(hook: Any, local_vectorize: LocalVectorize) -> None:
    local_vectorize.clear_requests()
    with pytest.raises(ConfigError, match="Nothing says what the index should hold"):
        hook.check("books")
    assert local_vectorize.requests() == []


@pytest.mark.parametrize("receipt", ["text", 7, [], [{}], {"mutation_id": "a"}])
def test_hook_check_wrong_receipt_raises(hook: Any, receipt: Any) -> None:
    with pytest.raises(ConfigError, match="receipt must be what a load or a sync returned"):
        hook.check("books", receipt=receipt)


def test_hook_check_receipt_of_another_index_raises(hook: Any, source: str) -> None:
    receipt = hook.load("books", source)
    with pytest.raises(ConfigError, match='belongs to index "books", but index "films"'):
        hook.check("films", receipt=receipt)


def test_hook_check_damaged_or_missing_files_raise(hook: Any, source: str, tmp_path: Path) -> None:
    checks = tmp_path / "checks.json"
    receipt = hook.load("books", source, collect_checks=str(checks))
    content = checks.read_bytes()
    checks.write_bytes(content[:-10])
    with pytest.raises(SourceError, match=r"checks.json cannot be read: it is damaged"):
        hook.check("books", receipt=receipt)
    checks.unlink()
    with pytest.raises(SourceError, match="of the load does not exist"):
        hook.check("books", receipt=receipt)
    checks.write_bytes(content.replace(b'"index_name":"books"', b'"index_name":"films"'))
    with pytest.raises(SourceError, match='belongs to another load, of index "films"'):
        hook.check("books", receipt=receipt)
    with pytest.raises(SourceError, match="do not exist, or are empty"):
        hook.check("books", queries=str(tmp_path / "gone.ndjson"))
    with pytest.raises(SourceError, match="has no state of a sync"):
        hook.check("books", state=str(tmp_path / "no-state"))


def test_hook_check_golden_queries_may_be_compressed(hook: Any, source: str, tmp_path: Path) -> None:
    queries = [{"vector": row["values"], "expect": [row["id"]], "k": 1} for row in corpus(120)[:3]]
    path = tmp_path / "queries.ndjson.gz"
    path.write_bytes(gzip.compress(ndjson(queries)))
    receipt = hook.load("books", source)

    result = hook.check("books", receipt=receipt, queries=str(path))

    assert result["gates"]["golden_recall"]["value"] == 1.0
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceError, match=r"queries\.ndjson\.gz is truncated"):
        hook.check("books", receipt=receipt, queries=str(path))
    (tmp_path / "queries.ndjson").write_bytes(gzip.compress(ndjson(queries)))
    with pytest.raises(SourceError, match=r"is compressed with gzip, but its name does not end in \.gz"):
        hook.check("books", receipt=receipt, queries=str(tmp_path / "queries.ndjson"))


def test_hook_check_report_never_replaces_another_file(hook: Any, source: str, tmp_path: Path) -> None:
    receipt = hook.load("books", source)
    with pytest.raises(ConfigError, match=r"a.ndjson exists, and it is not a report"):
        hook.check("books", receipt=receipt, report_path=source)
    for _ in range(2):
        hook.check("books", receipt=receipt, report_path=str(tmp_path / "report.html"))


def test_hook_load_checks_file_never_replaces_another_file(
    hook: Any, source: str, tmp_path: Path, local_vectorize: LocalVectorize
) -> None:
    (tmp_path / "other.json").write_text('{"a": 1}')
    local_vectorize.clear_requests()
    for path, message in (
        (tmp_path / "other.json", "it is not a checks file"),
        (Path(source), "it is not a checks file"),
        (tmp_path / "b.ndjson", "matches the pattern of the source"),
    ):
        with pytest.raises(ConfigError, match=message):
            hook.load("books", str(tmp_path / "*.ndjson"), collect_checks=str(path))
    with pytest.raises(ConfigError, match="collect_checks needs validation='full'"):
        hook.load("books", source, collect_checks=str(tmp_path / "c.json"), validation="light")
    assert local_vectorize.requests("upsert") == []


def test_hook_check_stopped_raises(hook: Any, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_vectorize.errors import VectorizeError

    receipt = hook.load("books", source)
    wait = reads.Reads.wait
    monkeypatch.setattr(reads.Reads, "wait", lambda self: (hook.stop(), wait(self)))
    with pytest.raises(VectorizeError, match="The check was stopped"):
        hook.check("books", receipt=receipt)
