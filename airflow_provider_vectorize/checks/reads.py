"""Read an index with a limited number of requests. The only module of the checks that sends requests.

**Assumptions about Vectorize, which this repository cannot check:**

1. A replica lags for some seconds and never leads, so the best of several answers is the newest one.
2. ``vectorCount`` is the exact number of vectors as soon as all writes are applied.
3. ``returnValues=true`` makes the scores and the order of matches exact among the vectors that the search considers. It
   allows up to 50 matches.
4. The values that Vectorize returns are the float32 values that were sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Match, Vector
from airflow_provider_vectorize.api.pacing import StoppedError
from airflow_provider_vectorize.checks.golden import GoldenQuery
from airflow_provider_vectorize.errors import IndexNotFoundError, InvalidRequestError

#: Maximum number of requests of a check, whatever the size of the index.
MAX_REQUESTS = 150
#: Number of times that the number of vectors is read.
COUNT_READS = 10
#: Maximum number of rounds in which reads that fell short are repeated, so that a check of few things also ends soon.
ROUNDS = COUNT_READS - 1
#: Number of answers in a row that must be equal, because counts flap between replicas.
EQUAL_COUNTS = 3
#: Seconds between two reads of the same thing, so that lagging replicas catch up.
READ_SECONDS = 5.0

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Reads:
    """Sends the requests of one check, and counts them.

    :param client: The client. Its clock is used for pauses.
    :param index_name: Name of the index.
    :param requests: Number of requests that the check has already sent.
    """

    def __init__(self, client: VectorizeClient, index_name: str, requests: int) -> None:
        self._client = client
        self._index_name = index_name
        self.requests = requests  #: Number of requests so far.

    @property
    def left(self) -> int:
        """Return the number of requests that may still be sent."""
        return MAX_REQUESTS - self.requests

    def count(self, minimum: int) -> int:
        """Return the number of vectors, after it was waited for.

        :param minimum: The number of vectors that is waited for.
        :return: A number of at least the minimum that was read three times in a row. Otherwise, the highest one that
            was read, because a replica may lag but never leads.
        """
        counts: list[int] = []
        while len(counts) < COUNT_READS:
            if counts:
                self.wait()
            self.requests += 1
            try:
                counts.append(self._client.get_index_info(self._index_name).vector_count)
            except IndexNotFoundError:  # A replica may not know the index yet.
                counts.append(0)
            last = counts[-EQUAL_COUNTS:]
            if len(last) == EQUAL_COUNTS and len(set(last)) == 1 and last[0] >= minimum:
                return last[0]
        return max(counts)

    def vectors(self, ids: Sequence[str]) -> dict[str, Vector]:
        """Return vectors by ID, with one request. Those that do not exist are left out."""
        self.requests += 1
        try:
            return {vector.id: vector for vector in self._client.get_by_ids(self._index_name, ids)}
        except IndexNotFoundError:
            return {}

    def nearest(self, values: Sequence[float], top_k: int) -> list[Match]:
        """Return the nearest vectors with exact scores, the nearest first."""
        self.requests += 1
        try:
            return self._client.query(self._index_name, vector=values, top_k=top_k, return_values=True).matches
        except IndexNotFoundError:
            return []

    def ask(self, query: GoldenQuery) -> list[Match]:
        """Return the matches of a golden query, without its own vector unless that is expected."""
        self.requests += 1
        try:
            matches = self._client.query(
                self._index_name,
                vector=query.vector,
                vector_id=query.vector_id,
                top_k=query.top_k,
                namespace=query.namespace,
                return_values=True,
            ).matches
        except IndexNotFoundError:
            return []
        except InvalidRequestError:
            if query.vector_id is None:
                raise
            return []  # The index, or a replica that lags, has no vector with this ID.
        own = None if query.vector_id in query.expect else query.vector_id
        return [match for match in matches if match.id != own][: query.k]

    def wait(self) -> None:
        """Pause until replicas that lag may have caught up.

        :raises StoppedError: The client was stopped.
        """
        if self._client.clock.wait(self._client.pacer.stopped, READ_SECONDS):
            raise StoppedError


def ask_again(
    items: Sequence[_Item],
    ask: Callable[[_Item], _Answer],
    merge: Callable[[_Answer, _Answer], _Answer],
    quality: Callable[[_Answer], float],
    enough: Callable[[Sequence[_Answer]], bool],
    retries: int,
    wait: Callable[[], None],
) -> list[_Answer]:
    """Ask for each item. If the answers are not good enough, pause and ask again, because a replica may have lagged.

    Ends after :data:`ROUNDS` pauses at the latest.

    :param ask: Sends one request.
    :param merge: Combines an answer with a later one for the same item.
    :param quality: How good an answer is, up to 1.0. Items with lower answers are asked for again, the worst first.
    :param enough: Whether all answers together pass.
    :param retries: Maximum number of further requests.
    :param wait: Pauses before each round of further requests.
    """
    answers = [ask(item) for item in items]
    for _ in range(ROUNDS):
        if retries <= 0 or enough(answers):
            break
        doubtful = [number for number, answer in enumerate(answers) if quality(answer) < 1]
        if not doubtful:
            break
        wait()
        for number in sorted(doubtful, key=lambda number: quality(answers[number]))[:retries]:
            retries -= 1
            answers[number] = merge(answers[number], ask(items[number]))
            if enough(answers):
                break
    return answers
