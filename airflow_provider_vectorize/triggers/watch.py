"""The part of a poll that runs in a thread: one look at an index, and what it shows to each who waits."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.hooks.connection import client_from
from airflow_provider_vectorize.look import look
from airflow_provider_vectorize.triggers.poll import View
from airflow_provider_vectorize.visibility import Verdict, proved, tell
from airflow_provider_vectorize.waits import Wait

W = TypeVar("W", bound=Hashable)


class Watch:
    """Remembers what was seen. For one thread at a time.

    :param connection: of the type ``vectorize``.
    :param index_name: the index.
    :raises ConfigError: a sentence that says which field of the connection to correct.
    """

    def __init__(self, connection: Any, index_name: str) -> None:
        self._client = client_from(connection, retry=RetryPolicy(total=0), reserve=0)
        self._index_name = index_name
        self._seen: dict[str, Any] = {}
        self._waits: dict[Any, list[Wait]] = {}

    def look(self, waiting: Mapping[W, Sequence[Mapping[str, Any]]]) -> tuple[dict[W, View], float]:
        """Look once.

        :param waiting: what each waits for.
        :return: what each sees, and the seconds for which another look makes no sense.
        :raises TerminalApiError: the credentials or the request are wrong.
        """
        views: dict[W, View] = {}
        waits: dict[W, list[Wait]] = {}
        for waiter, plain in waiting.items():
            try:
                waits[waiter] = self._waits.get(waiter) or [Wait.from_dict(one) for one in plain]
            except (ConfigError, ValueError) as error:  # a row that this version cannot read is no matter of the others
                views[waiter] = View(error=error)
        self._waits = dict(waits)
        together = {wait.key: wait for one in waits.values() for wait in one}
        if not together:
            return views, 0.0
        found = look(self._client, list(together.values()), self._seen)
        self._seen = found.seen
        verdict = found.verdicts.get(self._index_name) or Verdict(found.seen[self._index_name])
        proofs = proved(verdict.seen)
        for waiter, own in waits.items():
            lacks = tuple(verdict.lacks[wait.key] for wait in own if wait.key in verdict.lacks)
            found_proofs = [proofs[wait.key] for wait in own if wait.key in proofs]
            text = tell(lacks, found_proofs, verdict.watermark, verdict.never)
            views[waiter] = View(not lacks and not verdict.never, verdict.never, text, lacks)
        return views, found.pause

    def close(self) -> None:
        """Close the connections; a look that is under way ends at its next request."""
        self._client.stop()
        self._client.close()
