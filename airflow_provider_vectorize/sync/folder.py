"""The folder that holds the state of a sync, and who may write to it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import IO, Any, Protocol

from airflow_provider_vectorize.errors import SourceError, SyncTakenOverError

CURRENT = "current.json"
OWNER = "owner.json"

#: Called before and after each step that others can see: writes, requests, acknowledgements and deletions.
Probe = Callable[[str], None]


class StateFolder(Protocol):
    """A folder in storage. Names are relative to it. Only "not found" means that an object does not exist.

    :param uri: URI of the folder, for messages.
    """

    @property
    def uri(self) -> str: ...

    def read(self, name: str) -> bytes | None:
        """Return the content of an object, or ``None`` if it does not exist.

        :raises SourceError: The object cannot be read, for instance because access is denied.
        """
        ...

    def download(self, name: str, target: IO[bytes]) -> bool:
        """Copy the content of an object to a file, and return whether the object exists.

        :raises SourceError: The object cannot be read.
        """
        ...

    def write(self, name: str, content: IO[bytes]) -> None:
        """Create or replace an object atomically: readers see all of the old or all of the new content.

        :raises SourceError: The object cannot be written.
        """
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the names of all objects whose names start with a prefix that ends in ``/``, or of all objects.

        :raises SourceError: The folder cannot be listed.
        """
        ...

    def delete(self, name: str) -> None:
        """Delete an object. It is no error if it does not exist.

        :raises SourceError: The object cannot be deleted.
        """
        ...


class ProbedFolder:
    """A folder that calls a probe before and after each change, so that tests can kill a run there.

    :param folder: The folder.
    :param probe: Called with ``before write <name>``, ``after write <name>``, and the same for ``delete``.
    """

    def __init__(self, folder: StateFolder, probe: Probe) -> None:
        self._folder = folder
        self._probe = probe

    @property
    def uri(self) -> str:
        """Return the URI of the folder."""
        return self._folder.uri

    def read(self, name: str) -> bytes | None:
        """Return the content of an object, or ``None`` if it does not exist."""
        return self._folder.read(name)

    def download(self, name: str, target: IO[bytes]) -> bool:
        """Copy the content of an object to a file, and return whether the object exists."""
        return self._folder.download(name, target)

    def write(self, name: str, content: IO[bytes]) -> None:
        """Create or replace an object atomically."""
        if name != CURRENT:  # The commit calls the probe itself, before its last checks.
            self._probe(f"before write {name}")
        self._folder.write(name, content)
        self._probe(f"after write {name}")

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the names of all objects whose names start with a prefix."""
        return self._folder.list(prefix)

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._probe(f"before delete {name}")
        self._folder.delete(name)
        self._probe(f"after delete {name}")


def read_json(folder: StateFolder, name: str) -> dict[str, Any] | None:
    """Return the JSON object that an object in storage holds, or ``None`` if the latter does not exist.

    :raises SourceError: It cannot be read, or its content is something else.
    """
    content = folder.read(name)
    if content is None:
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise damaged(folder, name, f"it is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise damaged(folder, name, f"it is not a JSON object but {type(value).__name__}")
    return value


def write_json(folder: StateFolder, name: str, value: Any) -> None:
    """Write a JSON value to an object."""
    folder.write(name, io.BytesIO(json.dumps(value, indent=1).encode() + b"\n"))


def damaged(folder: StateFolder, name: str, problem: str) -> SourceError:
    """Return the error for an object that does not hold what a sync writes."""
    return SourceError(
        f"The state of the sync cannot be used: {folder.uri}/{name} is damaged, because {problem}. Nothing was sent or "
        "deleted. Restore the folder from a backup and run the sync with reconcile=True, or move the folder away and "
        "sync again: then every row is sent once, and vectors that left the source before stay in the index.",
        uri=f"{folder.uri}/{name}",
        permanent=True,
    )


class Owner:
    """The right to write to the folder. The run that claimed it last has it.

    A process that is frozen between a check and its next write can still write. Nothing prevents that.

    :param folder: The folder.
    :param run: ID of this run.
    """

    def __init__(self, folder: StateFolder, run: str) -> None:
        self._folder = folder
        self._run = run
        self._claimed = False

    def claim(self, details: dict[str, Any]) -> None:
        """Become the owner. A run that owned the folder before stops at its next check.

        :param details: Who the run is, for the person who reads the file.
        """
        write_json(self._folder, OWNER, {"run": self._run, "details": details})
        self._claimed = True

    def check(self) -> None:
        """Check that no other run has claimed the folder since.

        :raises SyncTakenOverError: Another run has claimed it.
        """
        if not self._claimed:
            return
        owner = read_json(self._folder, OWNER)
        other = owner.get("run") if owner else None
        if other != self._run:
            raise SyncTakenOverError(
                f"Another run took over: run {other} of a sync claimed {self._folder.uri} after this run ({self._run}) "
                "had started. This run stops. What it has written is in its log, and the other run or the next one "
                "takes it into account. If two DAGs use the same state, give each its own folder. Otherwise set "
                "max_active_runs=1.",
                run=str(other),
            )
