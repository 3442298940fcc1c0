"""Switches for lines of the visibility rule, to show that the model test or the cost test fails without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from airflow_provider_vectorize.errors import TransientApiError
from airflow_provider_vectorize.load.uploader import Uploader
from airflow_provider_vectorize.visibility import monitor, rule, waits
from airflow_provider_vectorize.visibility.memory import Marker, Memory
from tests.switching import Switches

UNANSWERED_MARKER = "a marker without an answer"
SWITCHES = Switches()
without = SWITCHES.without


def _around(name: str, change: Callable[..., Any]) -> Any:
    """Replace a function of the rule by one that receives the original as its first argument."""
    original = getattr(rule, name)
    return patch.object(rule, name, lambda *args, **kwargs: change(original, *args, **kwargs))


class _AnyCreationTime(str):
    """Equals every creation time."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True


# ---------------------------------------------------------------- lines that make a proof sound


@SWITCHES.register("snapshot", "a marker covers waits that began after it was sent")
def _snapshot() -> list[Any]:
    return [_around("_last_shown_marker_check", lambda original, memory: 10**9 if original(memory) else 0)]


@SWITCHES.register("created_on", "the incarnation of the index is not compared")
def _created_on() -> list[Any]:
    return [patch.object(monitor.IndexMonitor, "_read_incarnation", lambda self: _AnyCreationTime("any"))]


@SWITCHES.register("agreeing_reads", "one read of created_on is enough")
def _agreeing_reads() -> list[Any]:
    return [patch.object(monitor, "CONFIRMING_READS", 1)]


@SWITCHES.register("shown_before", "an id that was shown before the wait began is proof without created_on")
def _shown_before() -> list[Any]:
    def change(original: Any, memory: Memory, created_on: str | None) -> Memory:
        proved = original(
            replace(memory, waits={wait: replace(state, first_check=1) for wait, state in memory.waits.items()}),
            created_on,
        )
        restored = {
            wait: replace(state, first_check=memory.waits[wait].first_check) for wait, state in proved.waits.items()
        }
        return replace(proved, waits=restored)

    return [_around("prove", change)]


@SWITCHES.register("sealed", "every receipt counts as sealed")
def _sealed() -> list[Any]:
    original = waits._wait_from_receipt
    return [patch.object(waits, "_wait_from_receipt", lambda *args: replace(original(*args), sealed=True))]


@SWITCHES.register("load_seals", "a load whose last batch is refused sends no marker, and counts as sealed")
def _load_seals() -> list[Any]:
    def claim(self: Any) -> None:
        ledger = self._ledger
        ledger.checkpoint = replace(ledger.checkpoint, receipt=replace(ledger.receipt, sealed=True))

    return [patch.object(Uploader, "_seal", claim)]


@SWITCHES.register("last_batch_alone", "the last batch of a load does not wait for the others")
def _last_batch_alone() -> list[Any]:
    original = Uploader._may_start

    def may_start(self: Any, batch: Any, in_flight: Any) -> Any:
        is_last, batch.last = batch.last, False
        try:
            return original(self, batch, in_flight)
        finally:
            batch.last = is_last

    return [patch.object(Uploader, "_may_start", may_start)]


@SWITCHES.register("unanswered", "a marker without an answer counts once the watermark has changed")
def _unanswered() -> list[Any]:
    send_delete_marker = monitor.IndexMonitor._send_delete_marker

    def send(self: Any) -> Marker:
        try:
            return send_delete_marker(self)
        except TransientApiError:
            return Marker(UNANSWERED_MARKER, self._memory.checks, self._memory.watermark)

    def change(original: Any, memory: Memory, info: Any) -> Memory:
        memory = original(memory, info)
        changed = any(
            marker.mutation_id == UNANSWERED_MARKER and marker.watermark_before != memory.watermark
            for marker in memory.markers
        )
        return replace(memory, shown={**memory.shown, UNANSWERED_MARKER: memory.checks}) if changed else memory

    return [patch.object(monitor.IndexMonitor, "_send_delete_marker", send), _around("record_info", change)]


@SWITCHES.register("client_order", "a later write of a client stands for all its earlier ones, acknowledged or not")
def _client_order() -> list[Any]:
    original = waits._drop_covered

    def change(found: Any) -> Any:
        return original([(wait, {**plain, "acknowledged": plain["begun"]} if "begun" in plain else plain)
                         for wait, plain in found])  # fmt: skip

    return [patch.object(waits, "_drop_covered", change)]


@SWITCHES.register("agreeing_checks", "one check that finds no index or another incarnation is enough to fail")
def _agreeing_checks() -> list[Any]:
    return [patch.object(rule, "CONFIRMING_CHECKS", 1)]


# ---------------------------------------------------------------- lines that end a wait at an acceptable cost


@SWITCHES.register("own_id", "the mutation's own id as the watermark is no proof")
def _own_id() -> list[Any]:
    def hide(original: Any, memory: Memory, *args: Any) -> Any:
        own_ids = {wait.mutation_id for wait in memory.waits}
        shown = {mutation_id: check for mutation_id, check in memory.shown.items() if mutation_id not in own_ids}
        result = original(replace(memory, shown=shown), *args)
        return replace(result, shown=memory.shown) if isinstance(result, Memory) else result

    return [_around("prove", hide), _around("proof_needs_incarnation", hide)]


@SWITCHES.register("seen_once", "a watermark is forgotten when the index shows another one")
def _seen_once() -> list[Any]:
    def change(original: Any, memory: Memory, info: Any) -> Memory:
        memory = original(memory, info)
        return replace(memory, shown={memory.watermark: memory.checks} if memory.watermark else {})

    return [_around("record_info", change)]


@SWITCHES.register("join", "each write of one client is waited for")
def _join() -> list[Any]:
    return [patch.object(waits, "_drop_covered", lambda found: list(dict.fromkeys(wait for wait, _ in found)))]


@SWITCHES.register("markers_kept", "only the newest marker is remembered")
def _markers_kept() -> list[Any]:
    def change(original: Any, *args: Any) -> Memory:
        memory = original(*args)
        return replace(memory, markers=memory.markers[-1:])

    return [_around("record_marker", change)]


@SWITCHES.register("by_the_clock", "markers follow the changes of the watermark")
def _by_the_clock() -> list[Any]:
    def change(original: Any, memory: Memory, groups: Any, now: float) -> bool:
        unchanged = memory.markers and memory.markers[-1].watermark_before == memory.watermark
        return not unchanged and original(replace(memory, next_marker_at=0.0), groups, now)

    return [_around("is_marker_due", change)]


@SWITCHES.register("every_20_s", "a marker is sent at every check")
def _every_20_s() -> list[Any]:
    return [patch.object(rule, "MARKER_INTERVAL_SECONDS", 0.0), patch.object(rule, "MARKER_JITTER_SECONDS", 0.0)]


@SWITCHES.register("while_still", "the number of markers is not limited while the watermark does not change")
def _while_still() -> list[Any]:
    return [patch.object(rule, "MAX_MARKERS_PER_WATERMARK", 10**9)]


@SWITCHES.register("after_120_s", "the time that has passed makes no marker due")
def _after_120_s() -> list[Any]:
    return [patch.object(rule, "MARKER_AFTER_SECONDS", float("inf"))]


@SWITCHES.register("foreign_hint", "watermarks of other writers do not make a marker due")
def _foreign_hint() -> list[Any]:
    return [_around("_count_foreign", lambda original, memory, group, state, info: state)]


@SWITCHES.register("three_checks", "one watermark of another writer makes a marker due")
def _three_checks() -> list[Any]:
    def change(original: Any, memory: Memory, group: Any, state: Any, info: Any) -> Any:
        after = original(memory, group, state, info)
        return replace(after, foreign_checks=after.foreign_checks + 2) if after != state else state

    return [_around("_count_foreign", change)]


@SWITCHES.register("siblings", "watermarks of the same write count as foreign")
def _siblings() -> list[Any]:
    return [patch.object(waits.Wait, "owns", lambda self, mutation_id: mutation_id == self.mutation_id)]


@SWITCHES.register("set_hint", "one shown receipt of several makes no marker due")
def _set_hint() -> list[Any]:
    return [
        _around("needs_marker", lambda original, memory, group, now: original(replace(memory, shown={}), group, now))
    ]
