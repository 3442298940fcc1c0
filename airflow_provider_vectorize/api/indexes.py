"""The endpoints of indexes, and which incarnation of an index a client writes to."""

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

#: Servers' clocks are taken to agree this well; ``Date`` has whole seconds besides.
CLOCKS_AGREE = timedelta(seconds=2)

P = ParamSpec("P")
T = TypeVar("T")
Client = TypeVar("Client", bound=Transport)


def settles(method: Callable[Concatenate[Client, P], T]) -> Callable[Concatenate[Client, P], T]:
    """Let a method return, or fail, only when none of its requests can be carried out any more."""

    @wraps(method)
    def settled(self: Client, /, *args: P.args, **options: P.kwargs) -> T:
        try:
            with self.late.settling():
                return method(self, *args, **options)
        except StoppedError:
            raise VectorizeError(f"{method.__name__} was stopped. Its request may still be carried out.") from None

    return settled


class IndexEndpoints(Transport):
    """One method for each endpoint of indexes. The parameters are those of :class:`~.transport.Transport`."""

    def __init__(self, credentials: Credentials, **options: Any) -> None:
        super().__init__(credentials, **options)
        self._created_on: dict[str, datetime | None] = {}

    def list_indexes(self) -> list[models.Index]:
        """The indexes of the account."""
        return result_as(list[models.Index], self.send("GET", "/indexes"))

    @settles
    def create_index(
        self,
        name: str,
        *,
        dimensions: int | None = None,
        metric: models.Metric | None = None,
        preset: str | None = None,
        description: str | None = None,
    ) -> models.Index:
        """Create an index, from a preset or from dimensions and a metric.

        Where the answer to an attempt is lost, the next one finds the index there: if it is as wanted and was
        created meanwhile, it is this call's.

        :raises IndexExistsError: there is one of that name.
        :raises ConfigError: neither or both ways were given.
        """
        dimensions = arguments.dimensions_given(dimensions)
        body = arguments.new_index(
            self.limits, name, dimensions=dimensions, metric=metric, preset=preset, description=description
        )
        change = Change(name)
        self.late.wait_for(change)
        begun = self.clock.now()
        self._created_on.pop(name, None)
        try:
            return result_as(models.Index, self.send("POST", "/indexes", body, change=change))
        except IndexExistsError as error:
            if not error.maybe_done:
                raise
            answer = self.send("GET", self._at(name))
            index = result_as(models.Index, answer)
            lasted = timedelta(seconds=self.clock.now() - begun) + CLOCKS_AGREE
            if not answer.date or not index.created_on or index.created_on < answer.date - lasted:
                raise
            if arguments.difference(index, dimensions, metric, preset):
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
        """Create an index unless one that agrees is there.

        Of a preset only the dimensions are compared: Cloudflare does not publish its presets' metrics.

        :return: the index, and whether it was created.
        :raises InvalidIndexConfigError: the one that is there has other dimensions or another metric.
        """
        dimensions = arguments.dimensions_given(dimensions)
        try:
            return self.create_index(
                name, dimensions=dimensions, metric=metric, preset=preset, description=description
            ), True
        except IndexExistsError as error:
            index = self.get_index(name)
            difference = arguments.difference(index, dimensions, metric, preset)
            if difference:
                raise InvalidIndexConfigError(
                    f'Index "{name}" is there already, with {index.config.dimensions} dimensions and the metric '
                    f"{index.config.metric}, {difference}.",
                    **error.facts,
                ) from error
            return index, False

    def get_index(self, name: str) -> models.Index:
        """One index."""
        index = result_as(models.Index, self.send("GET", self._at(name)))
        self._created_on[name] = index.created_on
        return index

    @settles
    def delete_index(self, name: str) -> None:
        """Delete an index and all its vectors.

        :raises IndexNotFoundError: there is none of that name.
        """
        self._created_on.pop(name, None)
        try:
            self.send("DELETE", self._at(name), change=Change(name))
        except IndexNotFoundError as error:
            if not error.maybe_done:  # else an attempt whose answer was lost has deleted it
                raise

    def get_index_info(self, name: str) -> models.IndexInfo:
        """Dimensions, number of vectors and watermark of an index."""
        answer = self.send("GET", self._at(name, "/info"))
        return result_as(models.IndexInfo, answer).model_copy(update={"answered_at": answer.date})

    def created_on(self, name: str) -> datetime | None:
        """Return when this incarnation of an index was created: one request for each index and client."""
        if name not in self._created_on:
            self.get_index(name)
        return self._created_on.get(name)

    def known_incarnation(self, name: str) -> datetime | None:
        """Return when this incarnation of an index was created, if this client has read it. Sends no request."""
        return self._created_on.get(name)

    def _at(self, name: str, rest: str = "") -> str:
        return f"/indexes/{arguments.index_name(self.limits, name)}{rest}"
