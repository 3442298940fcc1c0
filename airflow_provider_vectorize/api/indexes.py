"""Endpoints for indexes. Also keeps track of the incarnations of indexes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from airflow_provider_vectorize.api import arguments, models
from airflow_provider_vectorize.api.answers import result_as
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.late import Change
from airflow_provider_vectorize.api.pacing import StoppedError
from airflow_provider_vectorize.api.transport import Transport
from airflow_provider_vectorize.errors import (
    IndexExistsError,
    IndexNotFoundError,
    InvalidIndexConfigError,
    VectorizeError,
)

#: Path of the indexes of an account.
INDEXES = "/vectorize/v2/indexes"
#: Assumed maximum difference between the clocks of Cloudflare's servers, including the rounding of ``Date``.
CLOCK_TOLERANCE = timedelta(seconds=2)

P = ParamSpec("P")
T = TypeVar("T")
Client = TypeVar("Client", bound=Transport)


def settle_afterwards(method: Callable[Concatenate[Client, P], T]) -> Callable[Concatenate[Client, P], T]:
    """Make a method wait, before it returns or fails, until none of its abandoned requests can be carried out."""

    @wraps(method)
    def wrapper(self: Client, /, *args: P.args, **options: P.kwargs) -> T:
        try:
            with self.late.settling():
                return method(self, *args, **options)
        except StoppedError:
            raise VectorizeError(f"{method.__name__} was stopped. Vectorize may still carry out its request.") from None

    return wrapper


class IndexEndpoints(Transport):
    """Send requests that concern whole indexes. The parameters are those of :class:`~.transport.Transport`."""

    def __init__(self, credentials: Credentials, **options: Any) -> None:
        super().__init__(credentials, **options)
        self._created_on: dict[str, datetime | None] = {}

    def list_indexes(self) -> list[models.Index]:
        """Return the indexes of the account."""
        return result_as(list[models.Index], self.send("GET", INDEXES))

    @settle_afterwards
    def create_index(
        self,
        name: str,
        *,
        dimensions: int | None = None,
        metric: models.Metric | None = None,
        preset: str | None = None,
        description: str | None = None,
    ) -> models.Index:
        """Create an index from a preset or from dimensions and a metric.

        If the answer to an attempt is lost, the next attempt finds that the index exists. The call succeeds if that
        index matches and was created during the call.

        :param dimensions: Number of dimensions, 32 to 1,536.
        :param metric: ``cosine``, ``euclidean`` or ``dot-product``.
        :param preset: Name of an embedding model, which determines dimensions and metric.
        :param description: Description of the index. Default: none.
        :raises IndexExistsError: An index with this name already exists.
        :raises ConfigError: The shape is not given by either a preset or dimensions and a metric.
        """
        dimensions = arguments.check_dimensions(dimensions)
        body = arguments.index_body(
            self.limits, name, dimensions=dimensions, metric=metric, preset=preset, description=description
        )
        change = Change(name)
        self.late.wait_for(change)
        started = self.clock.now()
        self._created_on.pop(name, None)
        try:
            return result_as(models.Index, self.send("POST", INDEXES, body, change=change))
        except IndexExistsError as error:
            if not error.maybe_done:
                raise
            answer = self.send("GET", self._index_path(name))
            index = result_as(models.Index, answer)
            longest_age = timedelta(seconds=self.clock.now() - started) + CLOCK_TOLERANCE
            if not answer.date or not index.created_on or index.created_on < answer.date - longest_age:
                raise
            if arguments.shape_mismatch(index, dimensions, metric, preset):
                raise
            return index

    def ensure_index(
        self,
        name: str,
        *,
        dimensions: int | None = None,
        metric: models.Metric | None = None,
        preset: str | None = None,
        description: str | None = None,
    ) -> tuple[models.Index, bool]:
        """Create an index unless a matching index already exists.

        With a preset, only the dimensions are compared, because Cloudflare does not publish the metrics of presets.
        The parameters are those of :meth:`create_index`.

        :return: The index, and whether it was created.
        :raises InvalidIndexConfigError: The existing index has other dimensions or another metric.
        """
        dimensions = arguments.check_dimensions(dimensions)
        try:
            return self.create_index(
                name, dimensions=dimensions, metric=metric, preset=preset, description=description
            ), True
        except IndexExistsError as error:
            index = self.get_index(name)
            mismatch = arguments.shape_mismatch(index, dimensions, metric, preset)
            if mismatch:
                raise InvalidIndexConfigError(
                    f'Index "{name}" already exists with {index.config.dimensions} dimensions and the metric '
                    f"{index.config.metric}. {mismatch}",
                    **error.facts,
                ) from error
            return index, False

    def get_index(self, name: str) -> models.Index:
        """Return an index."""
        index = result_as(models.Index, self.send("GET", self._index_path(name)))
        self._created_on[name] = index.created_on
        return index

    @settle_afterwards
    def delete_index(self, name: str) -> None:
        """Delete an index and all its vectors.

        :raises IndexNotFoundError: No index has this name.
        """
        self._created_on.pop(name, None)
        try:
            self.send("DELETE", self._index_path(name), change=Change(name))
        except IndexNotFoundError as error:
            if not error.maybe_done:  # Otherwise, an earlier attempt whose answer was lost has deleted the index.
                raise

    def get_index_info(self, name: str) -> models.IndexInfo:
        """Return the dimensions, the number of vectors and the watermark of an index."""
        answer = self.send("GET", self._index_path(name, "/info"))
        return result_as(models.IndexInfo, answer).model_copy(update={"answered_at": answer.date})

    def created_on(self, name: str) -> datetime | None:
        """Return when the current incarnation of an index was created. Sends a request only if this is unknown."""
        if name not in self._created_on:
            self.get_index(name)
        return self._created_on.get(name)

    def known_incarnation(self, name: str) -> datetime | None:
        """Return when the current incarnation of an index was created, if the client knows it. Sends no request."""
        return self._created_on.get(name)

    def _index_path(self, name: str, endpoint: str = "") -> str:
        return f"{INDEXES}/{arguments.check_index_name(self.limits, name)}{endpoint}"
