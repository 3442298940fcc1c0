"""Each message that docs/sync-runbook.md quotes is caused here, and its steps are followed until the sync is green."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.sync import plans
from tests.support import create_index, expected_dump, make_rows

from .actors import Actor, Killed, kill_at
from .incident import SCENARIOS, Incident, resolves
from .support import MemoryFolder, SyncedIndex

PAGE = Path(__file__).parents[2] / "docs" / "sync-runbook.md"
#: The quoted messages by the heading of their section.
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"^> `(.*)`$", section, re.MULTILINE)
    for section in PAGE.read_text().split("\n## ")[1:]
}
ROWS = make_rows(100)


@resolves("The brake held")
def brake_held(incident: Incident) -> None:
    incident.night(ROWS)
    with incident.fails():
        incident.night(ROWS[:60], delete_vanished=True)
    incident.resolved(ROWS[:60], delete_vanished=True, approve=incident.plan)


@resolves("The brake held")
def brake_held_by_an_incomplete_source(incident: Incident) -> None:
    incident.night(ROWS)
    with incident.fails():
        incident.night(ROWS[:60], delete_vanished=True)
    incident.books.write("a.ndjson", ROWS)
    incident.resolved(ROWS, delete_vanished=True)


@resolves("The source could not be read completely")
def damaged_sources(incident: Incident) -> None:
    incident.night(ROWS)
    sources = {"a.ndjson": b"", "b.ndjson.gz": b"\x1f\x8b\x08\x00 not gzip"}
    for name, content in sources.items():
        incident.books.write(name, content)
    with incident.fails():  # An object that cannot be read
        incident.books.sync(delete_vanished=True)
    incident.books.remove("b.ndjson.gz")
    with incident.fails():  # No rows
        incident.books.sync(delete_vanished=True)
    with incident.fails():
        incident.books.sync()
    incident.books.write("a.ndjson", incident.books.ndjson(ROWS[:90]) + b"garbage\n")
    with incident.fails():  # A row without an ID
        incident.books.sync(delete_vanished=True, dead_letters=True)
    incident.books.write("a.ndjson", ROWS[:95])
    incident.resolved(ROWS[:95], delete_vanished=True)


@resolves("The state is lost")
def state_lost(incident: Incident) -> None:
    incident.night(ROWS)
    incident.books.folder.content.clear()
    incident.night(ROWS[:90], report_foreign=True)
    foreign = list(plans.read_ids(incident.books.folder, "foreign-1.ids.gz"))
    assert sorted(foreign) == sorted(str(row["id"]) for row in ROWS[90:])
    with incident.books.client() as client:
        client.delete_by_ids("books", foreign)
    incident.resolved(ROWS[:90], delete_vanished=True)


@resolves("The state is lost")
def wrong_folder_for_a_night(incident: Incident) -> None:
    incident.night(ROWS)
    incident.night(make_rows(100, seed=1)[:30] + ROWS[30:], folder=MemoryFolder())
    incident.night(ROWS, reconcile=True)
    incident.resolved(ROWS)


@resolves("The state is lost")
def state_restored_from_a_backup(incident: Incident) -> None:
    incident.night(ROWS)
    backup = dict(incident.books.folder.content)
    incident.night(make_rows(100, seed=1)[:30] + ROWS[30:])
    incident.books.folder.content = backup
    incident.books.write("a.ndjson", ROWS[:90])
    incident.books.sync(delete_vanished=True, reconcile=True)
    incident.resolved(ROWS[:90], delete_vanished=True)


@resolves("The state is damaged")
def current_json_damaged(incident: Incident) -> None:
    incident.night(ROWS)
    incident.night(ROWS[:95])
    content = incident.books.folder.content
    content["current.json"] = content["current.json"][:99]
    with incident.fails():
        incident.books.sync()
    newest = max(name for name in content if name.startswith("generations/") and name.endswith(".json"))
    content["current.json"] = content[newest]
    incident.resolved(ROWS[:95], delete_vanished=True)


@resolves("The folder belongs to another sync")
def folder_of_another_sync(incident: Incident) -> None:
    incident.night(ROWS)
    create_index(incident.local, "films")
    films = SyncedIndex(incident.local, incident.books.path, "films")
    with incident.fails():
        films.sync(folder=incident.books.folder)
    films.sync(folder=MemoryFolder())
    assert films.dump() == expected_dump(ROWS)


@resolves("The index was created again")
def index_created_again(incident: Incident) -> None:
    incident.night(ROWS)
    recreate(incident.local)
    incident.books.write("a.ndjson", ROWS[:90])
    incident.resolved(ROWS[:90], delete_vanished=True)


@resolves("The index was created again")
def index_created_again_before_a_run_that_did_not_finish(incident: Incident) -> None:
    incident.night(ROWS)
    recreate(incident.local)
    with pytest.raises(Killed):
        incident.books.sync(probe=kill_at("before write current.json"))
    with incident.fails():
        incident.night(ROWS[:90], delete_vanished=True)
    assert "this is the first run on this index, so it is not known what the index holds" in incident.errors[-1]
    incident.resolved(ROWS[:90], delete_vanished=True)


@resolves("The index was created again")
def index_created_again_during_a_run(incident: Incident) -> None:
    incident.books.write("a.ndjson", ROWS)
    with incident.fails():
        incident.books.sync(
            probe=lambda event: recreate(incident.local) if event == "before write current.json" else None
        )
    incident.resolved(ROWS)


def recreate(local: LocalVectorize) -> None:
    """Delete the index, and create it again."""
    local.reset()
    create_index(local)
    local.set_budget("100000/300")


@resolves("The embedder changed")
def embedder_changed(incident: Incident) -> None:
    incident.night(ROWS)
    changed = make_rows(100, seed=1)
    with incident.fails():
        incident.night(changed)
    incident.resolved(changed, approve=incident.plan)


@resolves("The embedder changed")
def embedder_changed_behind_a_key(incident: Incident) -> None:
    incident.night(make_rows(100, metadata={"hash": "1"}), changed_by="metadata.hash")
    changed = make_rows(100, seed=1, metadata={"hash": "1"})
    with incident.fails():
        incident.night(changed, changed_by="metadata.hash")
    incident.books.sync(changed_by="metadata.hash", approve=incident.plan, reconcile=True)
    assert incident.books.dump() == expected_dump(changed)


@resolves("The audit failed")
def audit_failed(incident: Incident) -> None:
    incident.night(make_rows(300))
    with incident.books.client() as client:
        client.delete_by_ids("books", [f"v{number}" for number in range(200)])
    with incident.fails():
        incident.books.sync(delete_vanished=True)
    assert incident.books.dump() != expected_dump(make_rows(300))
    incident.resolved(make_rows(300), reconcile=True)


@resolves("The audit was skipped")
def audit_skipped(incident: Incident) -> None:
    incident.night(ROWS)
    incident.books.write("a.ndjson", rows := [*ROWS, *make_rows(1, first=200)])
    incident.local.hold()
    incident.books.sync()
    incident.books.sync()
    incident.local.release()
    incident.resolved(rows, delete_vanished=True)


@resolves("Another run took over")
def another_run_took_over(incident: Incident) -> None:
    incident.books.write("a.ndjson", ROWS)
    run = run_until(incident.books, "before send")
    incident.books.sync()
    with incident.fails():
        finish(run)
    incident.resolved(ROWS, delete_vanished=True)


@resolves("Another run took over")
def frozen_run_commits_after_another_one_began(incident: Incident) -> None:
    books = incident.books
    books.write("a.ndjson", ROWS)
    copy = MemoryFolder()
    books.sync(folder=copy)
    run = run_until(books, "before write current.json")
    books.folder.content |= {name: content for name, content in copy.content.items() if name != "owner.json"}
    with incident.fails():
        finish(run)
    incident.resolved(ROWS, delete_vanished=True)


def run_until(books: SyncedIndex, event: str) -> Actor:
    """Start a run, and let it pause at an event."""
    run = Actor(lambda probe: books.run(probe=probe, load={"max_in_flight": 1}).run)
    while run.event != event:
        run.step()
    return run


def finish(run: Actor) -> None:
    """Let a run continue to its end, and raise its error."""
    while not run.done:
        run.step()
    if run.error:
        raise run.error


@resolves("A run did not finish")
def run_did_not_finish(incident: Incident) -> None:
    books = incident.books
    books.write("a.ndjson", ROWS)
    for unfinished in (1, 2):
        for _ in range(unfinished):
            seen: list[str] = []

            def probe(event: str, seen: list[str] = seen) -> None:
                seen.append(event)
                if event.startswith("before delete log/") or sum("write log/" in one for one in seen) > 6:
                    raise Killed(event)

            with pytest.raises(Killed):
                books.sync(probe=probe, reconcile=True, load={"max_in_flight": 1})
        incident.resolved(ROWS)


@resolves("IDs that are sent every night")
def duplicates(incident: Incident) -> None:
    twice = [*ROWS, *make_rows(1, seed=1)]
    incident.night(twice)
    incident.books.written()
    incident.night(twice)
    assert sum(request.vectors for request in incident.books.written()) == 2
    incident.books.write("a.ndjson", twice[1:])
    incident.resolved(twice[1:])


@resolves("The plan does not exist")
def unknown_plan(incident: Incident) -> None:
    incident.night(ROWS)
    with incident.fails():
        incident.night(ROWS, approve="7-abcdef")
    incident.resolved(ROWS)


def pattern(quote: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in quote.split("…")), re.DOTALL)


def test_runbook_has_an_incident_for_each_section() -> None:
    assert list(SCENARIOS) == list(SECTIONS)


@pytest.mark.parametrize("heading", SECTIONS)
def test_runbook_section_quotes_messages_of_incidents_that_its_steps_resolve(
    heading: str, local_vectorize: LocalVectorize, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    incident = Incident(local_vectorize, caplog)
    for scenario in SCENARIOS[heading]:
        incident.begin(tmp_path / scenario.__name__)
        scenario(incident)
    quotes = SECTIONS[heading]
    assert quotes
    for quote in quotes:
        assert any(pattern(quote).match(message) for message in incident.messages), incident.messages
