"""The write-ahead log: an ID is written down before it is sent, and its hash counts only after the acknowledgement."""

from __future__ import annotations

import gzip
import io
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from airflow_provider_vectorize.sync.folder import Owner, Probe, StateFolder, damaged
from airflow_provider_vectorize.sync.state import Absorbed, Generation, as_ranges, is_absorbed

LOG = "log/"
Kind = Literal["upsert", "delete"]
_NAME = re.compile(r"log/([^/]+)/([0-9]+)\.json\.gz")


@dataclass(frozen=True)
class Record:
    """What one request was about to write.

    :param run: ID of the run.
    :param number: Number of the record in the log of the run, from 0.
    :param kind: ``upsert`` or ``delete``.
    :param generation: The generation on which the run is based, or ``None`` for the first run.
    :param created_on: Creation time of the index, as the run found it.
    :param ids: The IDs, in the order of the request. An ID may occur twice.
    :param hashes: The hash of each row. Empty for a deletion.
    :param objects: URI of the object of each row. Empty for a deletion.
    :param acknowledged: Ranges of the records of this run that were acknowledged before this one was written.
    :param refused: IDs that Vectorize refused, by number of their record.
    :param parameters: Fingerprint of the parameters that shape rows and hashes.
    """

    run: str
    number: int
    kind: Kind
    generation: Generation | None
    created_on: str
    ids: Sequence[str]
    hashes: Sequence[int] = ()
    objects: Sequence[str] = ()
    acknowledged: Sequence[tuple[int, int]] = ()
    refused: Mapping[int, Sequence[str]] = field(default_factory=dict)
    parameters: str = ""

    @property
    def name(self) -> str:
        """Return its name in the state's folder."""
        return record_name(self.run, self.number)

    def to_bytes(self) -> bytes:
        """Return the record as compressed JSON. Each object is named once."""
        uris = list(dict.fromkeys(self.objects))
        numbers = {uri: number for number, uri in enumerate(uris)}
        plain = {
            "run": self.run,
            "number": self.number,
            "kind": self.kind,
            "generation": self.generation and [*self.generation],
            "created_on": self.created_on,
            "parameters": self.parameters,
            "ids": list(self.ids),
            "hashes": list(self.hashes),
            "uris": uris,
            "objects": [numbers[uri] for uri in self.objects],
            "acknowledged": self.acknowledged,
            "refused": {str(number): list(ids) for number, ids in self.refused.items()},
        }
        return gzip.compress(orjson.dumps(plain), 1, mtime=0)

    @classmethod
    def from_bytes(cls, content: bytes) -> Record:
        """Read :meth:`to_bytes` back.

        :raises (OSError, EOFError, ValueError, TypeError, KeyError, LookupError): The content is not a record.
        """
        plain: dict[str, Any] = orjson.loads(gzip.decompress(content))
        generation = plain["generation"]
        uris = plain["uris"]
        return cls(
            plain["run"],
            plain["number"],
            plain["kind"],
            Generation(*generation) if generation else None,
            plain["created_on"],
            plain["ids"],
            plain["hashes"],
            [uris[number] for number in plain["objects"]],
            [(first, last) for first, last in plain["acknowledged"]],
            {int(number): ids for number, ids in plain["refused"].items()},
            plain["parameters"],
        )


def record_name(run: str, number: int) -> str:
    """Return the name of a record in the state's folder."""
    return f"{LOG}{run}/{number:08d}.json.gz"


@dataclass(frozen=True)
class PendingLog:
    """The records of other runs.

    :param records: The records of each run that no generation has absorbed, in order.
    :param numbers: The numbers of all records by run, also of those that a generation has absorbed and a killed run did
        not remove. The next generation has to absorb them again, or they would be pending after it.
    """

    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    numbers: Mapping[str, Sequence[int]] = field(default_factory=dict)


def read_pending(folder: StateFolder, absorbed: Absorbed) -> PendingLog:
    """Read the records that no generation has absorbed, and the names of all others.

    :raises SourceError: A record cannot be read, or is damaged.
    """
    records: dict[str, list[Record]] = {}
    numbers: dict[str, list[int]] = {}
    for name in sorted(folder.list(LOG)):
        match = _NAME.fullmatch(name)
        if not match:
            continue
        run, number = match[1], int(match[2])
        if is_absorbed(absorbed, run, number):
            numbers.setdefault(run, []).append(number)
            continue
        content = folder.read(name)
        if content is None:  # The run that absorbed it has removed it meanwhile. The commit notices that run.
            continue
        numbers.setdefault(run, []).append(number)
        try:
            records.setdefault(run, []).append(Record.from_bytes(content))
        except (OSError, EOFError, ValueError, TypeError, LookupError) as error:
            raise damaged(folder, name, f"it is not a record of a log ({type(error).__name__}: {error})") from error
    return PendingLog(records, numbers)


class Log:
    """The log of this run. Threads may share it.

    :param folder: The state's folder.
    :param owner: Checked before each record.
    :param run: ID of this run.
    :param generation: The generation on which this run is based, or ``None``.
    :param created_on: Creation time of the index.
    :param parameters: Fingerprint of the parameters that shape rows and hashes.
    :param probe: Called around each acknowledgement.
    """

    def __init__(
        self,
        folder: StateFolder,
        owner: Owner,
        run: str,
        generation: Generation | None,
        created_on: str,
        parameters: str = "",
        probe: Probe = lambda event: None,
    ) -> None:
        self._folder = folder
        self._owner = owner
        self._run = run
        self._generation = generation
        self._created_on = created_on
        self._parameters = parameters
        self._probe = probe
        self._lock = threading.Lock()
        self._next = 0
        self._acknowledged: set[int] = set()
        self._refused: dict[int, list[str]] = {}

    @property
    def numbers(self) -> list[int]:
        """Return the numbers of all records of this run."""
        return list(range(self._next))

    @property
    def refused(self) -> set[str]:
        """Return the IDs of all rows that Vectorize refused."""
        return {vector_id for ids in self._refused.values() for vector_id in ids}

    def write(self, kind: Kind, ids: Sequence[str], hashes: Sequence[int] = (), objects: Sequence[str] = ()) -> int:
        """Write down what a request is about to write, and return the number of the record.

        :raises SyncTakenOverError: Another run has claimed the folder.
        :raises SourceError: The record cannot be written.
        """
        self._owner.check()
        with self._lock:
            number, self._next = self._next, self._next + 1
            record = Record(
                self._run,
                number,
                kind,
                self._generation,
                self._created_on,
                ids,
                hashes,
                objects,
                as_ranges(self._acknowledged),
                {number: list(refused) for number, refused in self._refused.items()},
                self._parameters,
            )
        self._folder.write(record.name, io.BytesIO(record.to_bytes()))
        return number

    def acknowledge(self, number: int, refused: Iterable[str] = ()) -> None:
        """Count a record as acknowledged. The next record says so.

        :param refused: IDs of rows that Vectorize refused, so that their content is unknown.
        """
        self._probe(f"before acknowledgement {number}")
        with self._lock:
            self._acknowledged.add(number)
            if ids := list(refused):
                self._refused[number] = ids
        self._probe(f"after acknowledgement {number}")
