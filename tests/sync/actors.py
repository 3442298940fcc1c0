"""Runs as actors: each pauses before and after every step that others can see, and can be killed there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from airflow_provider_vectorize.errors import SourceError, SyncError

#: Outcomes of runs that have committed.
COMMITTED = ("green", "held", "unfinished")


class Killed(BaseException):
    """The process of a run was killed."""


class Actor:
    """A run in a separate thread, which the test advances step by step.

    :param make_run: Takes the probe, and returns the function that runs.
    """

    def __init__(self, make_run: Callable[[Callable[[str], None]], Callable[[], Any]]) -> None:
        self._run = make_run(self._probe)
        self._go = threading.Semaphore(0)
        self._paused = threading.Semaphore(0)
        self._dead = False
        self.done = False
        self.event = ""  #: The step before or after which the run pauses.
        self.result: Any = None
        self.error: BaseException | None = None
        threading.Thread(target=self._main, daemon=True).start()
        self._paused.acquire()

    def _main(self) -> None:
        try:
            self.result = self._run()
        except BaseException as error:  # noqa: BLE001 - the model looks at it
            self.error = error
        self.done = True
        self._paused.release()

    def _probe(self, event: str) -> None:
        if self._dead:
            raise Killed
        self.event = event
        self._paused.release()
        self._go.acquire()
        if self._dead:
            raise Killed

    def step(self) -> None:
        """Continue to the next pause or to the end."""
        self._go.release()
        self._paused.acquire()

    def kill(self) -> None:
        """Kill the run where it pauses."""
        self._dead = True
        while not self.done:
            self.step()


def outcome_of(actor: Actor) -> str:
    """Return how the run of an actor ended. Raise its error if it is none that a history expects."""
    error = actor.error
    if error is None:
        return "green"
    if isinstance(error, Killed):
        return "killed"
    if isinstance(error, SyncError):
        return "not committed" if error.result is None else "held"
    if isinstance(error, SourceError) and "committed" in str(error):
        return "unfinished"
    if isinstance(error, SourceError) and "names no objects" in str(error):
        return "no source"
    raise error


def kill_at(event: str, times: int = 1) -> Callable[[str], None]:
    """Return a probe that kills the run when an event happens for the given time."""
    seen = []

    def probe(name: str) -> None:
        if event in name:
            seen.append(name)
        if len(seen) >= times:
            raise Killed(name)

    return probe
