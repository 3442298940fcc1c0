"""Test what a sync logs: its plan before it sends anything, its progress, and one summary at the end."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_provider_vectorize.errors import SyncError
from airflow_provider_vectorize.load import progress_reporter
from airflow_provider_vectorize.sync import deletes, forecast
from airflow_provider_vectorize.sync.decisions import Sample
from airflow_provider_vectorize.sync.result import SyncResult
from tests.support import client_of, make_rows, ndjson

from .support import SyncedIndex

#: What a dry run cannot know, because it sends nothing.
UNKNOWN_TO_A_DRY_RUN = {
    "mutation_id", "mutation_ids", "accepted_at", "sent_after", "samples", "sealed", "generation", "plan", "dry_run",
    "operation", "dead_letter_path",
}  # fmt: skip


class Messages:
    """The messages of a run, and how many of them there were before the first event of each kind."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        caplog.clear()
        self._caplog = caplog
        self._counts: dict[str, int] = {}

    def probe(self, event: str) -> None:
        self._counts.setdefault(event.partition("/")[0], len(self._caplog.messages))

    def before(self, event: str) -> str:
        return "\n".join(self._caplog.messages[: self._counts[event]])

    @property
    def text(self) -> str:
        return "\n".join(self._caplog.messages)


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> Messages:
    return Messages(caplog)


@pytest.fixture
def changed_night(books: SyncedIndex, caplog: pytest.LogCaptureFixture) -> SyncedIndex:
    """Return an index after its first night, with 2 added, 3 changed and 5 removed rows in one of two objects."""
    books.write("a.ndjson", make_rows(40))
    books.write("b.ndjson", make_rows(20, first=40))
    books.sync()
    books.write("a.ndjson", [*make_rows(3, seed=1), *make_rows(40)[3:35], *make_rows(2, first=90)])
    caplog.clear()
    return books


def test_sync_logs_its_plan_before_the_first_request_and_its_deletions_before_they_start(
    changed_night: SyncedIndex, messages: Messages
) -> None:
    deletes_began: list[str] = []

    def probe(event: str) -> None:
        messages.probe(event)
        if event == "before send" and "Deleting" in messages.text:
            deletes_began.append(event)

    changed_night.sync(delete_vanished=True, probe=probe)

    plan = messages.before("before send")
    assert re.search(r"Read generation 1 of the state in \S+, committed [\d-]+ [\d:]+ UTC: 60 known vectors\.", plan)
    assert re.search(
        r"Opening 1 of 2 objects \(\d+ KB as stored\)\. The others are the same as in the last run\.", plan
    )
    assert "Sampled 37 rows: 3 of 35 known vectors changed. Expecting to send about 3 of 60 known vectors again" in plan
    assert "Deleting" not in plan
    assert "Deleting 5 vectors that left the source, in 1 request." in messages.text
    assert deletes_began == ["before send"]


def test_sync_summary_has_all_counts(changed_night: SyncedIndex, messages: Messages) -> None:
    result = changed_night.sync(delete_vanished=True)

    (summary,) = re.findall(r"^Synced .*", messages.text, re.MULTILINE)
    assert re.sub(r"in [\d.]+ s|\(\d+ KB\)", "…", summary) == (
        'Synced index "books" …: 2 added, 3 changed, 52 unchanged, 5 left the source, 5 deleted, 0 withheld. Sent 5 '
        "vectors and 5 deletions in 2 requests …. Read 37 rows, skipped 1 object. Last mutation: "
        f"{result['mutation_id']}."
    )


def test_first_sync_logs_the_estimated_rows_and_requests(books: SyncedIndex, messages: Messages) -> None:
    books.write("a.ndjson", make_rows(100))

    books.sync(probe=messages.probe)

    plan = messages.before("before send")
    assert "This is the first sync." in plan
    assert "Sending every row: about 100 rows in about 10 requests." in plan


def test_first_sync_of_compressed_objects_does_not_guess_the_number_of_rows(
    books: SyncedIndex, messages: Messages
) -> None:
    books.write("a.ndjson.gz", make_rows(100))

    books.sync()

    assert "Sending every row.\n" in messages.text


def test_unchanged_night_logs_that_nothing_is_opened_or_sent(books: SyncedIndex, messages: Messages) -> None:
    books.write("a.ndjson", make_rows(9))
    books.sync()
    books.sync()

    assert "Opening nothing: the object is the same as in the last run." in messages.text
    assert "9 unchanged, 0 left the source, 0 deleted, 0 withheld. Sent nothing. Read 0 rows" in messages.text


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"reconcile": True}, "Every row is sent again, because reconcile is on."),
        ({"changed_by": "metadata.page"}, "because changed_by was row and is metadata.page now."),
        ({"parameters": {"namespace": "en"}}, "Every object is opened, because fields or another parameter"),
    ],
)
def test_sync_logs_why_unchanged_objects_are_opened(
    books: SyncedIndex, messages: Messages, options: dict[str, Any], reason: str
) -> None:
    books.write("a.ndjson", make_rows(9, metadata={"page": 1}))
    books.sync()
    assert "because" not in messages.text

    books.sync(**options)

    assert reason in messages.text


@pytest.mark.parametrize("dry_run", [False, True])
def test_sync_progress_counts_rows_so_far(
    books: SyncedIndex, messages: Messages, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    books.write("a.ndjson", make_rows(40))
    books.sync()
    books.write("a.ndjson", [*make_rows(3, seed=1), *make_rows(37)[3:]])
    books.write("b.ndjson", make_rows(4, first=90))
    monkeypatch.setattr(progress_reporter, "PROGRESS_SECONDS", 0.0)

    books.sync(dry_run=dry_run)

    lines = re.findall(
        r"^Read (\d+) rows: (\d+) added, (\d+) changed, (\d+) unchanged so far\. Uploaded .*", messages.text, re.M
    )
    assert lines
    counts = [tuple(map(int, line)) for line in lines]
    assert counts == sorted(counts)
    assert all(rows == added + changed + unchanged for rows, added, changed, unchanged in counts)


def test_sync_progress_share_is_that_of_the_opened_objects(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(40))
    books.write("b.ndjson", make_rows(40, first=40))
    books.sync()
    books.write("a.ndjson", make_rows(39))
    shares: list[float | None] = []

    books.run(observer=lambda progress: shares.append(progress.share)).run()

    assert shares == [1.0]


def test_sync_logs_the_progress_of_deletions(
    books: SyncedIndex, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.write("a.ndjson", make_rows(30))
    books.sync()
    books.write("a.ndjson", make_rows(15))
    monkeypatch.setattr(deletes, "PROGRESS_SECONDS", 0.0)

    books.sync(delete_vanished=True)

    assert re.findall(r"^Deleted .*?%\)", messages.text, re.MULTILINE) == [
        f"Deleted {count} of 15 vectors that left the source ({share}%)"
        for count, share in ((5, 33), (10, 67), (15, 100))
    ]


def test_sync_says_that_vectors_are_kept_without_delete_vanished(books: SyncedIndex, messages: Messages) -> None:
    books.write("a.ndjson", make_rows(30))
    books.sync()
    books.write("a.ndjson", make_rows(25))

    books.sync()

    assert "Kept 5 vectors that left the source, because delete_vanished is off." in messages.text


BAD = [{"id": "v3", "values": [1.0]}, {"id": "v99", "values": [2.0, 3.0]}]


@pytest.mark.parametrize("dry_run", [False, True])
def test_sync_summarizes_rejected_rows_as_a_load_does(books: SyncedIndex, messages: Messages, dry_run: bool) -> None:
    books.write("a.ndjson", [*make_rows(3), *BAD])

    result = books.sync(dead_letters=True, dry_run=dry_run)

    assert sum(result["rejected_by_reason"].values()) == result["rejected"] == 2
    assert re.search(r"^Rejected 2 rows: .*dimensions: \d.*\. They are written to file://", messages.text, re.MULTILINE)
    assert "2 bad rows" in messages.text
    assert books.target.path.exists() is not dry_run


@pytest.mark.parametrize("case", ["first", "changed", "unchanged", "bad rows", "brake", "baseline"])
def test_dry_run_returns_and_logs_the_counts_of_the_real_run(books: SyncedIndex, messages: Messages, case: str) -> None:
    options: dict[str, Any] = {"delete_vanished": True}
    if case != "first":
        books.write("a.ndjson", make_rows(60))
        books.sync()
    rows = make_rows(60)
    match case:
        case "changed":
            rows = [*make_rows(13, seed=1), *rows[13:53], *make_rows(4, first=90)]
        case "bad rows":
            rows, options["dead_letters"] = [*rows[:59], *BAD], True
        case "brake":
            rows = rows[:30]
        case "baseline":
            with books.client() as client:
                client.delete_index(books.name)
            books.create()
            rows = rows[:50]
    if case != "unchanged":
        books.write("a.ndjson", rows)
    before = books.dump(), dict(books.folder.content)

    dry = books.sync(dry_run=True, **options)
    assert (books.dump(), books.folder.content) == before
    if case == "brake":
        with pytest.raises(SyncError) as caught:
            books.sync(**options)
        real = dict(caught.value.result or {})
    else:
        real = books.sync(**options)

    assert {key: real[key] for key in real if key not in UNKNOWN_TO_A_DRY_RUN} == {
        key: dry[key] for key in dry if key not in UNKNOWN_TO_A_DRY_RUN
    }
    counts = SyncResult.from_dict(dry).describe()
    assert messages.text.count(f": {counts}.") == 2
    assert dry["plan"] is None
    if case == "brake":
        assert "A real run would fail after it has withheld" in messages.text


def test_estimates_name_the_minutes_that_the_request_budget_costs(books: SyncedIndex, messages: Messages) -> None:
    with client_of(books.local, reserve=0.2) as client:
        assert forecast.requests_and_time(96_000, 100, client) == "960 requests"
        assert forecast.requests_and_time(2_000_000, 100, client) == (
            "20,000 requests (about 1 h 44 min: the budget is 960 requests in 5 minutes)"
        )
        forecast.log_estimate(Sample(0, 0, 0.0, rows=200, total_rows=20_012_345), 0, 0, 0, client)
    assert "Sending every row: about 20,000,000 rows in about 4" in messages.text


def test_withheld_deletions_that_cannot_be_approved_say_what_happens_next(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(30))
    books.sync()
    books.write("a.ndjson", ndjson(make_rows(25)) + b'{"values": []}\n')

    with pytest.raises(SyncError, match="The next run without this problem deletes them, as far as"):
        books.sync(delete_vanished=True, dead_letters=True)


def test_dry_run_does_not_wait_for_a_write_that_another_writer_hides(books: SyncedIndex, messages: Messages) -> None:
    """Only a marker could prove that the last write is visible, and a dry run sends nothing."""
    books.write("a.ndjson", make_rows(9))
    books.sync()
    books.local.foreign_mutation("books", times=3)

    books.sync(dry_run=True)

    assert "Skipped the audit" in messages.text
    assert messages.text.count("Waiting before the audit") < 5
