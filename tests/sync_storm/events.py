"""The events of a run at which a storm kills its process."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from typing import NamedTuple

from airflow_provider_vectorize.sync.folder import StateFolder
from airflow_provider_vectorize.sync.log import Record

_OBJECTS = {
    r"owner\.json": "owner",
    r"log/.*": "record",
    r"generations/.*\.parquet": "columns",
    r"generations/.*\.json": "copy of current",
    r"current\.json": "current",
    r"plan-.*": "plan",
}
_REQUESTS = ("upsert", "deletion")
#: All kinds of events at which a run can be killed.
KINDS = (
    *(f"{when} write {name}" for name in _OBJECTS.values() for when in ("before", "after")),
    *(f"{when} {request}" for request in _REQUESTS for when in ("before", "during")),
    *(f"{when} acknowledgement of {request}" for request in _REQUESTS for when in ("before", "after")),
    *(
        f"{when} delete {name}"
        for name in ("record", "columns", "copy of current", "plan")
        for when in ("before", "after")
    ),
)


class Kill(NamedTuple):
    """When a process is killed.

    :param kind: One of :data:`KINDS`.
    :param number: Number of the event of this kind, from 1.
    :param after: Seconds after the beginning of a request, for the kinds ``during …``.
    """

    kind: str
    number: int
    after: float = 0.0


def kind_of(event: str, request: str) -> str:
    """Return the kind of an event of a run.

    :param request: What the last log record was about: ``upsert`` or ``deletion``.
    """
    when, _, rest = event.partition(" ")
    if rest == "send":
        return f"{when} {request}"
    if rest.startswith("acknowledgement"):
        return f"{when} acknowledgement of {request}"
    action, _, name = rest.partition(" ")
    return f"{when} {action} {next(kind for pattern, kind in _OBJECTS.items() if re.fullmatch(pattern, name))}"


class KillSwitch:
    """A probe that kills its own process with SIGKILL.

    :param folder: The state's folder, from which the probe reads what a record is about.
    :param kill: When. ``None``: never.
    :param report: Called before the process dies.
    """

    def __init__(self, folder: StateFolder, kill: Kill | None, report: Callable[[str], None]) -> None:
        self._folder = folder
        self._kill = kill
        self._report = report
        self._request = "upsert"
        self._count = 0
        self._lock = threading.Lock()

    def __call__(self, event: str) -> None:
        if self._kill is None:
            return
        if event.startswith("after write log/"):
            content = self._folder.read(event.removeprefix("after write "))
            assert content is not None
            self._request = "deletion" if Record.from_bytes(content).kind == "delete" else "upsert"
        if kind_of(event, self._request) != self._kill.kind.replace("during", "before"):
            return
        with self._lock:
            self._count += 1
            if self._count != self._kill.number:
                return
        if self._kill.kind.startswith("during"):
            timer = threading.Timer(self._kill.after, self._die)
            timer.daemon = True
            timer.start()
        else:
            self._die()

    def _die(self) -> None:
        assert self._kill is not None
        self._report(self._kill.kind)
        os.kill(os.getpid(), signal.SIGKILL)
