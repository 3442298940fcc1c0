"""The result of a check as a waiting trigger receives it from a poll."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_vectorize.visibility.verdict import Verdict


@dataclass(frozen=True)
class View:
    """The result of a check for one waiting trigger: a verdict, or the error that ends its wait.

    :param visible: Whether all mutations of the trigger in this index are visible.
    :param failure: Why they can never become visible. Empty if they still can.
    :param text: What the index shows, for the log.
    :param missing: Ids of the mutations that are not proved yet.
    :param answered: Whether Vectorize answered the check.
    :param error: The error that ended the wait.
    :param traceback: Original traceback of the error.
    """

    visible: bool = False
    failure: str = ""
    text: str = ""
    missing: tuple[str, ...] = ()
    answered: bool = True
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
