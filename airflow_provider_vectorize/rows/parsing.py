"""All rows of a block parsed at once, as fast as they can be, where nothing about them is unusual.

What is unusual is looked at line by line, by :mod:`~airflow_provider_vectorize.rows.checks`, which knows the reasons.
So this may give up whenever it likes, but must not take a row that a look at the line would refuse.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import sub
from typing import Any, NamedTuple

import numpy as np
import simdjson

from airflow_provider_vectorize.api.limits import Limits

#: A parser keeps the memory of the largest block that it has seen: larger ones, of one long line, are not for it.
PARSED_BYTES = 2 << 20
_NUMBERS = (float, int)
#: Keys that are remembered; metadata with others in each row must not fill the memory.
REMEMBERED = 10_000


class Parsed(NamedTuple):
    """The rows of a block as columns.

    :param ids: of the vectors.
    :param values: each vector's values, as the bytes of float64.
    """

    ids: list[str]
    values: list[Any]


class _UnusualError(ValueError):
    """Something that has to be looked at line by line."""


class RowParser:
    """Parses blocks. For one thread.

    :param dimensions: that each row's values must have, or 0: the rows have none to be looked at.
    :param limits: Cloudflare's limits.
    """

    def __init__(self, dimensions: int, limits: Limits) -> None:
        self._dimensions = dimensions
        self._limits = limits
        self._parser = simdjson.Parser()
        self._keys: set[str] = set()  # of metadata: those that are allowed
        self._metadata_only = False  # the last row had id, values, metadata and nothing else
        self._flat = self._large = False

    def parse(self, data: bytes, ends: list[int]) -> Parsed | None:
        """The rows of a block, or ``None`` where it has to be looked at line by line.

        :param data: whole lines, each with its ``\\n``; what follows the last end does not belong to them.
        :param ends: where each ends.
        """
        if ends[-1] > PARSED_BYTES:
            return None
        # Only then can values have arrays in them, or metadata be too large.
        self._flat = not self._dimensions or _flat(data, ends)
        self._large = max(map(sub, ends, (0, *ends))) > self._limits.metadata_bytes
        try:
            parsed = self._parse(data, ends)
            return parsed if len(parsed.ids) == len(ends) and self._ids_fit(parsed.ids) else None
        except (ValueError, TypeError, LookupError, RuntimeError, AttributeError):  # the parser's, or of another type
            return None

    def _parse(self, data: bytes, ends: list[int]) -> Parsed:
        # One array, with a 0 for each newline. A newline inside a row then breaks it, or the 0 is missed outside;
        # two rows on a line have none between them.
        text = memoryview(data.replace(b"\n", b",0,", len(ends)))[: ends[-1] + 2 * len(ends)]
        document: Iterator[Any] = iter(self._parser.parse(b"".join((b"[", text, b"0]"))))  # type: ignore[arg-type]
        ids: list[str] = []
        values: list[Any] = []
        for row in document:
            if row == 0:  # after the last newline
                break
            ids.append(row["id"])
            if self._dimensions:
                values.append(self._values(row["values"]))
            if len(row) != 2:
                self._look_at_others(row)
            if next(document) != 0:
                raise _UnusualError
        if next(document, None) is not None:
            raise _UnusualError
        return Parsed(ids, values)

    def _values(self, array: Any) -> Any:
        if len(array) != self._dimensions:
            raise _UnusualError
        # What is in arrays inside the array would be taken, too.
        if not self._flat and not all(type(value) in _NUMBERS for value in array):
            raise _UnusualError
        return array.as_buffer(of_type="d")

    def _look_at_others(self, row: Any) -> None:
        """Whatever a row has besides id and values."""
        # To ask for a key that is not there costs more than all else, and to list them as much as a metadata's.
        if not self._metadata_only or len(row) != 3 or "metadata" not in row:
            keys = set(row)
            if len(keys) != len(row) or "values" not in keys:
                raise _UnusualError
            if "namespace" in keys and not self._namespace_fits(row["namespace"]):
                raise _UnusualError
            self._metadata_only = len(keys) == 3 and "metadata" in keys
            if "metadata" not in keys:
                return
        metadata = row["metadata"]
        if metadata is not None:
            if type(metadata) is not simdjson.Object:
                raise _UnusualError
            names = list(metadata)
            if not self._keys.issuperset(names) and not self._learn(names):
                raise _UnusualError
            if self._large and len(metadata.mini) > self._limits.metadata_bytes:
                raise _UnusualError

    def _learn(self, names: list[str]) -> bool:
        """Whether metadata may have these keys."""
        if not all(isinstance(name, str) and metadata_key_fits(name) for name in names):
            return False
        if len(self._keys) < REMEMBERED:
            self._keys.update(names)
        return True

    def _namespace_fits(self, namespace: Any) -> bool:
        return namespace is None or len(namespace.encode()) <= self._limits.namespace_bytes

    def _ids_fit(self, ids: list[str]) -> bool:
        try:
            text = "".join(ids)
        except TypeError:  # one is no text
            return False
        most = self._limits.id_bytes
        return max(map(len, ids)) <= (most if text.isascii() else most // 4)


def _flat(data: bytes, ends: list[int]) -> bool:
    """Whether no array has another one in it, by the brackets; also those in texts count, so it is on the safe side."""
    size = ends[-1]
    if np.count_nonzero(np.frombuffer(data, np.uint8, size) == ord("[")) == len(ends):  # that of the values in each
        return True
    find, at = data.find, 0
    while at := find(b"[", at, size) + 1:
        last = find(b"]", at, size)
        if find(b"[", at, last) >= 0:
            return False
        at = last
    return True


def metadata_key_fits(key: str) -> bool:
    """Whether Vectorize takes such a key in metadata."""
    return bool(key) and key[0] != "$" and "." not in key and '"' not in key
