"""Test runs that die, run twice at once, or meet requests without an answer."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.errors import SyncError, SyncTakenOverError
from airflow_provider_vectorize.rows import row_processes
from airflow_provider_vectorize.sources import compression
from airflow_provider_vectorize.sync import new_keys
from tests.support import expected_dump, make_rows, ndjson

from .actors import Actor, Killed, kill_at
from .support import PausingFolder, SyncedIndex

FIRST = make_rows(24)
SECOND = [*make_rows(4, seed=1), *FIRST[4:19], *make_rows(3, first=100)]


def recorded_events(books: SyncedIndex, **options: Any) -> list[str]:
    """Return everything that a run does that others can see."""
    events: list[str] = []
    books.sync(probe=events.append, **options)
    return events


def killer(number: int) -> Callable[[str], None]:
    """Return a probe that kills the run at an event, and at every later one of its threads."""
    count = 0

    def probe(event: str) -> None:
        nonlocal count
        count += 1
        if count > number:
            raise Killed(event)

    return probe


def paused_run(books: SyncedIndex, event: str) -> Actor:
    """Return a run that pauses at an event."""
    load = {"max_in_flight": 1}
    actor = Actor(lambda probe: books.run(folder=PausingFolder(books.folder, probe), probe=probe, load=load).run)
    while actor.event != event:
        actor.step()
    return actor


def test_run_killed_at_any_step_is_finished_by_the_next_one(books: SyncedIndex) -> None:
    """A kill before and after every write, request, acknowledgement and deletion, in the second night of a sync."""
    number = 0
    while True:
        books.local.reset()
        books.create()
        books.folder.content.clear()
        books.write("a.ndjson", FIRST)
        books.sync()
        books.write("a.ndjson", SECOND)
        try:
            books.sync(delete_vanished=True, probe=killer(number), load={"max_in_flight": 1})
        except Killed:
            pass
        else:
            break
        books.sync(delete_vanished=True)
        assert books.dump() == expected_dump(SECOND), number
        assert not list(books.folder.list("log/")), number
        assert books.counts(delete_vanished=True) == {"unchanged": 22}, number
        number += 1
    assert number > 20


def test_acknowledged_requests_of_a_dead_run_are_not_sent_again(books: SyncedIndex) -> None:
    """The last record that the dead run wrote says that the four before it were acknowledged."""
    books.write("a.ndjson", make_rows(60))

    def probe(event: str) -> None:
        if event.startswith("after write log/") and event.endswith("/00000004.json.gz"):
            raise Killed(event)

    with pytest.raises(Killed):
        books.sync(probe=probe, load={"max_in_flight": 1})
    assert sum(request.vectors for request in books.written()) == 40

    result = books.sync()

    assert sum(request.vectors for request in books.written()) == 20
    assert result["mutation_id"]
    assert books.dump() == expected_dump(make_rows(60))


def test_row_that_returns_after_a_dead_run_has_deleted_its_vector_is_sent(books: SyncedIndex) -> None:
    books.write("a.ndjson", FIRST)
    books.sync()
    books.write("a.ndjson", FIRST[:12])
    with pytest.raises(Killed):
        books.sync(delete_vanished=True, probe=kill_at("/00000002.json.gz"))
    assert len(books.dump()) == 14
    books.write("a.ndjson", FIRST)

    books.sync(delete_vanished=True)

    assert books.dump() == expected_dump(FIRST)
    assert books.counts(delete_vanished=True) == {"unchanged": 24}


def test_object_that_is_restored_after_a_dead_run_has_sent_its_rows_is_opened(books: SyncedIndex) -> None:
    """Its version is that of the committed state, so only the log tells that the index has other rows."""
    restored, rest = make_rows(10), make_rows(20, first=10)
    books.write("a.ndjson", restored)
    books.write("b.ndjson", rest[:1])
    books.sync()
    before = (books.path / "a.ndjson").stat()
    books.write("a.ndjson", [row | {"metadata": {"changed": True}} for row in restored])
    books.write("b.ndjson", rest)
    with pytest.raises(Killed):
        books.sync(probe=kill_at("after write log/", 3), load={"max_in_flight": 1})
    books.write("a.ndjson", restored)
    os.utime(books.path / "a.ndjson", ns=(before.st_atime_ns, before.st_mtime_ns))

    books.sync()

    assert books.dump() == expected_dump([*restored, *rest])


def test_run_after_two_commits_that_were_killed_sends_nothing_again(books: SyncedIndex) -> None:
    """The second one was killed before it removed the log of the first one."""
    books.write("a.ndjson", FIRST)
    with pytest.raises(Killed):
        books.sync(probe=kill_at("before delete log/"))
    books.write("a.ndjson", SECOND)
    with pytest.raises(Killed):
        books.sync(delete_vanished=True, probe=kill_at("after write current.json"))
    books.written()

    result = books.sync(delete_vanished=True)

    assert books.written() == []
    assert (result["unchanged"], result["unknown"]) == (22, 0)
    assert not list(books.folder.list("log/"))


def test_run_that_is_taken_over_stops_before_its_next_request(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(40))
    first = Actor(lambda probe: books.run(probe=probe, load={"max_in_flight": 1}).run)
    while not first.event.startswith("after acknowledgement"):
        first.step()
    newer = make_rows(40, seed=1)
    books.write("a.ndjson", newer)
    books.sync()
    books.written()

    while not first.done:
        first.step()

    assert isinstance(first.error, SyncTakenOverError)
    assert first.error.permanent
    assert "Another run took over" in str(first.error)
    assert books.written() == []
    assert books.dump() == expected_dump(newer)
    assert books.counts() == {"unchanged": 40}


def test_two_runs_at_once_commit_once(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(5))
    books.sync()
    books.write("a.ndjson", make_rows(9))
    first = Actor(lambda probe: books.run(probe=probe).run)
    while first.event != "before write current.json":
        first.step()
    books.sync()

    first.step()

    assert isinstance(first.error, SyncTakenOverError)
    assert books.folder.state.generation.number == 2
    assert books.counts() == {"unchanged": 9}


def test_run_that_reads_the_state_during_a_commit_reads_it_again(books: SyncedIndex) -> None:
    """The second run reads the state before the commit of the first, and the logs after it, when they are gone."""
    books.write("a.ndjson", FIRST)
    books.sync()
    books.write("a.ndjson", SECOND)
    first = paused_run(books, "during write current.json")
    books.write("a.ndjson", FIRST)
    second = paused_run(books, "before list log/")
    while not first.done:
        first.step()

    while not second.done:
        second.step()

    assert second.error is None
    assert books.dump() == expected_dump([*FIRST, *SECOND[-3:]])
    assert books.folder.state.generation.number == 3


def test_log_of_a_run_on_an_older_generation_stays_and_counts(books: SyncedIndex) -> None:
    """The second run starts while the commit of the first is on its way, sends new rows, and dies."""
    books.write("a.ndjson", FIRST)
    books.sync()
    books.write("a.ndjson", SECOND)
    first = paused_run(books, "during write current.json")
    books.write("a.ndjson", [*make_rows(3, first=200), *SECOND])
    second = paused_run(books, "before acknowledgement 0")
    while not first.done:
        first.step()
    second.kill()
    books.write("a.ndjson", SECOND)

    books.sync(delete_vanished=True)

    assert first.error is None
    assert books.dump() == expected_dump(SECOND)


def test_sync_with_unanswered_requests_ends_with_the_source(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(30))
    books.local.fail("cut_during_answer", operation="upsert", times=3)

    books.sync()

    assert books.dump() == expected_dump(make_rows(30))


def test_log_names_ids_before_they_are_sent(books: SyncedIndex) -> None:
    books.write("a.ndjson", ndjson(make_rows(7)))
    events = recorded_events(books)
    assert events[:2] == ["before write owner.json", "after write owner.json"]
    steps = [event.partition("/")[0] for event in events[2:7]]
    assert steps == ["before write log", "after write log", "before send", "before acknowledgement 0",
                     "after acknowledgement 0"]  # fmt: skip
    assert events.index("after write current.json") < next(
        number for number, event in enumerate(events) if event.startswith("before delete log/")
    )


def test_run_keeps_its_temporary_files_without_names(
    books: SyncedIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed at any step then leaves nothing in the temporary directory."""
    temporary, found = tmp_path / "temporary", set[str]()
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(new_keys, "RECENT", 10)
    books.write("a.ndjson", make_rows(60))
    books.sync()
    books.write("a.ndjson", [*make_rows(30), *make_rows(30, first=100)])

    with pytest.raises(SyncError, match="Withheld"):
        books.sync(delete_vanished=True, probe=lambda event: found.update(os.listdir(temporary)))

    assert not found


def test_run_starts_other_processes_once(
    books: SyncedIndex, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(row_processes, "ALONE_BYTES", 1)
    monkeypatch.setattr(compression, "MIN_OPEN_FILE_BYTES", 1)
    books.write("a.ndjson", FIRST)
    with caplog.at_level(logging.INFO):
        books.sync(load={"processes": 2})
        books.write("a.ndjson", SECOND)
        caplog.clear()
        books.sync(load={"processes": 2})
    assert caplog.text.count("processes prepare rows") == 1
