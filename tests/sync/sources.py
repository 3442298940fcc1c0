"""Sources in memory whose rows, faults and versions a test decides, and what they should lead to."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.sources.lines import Text
from tests.support import DIMENSIONS


class ModelRow(NamedTuple):
    """A row: good with a content, bad with a readable ID, or so bad that its ID cannot be read."""

    kind: Literal["good", "bad", "unreadable"]
    id: str
    content: int = 0

    def line(self, parameter: int = 0) -> bytes:
        """Return the row as it is read with a parameter that shapes rows."""
        if self.kind == "unreadable":
            return f'{{"id": "{self.id}", "values": [1, '.encode()
        values = [1.0] if self.kind == "bad" else [float(self.content + 1)] * DIMENSIONS
        return json.dumps({"id": self.id, "values": values, "metadata": {"c": self.content, "p": parameter}}).encode()


#: The rows of each object by its name.
Source = Mapping[str, Sequence[ModelRow]]
Fault = Literal["truncated", "gone"]


class MemoryObject:
    """An object in memory.

    :param name: Name of the object.
    :param rows: Its rows.
    :param fault: What goes wrong when it is read.
    :param parameter: A parameter that shapes rows. It does not change the version of the object.
    :param read_rows: Returns the rows that the object has now. An object that has changed since the run has listed it
        cannot be opened, as in storage. Default: the object never changes.
    """

    encoding = ""

    def __init__(
        self,
        name: str,
        rows: Sequence[ModelRow],
        fault: Fault | None = None,
        parameter: int = 0,
        read_rows: Callable[[], Sequence[ModelRow] | None] | None = None,
    ) -> None:
        self._has_changed = lambda: read_rows is not None and read_rows() != rows
        self.uri = self.key = self.identity = f"memory://{name}"
        self._content = b"".join(row.line(parameter) + b"\n" for row in rows)
        stored = b"".join(row.line() for row in rows)
        self._fault = fault
        self.size = len(self._content)
        self.version = f"{self.size}:{hashlib.sha256(stored).hexdigest()[:16]}"

    def read(self, start: int, end: int) -> bytes:
        return self._content[start:end]

    def current_version(self) -> str:
        return self.version

    @contextmanager
    def open(self, offset: int) -> Iterator[Text]:
        if self._fault == "gone" or self._has_changed():
            raise SourceError(f"There is no object {self.uri}.", uri=self.uri)
        stream: io.RawIOBase | io.BytesIO = io.BytesIO(self._content[offset:])
        if self._fault == "truncated":
            lines = self._content.splitlines(keepends=True)
            stream = _Truncated(b"".join(lines[: len(lines) // 2]), self.uri)
        yield Text(stream)  # type: ignore[arg-type]


class _Truncated(io.BytesIO):
    """A stream that ends in an error."""

    def __init__(self, content: bytes, uri: str) -> None:
        super().__init__(content)
        self._uri = uri

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise SourceError(f"{self._uri} is truncated.", uri=self._uri)
        return data


@dataclass
class Truth:
    """What a source should lead to.

    :param good: The content of each ID with a good row. The last one wins.
    :param present: All IDs in the source, also those of bad rows.
    :param unreadable: Whether there is a row whose ID cannot be read.
    :param repeated: IDs that occur more than once.
    """

    good: dict[str, int] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    unreadable: bool = False
    repeated: set[str] = field(default_factory=set)


def truth_of(source: Source) -> Truth:
    """Return what a source should lead to."""
    truth = Truth()
    for name in sorted(source):
        for row in source[name]:
            if row.id in truth.present:
                truth.repeated.add(row.id)
            truth.present.add(row.id)
            if row.kind == "good":
                truth.good[row.id] = row.content
            truth.unreadable |= row.kind == "unreadable"
    return truth


def change(
    source: Source, earlier: Sequence[Source], rng: random.Random, ids: int, objects: str = "abc"
) -> dict[str, list[ModelRow]]:
    """Return a source that differs from another one by one change, as nights bring them.

    A row is added, changed, removed, moved to another object, or becomes bad. An object is removed. Or the source is
    what it was in an earlier night.

    :param earlier: The source of earlier nights, the last one at the end.
    :param ids: Number of IDs. They may occur more than once.
    :param objects: Names of the objects, one letter each.
    """
    chance = rng.random()
    if chance > 0.9 and earlier:
        return _copy(rng.choice(earlier[-3:]))
    changed = _copy(source)
    if chance < 0.25 or not changed:
        row = ModelRow("good", f"v{rng.randrange(ids)}", rng.randrange(3))
        changed.setdefault(rng.choice(objects), []).append(row)
        if rng.random() < 0.15:  # An earlier object has a bad row with the ID, perhaps before the sync knows it.
            changed.setdefault(objects[0], []).append(ModelRow("bad", row.id))
        return changed
    name = rng.choice(sorted(changed))
    rows = changed[name]
    if chance > 0.86:
        del changed[name]
    elif chance > 0.84:
        rows.append(ModelRow("bad", rng.choice([f"f{rng.randrange(3)}", f"v{rng.randrange(ids)}"])))
    elif rows:
        number = rng.randrange(len(rows))
        row = rows.pop(number)
        if chance < 0.45:
            vector_id = row.id if row.id.startswith("v") else f"v{rng.randrange(ids)}"  # No good row has a foreign ID.
            rows.insert(number, ModelRow("good", vector_id, rng.randrange(3)))
        elif 0.6 <= chance < 0.72:
            changed.setdefault(rng.choice(objects), []).append(row)
        elif chance >= 0.72:
            rows.insert(number, ModelRow("bad" if rng.random() < 0.7 else "unreadable", row.id))
    return changed


def all_changed(source: Source) -> Source:
    """Return a source with another content of each row."""
    return {name: [row._replace(content=row.content + 1) for row in rows] for name, rows in source.items()}


def _copy(source: Source) -> dict[str, list[ModelRow]]:
    return {name: list(rows) for name, rows in source.items()}
