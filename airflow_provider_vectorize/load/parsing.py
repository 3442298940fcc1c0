"""All rows of a block parsed at once, as fast as they can be, where nothing about them is unusual.

What is unusual is looked at line by line, by :mod:`~airflow_provider_vectorize.load.vectors`, which knows the reasons.
So this may give up whenever it likes, but must not take a row that a look at the line would refuse.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import simdjson

from airflow_provider_vectorize.api.limits import Limits

#: A parser keeps the memory of the largest block that it has seen: larger ones, of one long line, are not for it.
PARSED_BYTES = 2 << 20
_NUMBERS = (float, int)
#: Spellings of keys that are remembered; metadata whose keys are different in each row must not fill the memory.
REMEMBERED = 10_000


class Parsed(NamedTuple):
    """The rows of a block as columns.

    :param ids: of the vectors.
    :param values: each vector's values, as the bytes of float64.
    """

    ids: list[str]
    values: list[Any]


class _Shape(NamedTuple):
    """What a row has besides id and values."""

    namespace: bool
    metadata: bool


class RowParser:
    """Parses blocks. For one thread.

    :param dimensions: that each row's values must have, or 0: the rows have none to be looked at.
    :param limits: Cloudflare's limits.
    """

    def __init__(self, dimensions: int, limits: Limits) -> None:
        self._dimensions = dimensions
        self._limits = limits
        self._parser = simdjson.Parser()
        self._shapes: dict[tuple[str, ...], _Shape | None] = {("id", "values"): _Shape(False, False)}
        self._keys: set[str] = set()  # of metadata: those that are allowed

    def parse(self, data: bytes, rows: int) -> Parsed | None:
        """The rows of a block, or ``None`` where it has to be looked at line by line.

        :param data: whole lines, each with its ``\\n``.
        :param rows: how many lines those are.
        """
        if len(data) > PARSED_BYTES:
            return None
        try:
            parsed = self._parse(data, flat=_flat(data))
        except (ValueError, TypeError, LookupError, RuntimeError, AttributeError):
            return None
        return parsed if parsed and len(parsed.ids) == rows and self._ids_fit(parsed.ids) else None

    def _parse(self, data: bytes, *, flat: bool) -> Parsed | None:
        # One array, with a 0 for each newline. A newline inside a row then breaks it, or the 0 is missed outside;
        # two rows on a line have none between them.
        document = iter(self._parser.parse(b"[%b0]" % data.replace(b"\n", b",0,")))
        dimensions, metadata_bytes = self._dimensions, self._limits.metadata_bytes
        ids: list[str] = []
        values: list[Any] = []
        for row in document:
            if row == 0:  # after the last newline
                return Parsed(ids, values) if next(document, None) is None else None
            ids.append(row["id"])
            if dimensions:
                array = row["values"]
                if len(array) != dimensions or not (flat or all(type(value) in _NUMBERS for value in array)):
                    return None  # as_buffer takes what is in arrays inside the array, too
                values.append(array.as_buffer(of_type="d"))
            keys = tuple(row)
            shape = self._shapes[keys] if keys in self._shapes else self._shape(keys)
            if shape is None:
                return None
            if shape.namespace and not self._namespace_fits(row["namespace"]):
                return None
            if shape.metadata:
                metadata = row["metadata"]
                if metadata is not None:
                    names = list(metadata)
                    if not self._keys.issuperset(names) and not self._learn(names):
                        return None
                    if len(data) > metadata_bytes and len(metadata.mini) > metadata_bytes:
                        return None
            if next(document) != 0:
                return None
        return None

    def _shape(self, keys: tuple[str, ...]) -> _Shape | None:
        found = set(keys)
        plain = len(found) == len(keys) and {"id", "values"} <= found
        shape = _Shape("namespace" in found, "metadata" in found) if plain else None
        if len(self._shapes) < REMEMBERED:
            self._shapes[keys] = shape
        return shape

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


def _flat(data: bytes) -> bool:
    """Whether no array has another one in it, by the brackets; also those in texts count, so it is on the safe side."""
    find, at = data.find, 0
    while at := find(b"[", at) + 1:
        last = find(b"]", at)
        if find(b"[", at, last) >= 0:
            return False
        at = last
    return True


def metadata_key_fits(key: str) -> bool:
    """Whether Vectorize takes such a key in metadata."""
    return bool(key) and key[0] != "$" and "." not in key and '"' not in key
