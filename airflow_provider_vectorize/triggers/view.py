"""The result of a check as a trigger receives it from a poll."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_vectorize.visibility.verdict import Verdict


@dataclass(frozen=True)
class IndexState:
    """What an index showed when it was checked.

    :param exists: Whether the index was found. A lagging replica may not find it.
    :param checked_at: Server time of the check. ``None`` if the response did not contain it.
    :param processed_at: Time at which the index processed its last mutations. ``None`` if it never did.
    :param mutation_id: The last of these mutations.
    :param vector_count: Number of vectors, eventually consistent.
    """

    exists: bool
    checked_at: datetime | None = None
    processed_at: datetime | None = None
    mutation_id: str | None = None
    vector_count: int | None = None


@dataclass(frozen=True)
class View:
    """The result of a check for one trigger: a verdict, the state of the index, or the error that ends its wait.

    :param visible: Whether all mutations of the trigger in this index are visible.
    :param failure: Why they can never become visible. Empty if they still can.
    :param text: What the index shows, for the log.
    :param missing: Ids of the mutations that are not proved yet.
    :param answered: Whether Vectorize answered the check.
    :param index: State of the index, for triggers that watch it. ``None`` if Vectorize did not answer.
    :param error: The error that ended the wait.
    :param traceback: Original traceback of the error.
    """

    visible: bool = False
    failure: str = ""
    text: str = ""
    missing: tuple[str, ...] = ()
    answered: bool = True
    index: IndexState | None = None
    error: BaseException | None = None
    traceback: TracebackType | None = field(default=None, compare=False)

    @classmethod
    def from_verdict(cls, verdict: Verdict) -> View:
        """Return the view of a verdict."""
        return cls(verdict.visible, verdict.failure, verdict.text, verdict.missing, verdict.answered)

    @property
    def progress(self) -> tuple[object, ...]:
        """The part of the view that is logged again when it changes."""
        return self.missing, self.answered

    def raise_error(self) -> None:
        """Raise the error with its original traceback, if there is one. Every waiter of a poll does so."""
        if self.error:
            raise self.error.with_traceback(self.traceback)
