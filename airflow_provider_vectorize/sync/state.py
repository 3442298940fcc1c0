"""The committed state of a sync: ``current.json`` as a frozen value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.rows.hashing import HASH_VERSION
from airflow_provider_vectorize.sync.folder import CURRENT, StateFolder, damaged, read_json

#: Version of the format of the state.
FORMAT = 1
#: Folder of the columns inside of the state's folder.
GENERATIONS = "generations/"


class Generation(NamedTuple):
    """The identity of a committed state.

    :param number: Number of the generation, from 1.
    :param run: ID of the run that committed it.
    """

    number: int
    run: str

    def __str__(self) -> str:
        return f"{self.number:06d}-{self.run}"


@dataclass(frozen=True)
class ObjectState:
    """An object of the source when the generation was committed.

    :param uri: URI of the object.
    :param version: Its version, or ``None`` if the next run has to open it even if its version is the same.
    :param rows: Number of its rows.
    """

    uri: str
    version: str | None
    rows: int


@dataclass(frozen=True)
class ColumnsFile:
    """The file that holds the ids of a generation.

    :param name: Name in the state's folder.
    :param ids: Number of ids.
    :param bytes: Size of the file.
    :param sha256: Checksum of the file.
    """

    name: str
    ids: int
    bytes: int
    sha256: str


#: Numbers of log records by run, as ranges: each is the first and the last number.
Absorbed = Mapping[str, Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class State:
    """A committed generation.

    :param generation: Its identity.
    :param account: Account of the index.
    :param index_name: Name of the index.
    :param created_on: Creation time of the incarnation of the index that the hashes describe.
    :param dimensions: Dimensions of the index.
    :param metric: Metric of the index.
    :param parameters: Fingerprint of the parameters that shape rows.
    :param changed_by: What the hashes cover.
    :param hash_version: Version of the definition of the hashes.
    :param objects: The objects of the source, in order. The columns refer to them by number.
    :param columns: The file with the ids.
    :param absorbed: The log records that are part of this generation.
    :param spent: Plans that were approved and carried out.
    :param last_mutation: The last mutation that any run has sent, for the audit.
    :param counts: Counts of the run, for people.
    :param committed_at: Time of the commit, for people.
    :param before: Name of the generation before, or empty if it is the first one.
    """

    generation: Generation
    account: str
    index_name: str
    created_on: str
    dimensions: int
    metric: str
    parameters: str
    changed_by: str
    objects: tuple[ObjectState, ...]
    columns: ColumnsFile
    hash_version: int = HASH_VERSION
    absorbed: Absorbed = field(default_factory=dict)
    spent: tuple[str, ...] = ()
    last_mutation: Mapping[str, Any] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    committed_at: str = ""
    before: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain JSON."""
        return {"format": FORMAT} | asdict(self) | {"generation": self.generation._asdict()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> State:
        """Read :meth:`to_dict` back.

        :raises (TypeError, KeyError, ValueError, AttributeError): The value is not a state.
        """
        values = {name: plain[name] for name in cls.__dataclass_fields__ if name in plain}
        return cls(**values | {
            "generation": Generation(int(plain["generation"]["number"]), str(plain["generation"]["run"])),
            "objects": tuple(ObjectState(**known) for known in plain["objects"]),
            "columns": ColumnsFile(**plain["columns"]),
            "absorbed": {
                str(run): tuple((int(first), int(last)) for first, last in ranges)
                for run, ranges in plain["absorbed"].items()
            },
            "spent": tuple(plain["spent"]),
        })  # fmt: skip


def read_state(folder: StateFolder, name: str = CURRENT) -> State | None:
    """Return the committed state, or ``None`` if there is none.

    :raises SourceError: The state cannot be read, is damaged, or was written by a newer version of the provider.
    """
    plain = read_json(folder, name)
    if plain is None:
        return None
    version = plain.get("format")
    if not isinstance(version, int):
        raise damaged(folder, name, f"it has no format, but {version!r}")
    if version > FORMAT:
        raise SourceError(
            f"{folder.uri}/{name} was written by a newer version of the provider (format {version}, this "
            f"version reads {FORMAT}). Upgrade the provider. Nothing was sent or deleted.",
            uri=f"{folder.uri}/{name}",
            permanent=True,
        )
    try:
        return State.from_dict(plain)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise damaged(folder, name, f"it is not a state ({type(error).__name__}: {error})") from error


def columns_name(generation: Generation) -> str:
    """Return the name of the columns of a generation."""
    return f"{GENERATIONS}{generation}.parquet"


def generation_number(name: str) -> int | None:
    """Return the number of the generation to which a file in :data:`GENERATIONS` belongs, if any."""
    number = name.removeprefix(GENERATIONS).partition("-")[0]
    return int(number) if name.startswith(GENERATIONS) and number.isdigit() else None


def fingerprint(parameters: Mapping[str, Any]) -> str:
    """Return a digest of the parameters that shape rows."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode()).hexdigest()[:16]


def as_ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return numbers as ranges, each with its first and its last number."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)


def is_absorbed(absorbed: Absorbed, run: str, number: int) -> bool:
    """Return whether a log record is part of a generation."""
    return any(first <= number <= last for first, last in absorbed.get(run, ()))
