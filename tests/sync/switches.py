"""Switches for rules of a sync, to show that the model test fails without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from airflow_provider_vectorize.api import late
from airflow_provider_vectorize.load.delivery import Delivery
from airflow_provider_vectorize.rows.bad_row_ids import readable_id
from airflow_provider_vectorize.sync import audit, base, commit, decisions, folder, log, report, run, upload
from airflow_provider_vectorize.sync import replay as replay_module
from airflow_provider_vectorize.sync.comparison import Comparison, Findings
from airflow_provider_vectorize.sync.log import Log
from airflow_provider_vectorize.sync.state import read_state
from airflow_provider_vectorize.sync.table import NO_OBJECT, SEEN, IdTable, id_key
from tests.switching import Switches

SWITCHES = Switches()
without = SWITCHES.without


def _simple(name: str, text: str, target: Any, attribute: str, replacement: Any) -> None:
    SWITCHES[name] = text, lambda: [patch.object(target, attribute, replacement)]


# ---------------------------------------------------------------- obstacles and the brake


def _ignore_obstacle(words: str) -> Callable[..., list[str]]:
    original = report.obstacles
    return lambda *args: [reason for reason in original(*args) if words not in reason]


for _name, _words in {
    "unreadable_row": "the ID of",
    "unfinished_object": "could not be read",
    "empty_source": "no good rows",
    "baseline_keeps": "first run",
}.items():
    _simple(_name, f"deletes although {_words} …", report, "obstacles", _ignore_obstacle(_words))

_simple("brake", "any number of deletions passes", decisions, "exceeds_brake", lambda *args: False)


@SWITCHES.register("plan_file", "an approval releases everything that has vanished")
def _plan_file() -> list[Any]:
    original = decisions.choose_deletions

    def choose(*, approved: int, others: int, **values: Any) -> Any:
        if not approved:
            return original(approved=approved, others=others, **values)
        decision = original(approved=approved + others, others=0, **values)
        return replace(decision, delete_others=decision.delete_approved)

    return [patch.object(run, "choose_deletions", choose)]


# ---------------------------------------------------------------- objects


def _keep_objects(original: Any) -> Any:
    return lambda to, name, table, kept: original(to, name, table, np.ones_like(kept))


def _keep_clean(original: Any) -> Any:
    return lambda table, findings, refused: original(table, replace(findings, unclean=set()), refused)


_simple("gone", "an ID that was not seen keeps its object", run, "write_columns", _keep_objects(run.write_columns))
_simple("unknown_opens", "unknown IDs do not open their object", IdTable, "unknown_objects", lambda self: set())
_simple(
    "log_opens", "a log opens no object", base, "replay",
    lambda *args, **options: (replay_module.replay(*args, **options), set())[1],
)  # fmt: skip
_simple(
    "complete_only", "an object that was not read to its end has a version", Findings, "is_complete",
    lambda self, number: number not in self.unclean and number not in self.shared,
)  # fmt: skip
_simple(
    "bad_rows_open", "an object with bad rows has a version", Findings, "is_complete",
    lambda self, number: number not in self.unfinished and number not in self.shared,
)  # fmt: skip
_simple(
    "refused_opens", "an object with refused rows has a version", report, "forget_refused",
    _keep_clean(report.forget_refused),
)  # fmt: skip
_simple("parameters", "objects are skipped although the parameters changed", base, "fingerprint", lambda values: "same")


def _see(*, shared: bool = True, order: bool = True, moves: bool = True) -> Callable[..., None]:
    def see(self: Any, positions: np.ndarray, number: int) -> None:
        table = self.table
        holders = table.objects[positions]
        seen = table.flags[positions] & SEEN != 0
        held = (seen | self.skipped[holders]) & (holders != number) & (holders != NO_OBJECT)
        for holder in np.unique(holders[held]).tolist():
            if shared:
                self.findings.shared |= {holder, number}
            if order and holder > number:
                self.skipped[holder] = False
        self.findings.moved = self.findings.moved or bool(np.any(holders != number))
        if moves:
            table.objects[positions] = number
        table.flags[positions] |= SEEN

    return see


_simple("shared_objects", "objects that share an ID are skipped", Comparison, "_see", _see(shared=False, order=False))
_simple("last_object_wins", "a later object is not opened after all", Comparison, "_see", _see(order=False))
_simple("moves", "a known ID keeps its first object", Comparison, "_see", _see(moves=False))


# ---------------------------------------------------------------- rows


@SWITCHES.register("sent_last", "rows are compared with the state only, not with what was sent before")
def _sent_last() -> list[Any]:
    original = Comparison._changes

    def changes(self: Any, position: int, vector_id: str, content: int, number: int) -> bool:
        of_state = self.__dict__.setdefault("of_state", {}).setdefault(position, int(self.table.hashes[position]))
        return bool(original(self, position, vector_id, content, number) and content != of_state)

    return [patch.object(Comparison, "_changes", changes)]


def _bad_rows(*, seen: bool = True, enter: bool = False) -> Callable[..., None]:
    original = Comparison._note_bad_rows

    def note(self: Any, rows: Any) -> None:
        for bad in rows.bad if enter else ():
            vector_id = readable_id(bad.text)
            if vector_id is not None and self.table.position(vector_id) < 0:
                self.table.add(
                    [vector_id], np.array([id_key(vector_id)], np.uint64), np.zeros(1, np.uint64),
                    np.array([rows.object]), SEEN,
                )  # fmt: skip
        if seen:
            original(self, rows)
            return
        self.findings.unclean.add(rows.object)
        self._reject(rows.bad)

    return note


_simple("bad_rows_seen", "a bad row counts as vanished", Comparison, "_note_bad_rows", _bad_rows(seen=False))
_simple("bad_rows_known", "a bad row enters its ID", Comparison, "_note_bad_rows", _bad_rows(enter=True))


# ---------------------------------------------------------------- late requests


@SWITCHES.register("wait_after_death", "a run does not wait for late requests of a dead one")
def _wait_after_death() -> list[Any]:
    original = late.LateRequests.add_abandoned
    return [
        patch.object(
            late.LateRequests, "add_abandoned", lambda self, change=None: original(self, change) if change else None
        )
    ]


_simple("wait_before_commit", "a run does not wait before its commit", late.LateRequests, "settle", lambda self: None)
_simple("hold", "a batch does not wait for an unanswered one", late.LateRequests, "wait_for", lambda self, change: None)


# ---------------------------------------------------------------- the log


_simple("trust", "the logs of all runs count", base, "is_trusted", lambda *args: True)
_simple("unknown_ids", "an unanswered request leaves the hash as it was", replay_module, "_forget", lambda *args: None)
_simple("log_absorbed_only", "a commit removes all logs", commit, "clean_up", lambda to, *args: [
    to.delete(name) for name in list(to.list("log/"))
])  # fmt: skip


@SWITCHES.register("unanswered_deletes_stay", "an unanswered deletion counts")
def _unanswered_deletes_stay() -> list[Any]:
    original = replay_module.acknowledged_numbers
    return [
        patch.object(
            replay_module, "acknowledged_numbers",
            lambda records: original(records) | {record.number for record in records if record.kind == "delete"},
        )
    ]  # fmt: skip


def _unwritten(kinds: tuple[str, ...]) -> Callable[..., int]:
    original = Log.write

    def write(self: Any, kind: Any, *args: Any) -> int:
        if kind not in kinds:
            return original(self, kind, *args)
        self._owner.check()
        self._next += 1
        return int(self._next - 1)

    return write


_simple("write_ahead", "nothing is written down before it is sent", Log, "write", _unwritten(("upsert", "delete")))
_simple("deletes_written_ahead", "deletions are not written down", Log, "write", _unwritten(("delete",)))


@SWITCHES.register("acknowledged_after", "a request counts before it is answered")
def _acknowledged_after() -> list[Any]:
    def deliver(self: Any, batch: Any, acks: Any) -> Any:
        if len(batch):
            ids = [str(vector_id) for vector_id in batch.ids]
            number = self._write_ahead.write("upsert", ids, batch.hashes, list(self._objects(batch)))
            self._write_ahead.acknowledge(number)
            self._write_ahead.write("upsert", [])
        return Delivery.deliver(self, batch, acks)

    return [patch.object(upload.RecordedDelivery, "deliver", deliver)]


@SWITCHES.register("other_generations", "the log of a run on another generation is ignored")
def _other_generations() -> list[Any]:
    def read(to: Any, absorbed: Any) -> log.PendingLog:
        pending, state = log.read_pending(to, absorbed), read_state(to)
        current = state.generation if state else None
        kept = {run: [record for record in records if record.generation == current]
                for run, records in pending.records.items()}  # fmt: skip
        return log.PendingLog({run: records for run, records in kept.items() if records}, pending.numbers)

    return [patch.object(base, "read_pending", read)]


# ---------------------------------------------------------------- runs and incarnations


_simple("owner", "a run does not notice that another took over", folder.Owner, "check", lambda self: None)
# A run reads the state and the logs of one moment, and sees all that an earlier run whose commit is on its way has
# written, but not the plan that it has spent. Without this rule, the plan could be approved again.
_simple("generation", "a run does not notice another commit", commit, "check_generation", lambda *args: None)
_simple("incarnation", "an index created again goes unnoticed", base, "choose_basis", lambda state, *args: (
    "state" if state else "baseline"
))  # fmt: skip
_simple("incarnation_at_commit", "the incarnation is not read again", commit, "check_incarnation", lambda *args: None)
_simple("audit_waits", "the audit does not wait for visibility", audit, "wait_until_visible", lambda *args: True)
_simple("unique_columns", "columns of two runs have one name", run, "columns_name", lambda generation: (
    f"generations/{generation.number:06d}-x.parquet"
))  # fmt: skip
