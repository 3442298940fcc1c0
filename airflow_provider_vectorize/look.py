"""One look at the indexes that are waited on: the requests that :mod:`visibility` weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.errors import IndexNotFoundError, TransientApiError
from airflow_provider_vectorize.load.receipt import digest
from airflow_provider_vectorize.visibility import (
    AGREEING_GONE,
    AGREEING_READS,
    Reading,
    Verdict,
    Wait,
    judge,
    to_read_back,
)


@dataclass(frozen=True)
class Look:
    """What one look at all indexes said.

    :param seen: to be handed to the next look; JSON-plain, no secret, no data.
    :param visible: everything is visible.
    :param never: why something will never be, or ``None``.
    :param text: what is seen, for the log.
    :param pause: seconds before which another look makes no sense, because requests are limited.
    """

    seen: dict[str, Any]
    visible: bool
    never: str | None
    text: str
    pause: float = 0.0


def look(client: VectorizeClient, waits: Sequence[Wait], seen: Mapping[str, Any]) -> Look:
    """Look at each index once, whatever the number of mutations waited for.

    :param client: should try each request once: the next look is the retry.
    :param seen: the last look's, or empty.
    :raises TerminalApiError: the credentials or the request are wrong.
    """
    by_index: dict[str, list[Wait]] = {}
    for wait in waits:
        by_index.setdefault(wait.index_name, []).append(wait)
    now_seen, verdicts, pause = dict(seen), [], 0.0
    for index_name, group in by_index.items():
        before = seen.get(index_name, {})
        if all(wait.mutation_id in before.get("proved", {}) for wait in group):
            continue
        try:
            verdict = _look_at(client, index_name, group, before)
        except TransientApiError as error:
            verdict = Verdict(before, False, None, f'Index "{index_name}" could not be looked at: {error}')
            pause = max(pause, error.retry_after or 0.0)
        now_seen[index_name] = verdict.seen
        verdicts.append(verdict)
    return Look(
        seen=now_seen,
        visible=all(verdict.visible for verdict in verdicts),
        never=next((verdict.never for verdict in verdicts if verdict.never), None),
        text=" ".join(verdict.text for verdict in verdicts),
        pause=max(pause, client.pacer.due()),
    )


def _look_at(client: VectorizeClient, index_name: str, waits: Sequence[Wait], seen: Mapping[str, Any]) -> Verdict:
    info = _info(client, index_name)
    verdict = judge(waits, seen, Reading(info))
    while info and not verdict.visible:
        ids = to_read_back(waits, verdict.seen, info, client.limits.ids_per_get)
        if not ids:
            break
        reads = [_read(client, index_name, ids) for _ in range(AGREEING_READS)]
        before, verdict = verdict, judge(waits, verdict.seen, Reading(info, ids, reads))
        if len(verdict.seen["proved"]) == len(before.seen["proved"]):
            break  # reading more would cost requests at every look, for the same answer
    return verdict


def _info(client: VectorizeClient, index_name: str) -> IndexInfo | None:
    """The state of an index, or ``None`` where there is none."""
    for answers in range(1, AGREEING_GONE + 1):
        try:
            return client.get_index_info(index_name)
        except IndexNotFoundError:
            if answers == AGREEING_GONE:
                break
    return None


def _read(client: VectorizeClient, index_name: str, ids: Sequence[str]) -> dict[str, str | None]:
    return {vector.id: digest(vector.values, vector.metadata) for vector in client.get_by_ids(index_name, ids)}
