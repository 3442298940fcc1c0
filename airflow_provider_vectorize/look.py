"""One look at the indexes that are waited on: the requests that :mod:`visibility` weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    judge,
    proved,
    to_read_back,
)
from airflow_provider_vectorize.waits import Wait

#: Rounds of reads in one look, each of three requests; the next look goes on. Enough for a thousand waits that only
#: reads can prove, and an eighth of the account's budget.
ROUNDS = 50
#: Seconds to the next request from which on the account's budget is tight, and reads are left to the next look.
TIGHT = 1.0


@dataclass(frozen=True)
class Look:
    """What one look at all indexes said.

    :param seen: to be handed to the next look; JSON-plain, no secret, no data.
    :param verdicts: by index, of those that were looked at.
    :param pause: seconds before which another look makes no sense, because requests are limited.
    """

    seen: dict[str, Any]
    verdicts: Mapping[str, Verdict]
    pause: float = 0.0

    @property
    def visible(self) -> bool:
        """Everything is."""
        return all(verdict.visible for verdict in self.verdicts.values())

    @property
    def never(self) -> str | None:
        """Why something will never be visible, or ``None``."""
        return next((verdict.never for verdict in self.verdicts.values() if verdict.never), None)

    @property
    def text(self) -> str:
        """What is seen, for the log."""
        return " ".join(verdict.text for verdict in self.verdicts.values())


def look(client: VectorizeClient, waits: Sequence[Wait], seen: Mapping[str, Any]) -> Look:
    """Look at each index once, whatever the number of mutations waited for.

    :param client: should try each request once: the next look is the retry.
    :param seen: the last look's, or empty.
    :raises TerminalApiError: the credentials or the request are wrong.
    """
    by_index: dict[str, list[Wait]] = {}
    for wait in waits:
        by_index.setdefault(wait.index_name, []).append(wait)
    now_seen, verdicts, pause = dict(seen), dict[str, Verdict](), 0.0
    for index_name, group in by_index.items():
        before = seen.get(index_name, {})
        if all(wait.key in proved(before) for wait in group):
            continue
        verdict, blocked = _look_at(client, index_name, group, before)
        now_seen[index_name] = verdict.seen
        verdicts[index_name] = verdict
        pause = max(pause, blocked)
    return Look(now_seen, verdicts, max(pause, client.pacer.due()))


def _look_at(
    client: VectorizeClient, index_name: str, waits: Sequence[Wait], seen: Mapping[str, Any]
) -> tuple[Verdict, float]:
    """What is seen, and the seconds for which nothing more can be."""
    unseen = {wait.key: f"{wait.mutation_id}: there was no answer" for wait in waits if wait.key not in proved(seen)}
    verdict = Verdict(dict(seen), lacks=unseen)
    try:
        info = _info(client, index_name)
        verdict = judge(waits, seen, Reading(info))
        for _ in range(ROUNDS):
            if not info or verdict.visible or client.pacer.due() >= TIGHT:
                break
            ids = to_read_back(waits, verdict.seen, info, client.limits.ids_per_get)
            if not ids:
                break
            reads = [_read(client, index_name, ids) for _ in range(AGREEING_READS)]
            before, verdict = verdict, judge(waits, verdict.seen, Reading(info, ids, reads))
            if len(verdict.lacks) == len(before.lacks):
                break  # reading more would cost requests at every look, for the same answer
    except TransientApiError as error:
        text = f'Index "{index_name}" could not be looked at: {error}'
        return replace(verdict, watermark=f"{verdict.watermark} {text}".strip()), error.retry_after or 0.0
    return verdict, 0.0


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
