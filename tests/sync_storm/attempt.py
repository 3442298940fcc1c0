"""Run one attempt of a sync in a process of its own, which may kill itself."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.limits import Limits

from .events import Kill

End = Literal["green", "red", "failed", "killed"]


@dataclass(frozen=True)
class AttemptConfig:
    """What an attempt does.

    :param objects: Names of the objects of the source.
    :param state: Name of the state's folder.
    :param folder: Folder for the log and the dead-letter file.
    :param environment: Environment variables: the connection of the storage.
    :param kill: When the process is killed, or ``None``.
    """

    credentials: Credentials
    index: str
    objects: Sequence[str]
    state: str
    folder: Path
    environment: dict[str, str]
    limits: Limits
    retry_seconds: float
    timeout: float
    max_in_flight: int
    max_deletes: float
    delete_vanished: bool
    approve: str | None = None
    kill: Kill | None = None


@dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    :param end: ``green``: it succeeded. ``red``: it committed, and failed because somebody has to look at it.
        ``failed``: it committed nothing. ``killed``: its process was killed.
    :param text: The message of the error, or the event at which it was killed.
    :param plan: ID of the plan that can be approved, or empty.
    """

    end: End
    text: str = ""
    plan: str = ""


_CONTEXT = multiprocessing.get_context("forkserver")
# The server of forks imports this module once. A new process takes milliseconds then, not seconds.
_CONTEXT.set_forkserver_preload([f"{__package__}.process"])


def run_attempt(config: AttemptConfig, seconds: float = 120.0) -> Ending:
    """Run an attempt in a process of its own.

    :raises AssertionError: It takes too long, or ends without a report.
    """
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_run_attempt, args=(config, sender))
    process.start()
    sender.close()
    try:
        process.join(seconds)
        assert process.exitcode is not None, f"the attempt did not end within {seconds:g} s"
        assert receiver.poll(), f"the process ended with {process.exitcode} and without a report"
        ending: Ending = receiver.recv()
        return ending
    finally:
        process.kill()
        process.join()
        receiver.close()


def _run_attempt(config: AttemptConfig, sender: Connection) -> None:
    from . import process

    process.run(config, sender)
