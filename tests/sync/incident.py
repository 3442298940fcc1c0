"""What a person on call works with: a sync that failed, and its messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.support import expected_dump

from .support import SyncedIndex


class Incident:
    """What a person on call works with: a sync, and everything that its runs have said.

    :param local: The local Vectorize.
    :param caplog: The log.
    """

    books: SyncedIndex
    plan: str

    def __init__(self, local: LocalVectorize, caplog: pytest.LogCaptureFixture) -> None:
        self.local = local
        self._caplog = caplog
        self.errors: list[str] = []

    def begin(self, folder: Path) -> None:
        """Begin with an empty index, source and state."""
        folder.mkdir()
        self.local.reset()
        self.books = SyncedIndex(self.local, folder)
        self.books.create()

    @property
    def messages(self) -> list[str]:
        """Return the error messages of the runs, and the messages of their logs."""
        return [*self.errors, *self._caplog.messages]

    def night(self, rows: list[dict[str, object]] | bytes, **options: object) -> None:
        """Write the source, and sync. The run succeeds."""
        self.books.write("a.ndjson", rows)
        self.books.sync(**options)  # type: ignore[arg-type]

    @contextmanager
    def fails(self) -> Iterator[None]:
        """Expect that a run fails."""
        with pytest.raises(VectorizeError) as caught:
            yield
        self.errors.append(str(caught.value))
        self.plan = getattr(caught.value, "plan", "")

    def resolved(self, rows: list[dict[str, object]], **options: object) -> None:
        """Check that the sync is green, that the index is the source, and that the next run changes nothing."""
        self.books.sync(**options)  # type: ignore[arg-type]
        assert self.books.dump() == expected_dump(rows)
        assert self.books.counts(delete_vanished=True) == {"unchanged": len(rows)}


Scenario = Callable[[Incident], None]
SCENARIOS: dict[str, list[Scenario]] = {}


def resolves(heading: str) -> Callable[[Scenario], Scenario]:
    """Register an incident of a section."""

    def register(scenario: Scenario) -> Scenario:
        SCENARIOS.setdefault(heading, []).append(scenario)
        return scenario

    return register
