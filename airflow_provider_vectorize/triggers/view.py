"""What a poll shows to one waiting task."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_vectorize.visibility.verdict import Verdict


@dataclass(frozen=True)
class View:
    """What a check showed to one waiting task: a verdict, or the error that ends its wait.

    :param visible: all its mutations of this index are visible.
    :param failure: why they never will be, or empty.
    :param text: what is seen, for the log.
    :param missing: ids of the mutations that are not proved yet.
    :param answered: whether Vectorize answered the check.
    :param error: why nothing can be seen, for good.
    """

    visible: bool = False
    failure: str = ""
    text: str = ""
    missing: tuple[str, ...] = ()
    answered: bool = True
    error: BaseException | None = None
    traceback: TracebackType | None = field(default=None, compare=False)

    @classmethod
    def of(cls, verdict: Verdict) -> View:
        """Return what a verdict shows."""
        return cls(verdict.visible, verdict.failure, verdict.text, verdict.missing, verdict.answered)

    @property
    def news(self) -> tuple[object, ...]:
        """What is worth a log line when it changes."""
        return self.missing, self.answered

    def check(self) -> None:
        """Raise the error, if there is one. Every waiter raises it with its original traceback."""
        if self.error:
            raise self.error.with_traceback(self.traceback)
