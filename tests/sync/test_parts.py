"""Tests of the parts of a sync: state, log, table, columns and decisions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.sources.lines import READ_BYTES
from airflow_provider_vectorize.sync import new_keys
from airflow_provider_vectorize.sync import table as table_module
from airflow_provider_vectorize.sync.columns import load_table, read_columns, write_columns
from airflow_provider_vectorize.sync.decisions import (
    Identity,
    Sample,
    choose_basis,
    choose_deletions,
    exceeds_brake,
    is_trusted,
    look_ahead_problem,
    may_skip,
)
from airflow_provider_vectorize.sync.folder import Owner
from airflow_provider_vectorize.sync.log import Log, Record, read_pending
from airflow_provider_vectorize.sync.replay import replay
from airflow_provider_vectorize.sync.source_sample import PLACES, spread_evenly
from airflow_provider_vectorize.sync.state import (
    ColumnsFile,
    Generation,
    ObjectState,
    State,
    as_ranges,
    is_absorbed,
    read_state,
)
from airflow_provider_vectorize.sync.table import ADDED, DELETED, NO_OBJECT, SEEN, IdTable, id_key, id_keys

from .support import MemoryFolder

STATE = State(
    Generation(3, "run"), "account", "docs", "2026-01-01", 32, "cosine", "fp", "row",
    (ObjectState("s3://a", "1:x", 5), ObjectState("s3://b", None, 0)), ColumnsFile("generations/x", 5, 10, "ab"),
    absorbed={"run": ((0, 4), (6, 6))}, spent=("2-abc",), last_mutation={"mutation_id": "m"}, counts={"added": 1},
)  # fmt: skip


@pytest.fixture
def make_table() -> Iterator[Callable[[], IdTable]]:
    made: list[IdTable] = []

    def make() -> IdTable:
        made.append(IdTable())
        return made[-1]

    yield make
    for each in made:
        each.close()


def add(table: IdTable, ids: list[str], number: int = 0, flags: int = SEEN | ADDED) -> None:
    count = len(ids)
    table.add(ids, id_keys(ids), np.arange(1, count + 1, dtype=np.uint64), np.full(count, number), flags)


# ---------------------------------------------------------------- state and log


def test_state_is_read_back_as_written() -> None:
    folder = MemoryFolder()
    folder.content["current.json"] = json.dumps(STATE.to_dict()).encode()
    assert read_state(folder) == STATE
    assert read_state(MemoryFolder()) is None


def test_as_ranges_and_is_absorbed() -> None:
    assert as_ranges([3, 1, 2, 2, 7]) == ((1, 3), (7, 7))
    assert [is_absorbed({"run": ((1, 3), (7, 7))}, "run", number) for number in (0, 1, 3, 4, 7)] == [
        False, True, True, False, True,
    ]  # fmt: skip
    assert not is_absorbed({"run": ((1, 3),)}, "other", 1)


def test_log_records_carry_the_acknowledgements_so_far() -> None:
    folder = MemoryFolder()
    log = Log(folder, Owner(folder, "me"), "run-1", Generation(2, "run-0"), "2026")
    for number in range(3):
        assert log.write("upsert", ["a", "b"], [1, 2**64 - 1], ["x", "y"]) == number
        log.acknowledge(number, ["b"] if number == 1 else ())
    log.write("delete", ["c"])

    records = read_pending(folder, {}).records["run-1"]

    assert [record.acknowledged for record in records] == [[], [(0, 0)], [(0, 1)], [(0, 2)]]
    assert records[3].refused == {1: ["b"]}
    assert (records[0].hashes, records[0].objects) == ([1, 2**64 - 1], ["x", "y"])
    assert records[3].kind == "delete"
    pending = read_pending(folder, {"run-1": ((0, 2),)})
    assert [record.number for record in pending.records["run-1"]] == [3]
    assert pending.numbers == {"run-1": [0, 1, 2, 3]}


def test_damaged_record_fails() -> None:
    folder = MemoryFolder()
    folder.content["log/run-1/00000000.json.gz"] = b"nothing"
    with pytest.raises(SourceError, match="not a record of a log"):
        read_pending(folder, {})


# ---------------------------------------------------------------- table and columns


def test_table_finds_ids_of_the_state_and_added_ones(
    make_table: Callable[[], IdTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few recent keys and small merges, so that all levels of the index are used."""
    monkeypatch.setattr(new_keys, "RECENT", 10)
    monkeypatch.setattr(new_keys, "MERGED", 40)
    monkeypatch.setattr(table_module, "CHUNK", 16)
    folder, first = MemoryFolder(), make_table()
    ids = [f"id-{number}-é" for number in range(200)]
    for start in range(0, 200, 7):
        add(first, ids[start : start + 7], start % 3)
    columns = write_columns(folder, "generations/x", first, np.array([False] * 4))
    second = make_table()
    load_table(folder, columns, second, np.array([2, 1, 0, NO_OBJECT], np.int32))
    more = [f"new-{number}" for number in range(100)]
    for start in range(0, 100, 9):
        add(second, more[start : start + 9], 1)

    assert columns.ids == len(set(ids)) == second.state_ids
    for vector_id in ids + more:
        assert second.id(second.position(vector_id)) == vector_id
    assert second.position("other") == -1
    position = second.position(ids[8])
    assert int(second.objects[position]) == 2 - 7 % 3
    written = write_columns(folder, "generations/y", second, np.array([True, True, True, False]))
    batches = list(read_columns(folder, written))
    stored = [vector_id for batch in batches for vector_id in batch.column("id").to_pylist()]
    keys = [key for batch in batches for key in batch.column("key").to_pylist()]
    assert sorted(stored) == sorted(ids + more)
    assert keys == sorted(keys) == id_keys(stored).tolist()


def test_id_keys_of_any_text_are_the_keys_of_its_bytes() -> None:
    ids = ["a", "é☃", "\ud800"]
    assert id_keys(ids).tolist() == [id_key(vector_id) for vector_id in ids]
    assert id_keys(ids[:2]).tolist() == id_keys(ids).tolist()[:2]


def test_table_keeps_ids_with_equal_keys_apart(
    make_table: Callable[[], IdTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "stable_hash", lambda: len)
    folder, first = MemoryFolder(), make_table()
    add(first, ["a", "b"])
    columns = write_columns(folder, "generations/x", first, np.array([True, False]))
    second = make_table()
    load_table(folder, columns, second, np.array([0, NO_OBJECT], np.int32))
    add(second, ["c"])
    add(second, ["d"])
    assert len({second.position(vector_id) for vector_id in "abcd"}) == 4
    assert second.position("e") == -1


def test_columns_drop_deleted_ids_and_forget_objects_of_vanished_ones(
    make_table: Callable[[], IdTable],
) -> None:
    folder, table = MemoryFolder(), make_table()
    add(table, ["seen"], 0)
    add(table, ["vanished"], 0, 0)
    add(table, ["skipped"], 1, 0)
    add(table, ["deleted"], 0, DELETED)
    add(table, ["back"], 0, DELETED | SEEN)

    columns = write_columns(folder, "x", table, np.array([False, True, False]))

    rows = [row for batch in read_columns(folder, columns) for row in batch.to_pylist()]
    assert {row["id"]: row["object"] for row in rows} == {"seen": 0, "vanished": None, "skipped": 1, "back": 0}


def test_columns_can_be_queried_with_pandas_style_readers(make_table: Callable[[], IdTable], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    folder, table = MemoryFolder(), make_table()
    add(table, ["a", "b"])
    write_columns(folder, "x", table, np.array([True, False]))
    (tmp_path / "x.parquet").write_bytes(folder.content["x"])
    assert sorted(parquet.read_table(tmp_path / "x.parquet").column("id").to_pylist()) == ["a", "b"]


# ---------------------------------------------------------------- replay


def record(number: int, kind: Any, ids: list[str], **values: Any) -> Record:
    hashes = [] if kind == "delete" else [50 + number] * len(ids)
    objects = [] if kind == "delete" else ["x"] * len(ids)
    return Record("run", number, kind, None, "2026", ids, hashes, objects, **values)


def test_replay_counts_acknowledged_records_and_keeps_all_others_as_unknown(
    make_table: Callable[[], IdTable],
) -> None:
    table = make_table()
    add(table, ["a", "b", "c", "d", "e"], 1, 0)
    records = [
        record(0, "upsert", ["a", "b", "new"]),
        record(1, "delete", ["c"]),
        record(2, "upsert", ["b", "refused"]),
        record(3, "delete", ["d"], acknowledged=[(0, 2)], refused={2: ["refused"]}),
    ]

    opened = replay(table, {"run": records}, {"x": 0}, trusted=True)

    hashes = {table.id(position): int(table.hashes[position]) for position in range(len(table))}
    assert hashes == {"a": 50, "b": 52, "c": 0, "d": 0, "e": 5, "new": 50, "refused": 0}
    assert [table.id(position) for position in range(len(table)) if table.flags[position] & DELETED] == ["c"]
    assert opened == {0, 1}


def test_replay_of_untrusted_records_makes_all_ids_unknown(make_table: Callable[[], IdTable]) -> None:
    table = make_table()
    add(table, ["a", "b"], 1, 0)
    records = [record(0, "upsert", ["a", "new"]), record(1, "delete", ["b"], acknowledged=[(0, 0)])]

    replay(table, {"run": records}, {}, trusted=False)

    assert [int(content) for content in table.hashes] == [0, 0, 0]
    assert not any(table.flags & DELETED)


# ---------------------------------------------------------------- decisions


def test_is_trusted_only_for_one_run_on_this_generation_and_incarnation() -> None:
    records = {"run": [record(0, "upsert", ["a"])]}
    assert is_trusted(records, None, "2026", "")
    assert not is_trusted(records, Generation(1, "x"), "2026", "")
    assert not is_trusted(records, None, "2025", "")
    assert not is_trusted({**records, "other": records["run"]}, None, "2026", "")
    assert not is_trusted(records, None, "2026", "other parameters")


def test_choose_basis() -> None:
    same = Identity("account", "docs", "2026-01-01", "fp", "row", 1)
    assert choose_basis(STATE, same, True, "s3://x") == "state"
    assert choose_basis(None, same, True, "s3://x") == "baseline"
    assert choose_basis(None, same, False, "s3://x") == "first"
    recreated = Identity("account", "docs", "2026-02-02", "fp", "row", 1)
    assert choose_basis(STATE, recreated, True, "s3://x") == "baseline"
    other = Identity("other", "docs", "2026-01-01", "fp", "row", 1)
    with pytest.raises(ConfigError, match="of account other"):
        choose_basis(STATE, other, True, "s3://x")


@pytest.mark.parametrize(
    ("stored", "version", "skipped"),
    [("5:abc", "5:abc", True), ("5:abc", "5:abd", False), (None, "5:abc", False), ("5:", "5:", False)],
)
def test_may_skip_needs_a_revision(stored: str | None, version: str, skipped: bool) -> None:
    assert may_skip(stored, version) is skipped


@pytest.mark.parametrize(
    ("approved", "others", "max_deletes", "obstacles", "deleted", "withheld"),
    [
        (0, 20, 0.0, [], 20, 0),
        (0, 21, 0.1, [], 0, 21),
        (0, 21, 0.21, [], 21, 0),
        (0, 30, 29, [], 0, 30),
        (50, 5, 0.1, [], 55, 0),
        (50, 30, 0.1, [], 50, 30),
        (50, 5, 1.0, ["why"], 0, 55),
    ],
)
def test_choose_deletions(
    approved: int, others: int, max_deletes: float, obstacles: list[str], deleted: int, withheld: int
) -> None:
    decision = choose_deletions(
        wanted=True, approved=approved, others=others, known=100, max_deletes=max_deletes, obstacles=obstacles
    )
    assert approved * decision.delete_approved + others * decision.delete_others == deleted
    assert decision.withheld == withheld
    assert bool(decision.reason) == bool(withheld)


@pytest.mark.parametrize("percent", range(101))
def test_exceeds_brake_exact_share_passes(percent: int) -> None:
    """0.29 * 100 is less than 29 in floating-point numbers."""
    assert not exceeds_brake(1_000 * percent, 100_000, percent / 100)
    assert exceeds_brake(1_000 * percent + 21, 100_000, percent / 100)


@pytest.mark.parametrize(
    ("sample", "opened", "problem"),
    [
        (Sample(100, 51, 0.51), 1_000, "about 510 of 1,000 known vectors changed (51%)"),
        (Sample(100, 49, 0.49), 1_000, ""),
        (Sample(100, 100, 1.0), 400, ""),
        (Sample(19, 19, 1.0), 1_000, ""),
        (Sample(50, 0, 0.0, [0.1] * 20), 1_000, "20 of 20 sampled vectors are not similar"),
        (Sample(50, 0, 0.0, [0.999] * 20), 1_000, ""),
    ],
)
def test_look_ahead_problem(sample: Sample, opened: int, problem: str) -> None:
    found = look_ahead_problem(sample, opened, 1_000)
    assert found.startswith(problem)
    assert bool(found) == bool(problem)


@pytest.mark.parametrize(
    ("sizes", "places"),
    [
        ([100], [(0, 0)]),
        ([100, 100, 0], [(0, 0), (0, 0), (1, 0)]),
        ([0, 0], [(0, 0), (1, 0)]),
        ([3 * READ_BYTES], [(0, 0), (0, READ_BYTES), (0, 2 * READ_BYTES)]),
        ([10, 2 * READ_BYTES - 20, 10], [(0, 0), (1, 2 * READ_BYTES // 3 - 10), (1, 4 * READ_BYTES // 3 - 10)]),
    ],
)
def test_spread_evenly(sizes: list[int], places: list[tuple[int, int]]) -> None:
    assert spread_evenly(sizes) == places
    assert len(spread_evenly([100 * READ_BYTES] * 9)) == PLACES


def test_columns_are_written_and_read_without_importing_pandas() -> None:
    """pyarrow imports pandas, if it is installed, when it looks at arrays of NumPy. That takes a second."""
    program = """
import sys
import numpy as np
from airflow_provider_vectorize.sync.columns import load_table, write_columns
from airflow_provider_vectorize.sync.table import SEEN, IdTable, id_keys
from tests.sync.support import MemoryFolder
folder = MemoryFolder()
objects = np.array([-1, -1])
for night in range(2):
    table = IdTable()
    if night:
        load_table(folder, columns, table, objects)
    ids = [f"{night}-{number}" for number in range(9)]
    table.add(ids, id_keys(ids), np.arange(9, dtype=np.uint64), np.zeros(9, np.int32), SEEN * night)
    columns = write_columns(folder, "x", table, objects > 0)
assert columns.ids == 18
assert "pyarrow" in sys.modules and "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
