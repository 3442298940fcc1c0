"""Parse all rows of a block at once, which is fast but only supports usual rows.

Blocks with unusual rows are parsed line by line by :mod:`~airflow_provider_vectorize.rows.checks`, which reports the
reasons. So this parser may refuse any block, but must never accept a row that the check of its line would refuse.
Without pysimdjson it refuses every block, and loads are correct but slower.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import sub
from typing import Any, NamedTuple

import numpy as np

from airflow_provider_vectorize.api.limits import Limits

try:
    import simdjson
except ImportError:  # It has no wheel for this Python. Each line is then checked alone.
    simdjson = None  # type: ignore[assignment]

#: Maximum size of a block. The parser keeps as much memory as its largest block took, so it must not get a long line.
#: Without the parser every block is too large.
PARSED_BYTES = 2 << 20 if simdjson else 0
_NUMBERS = (float, int)
#: Maximum number of metadata keys to remember. Without a limit, different keys in each row would fill the memory.
REMEMBERED_KEYS = 10_000


class Parsed(NamedTuple):
    """The rows of a block as columns.

    :param ids: Ids of the vectors.
    :param values: Values of each vector, as bytes of float64.
    """

    ids: list[str]
    values: list[Any]


class _UnusualError(ValueError):
    """The block must be checked line by line."""


class RowParser:
    """Parses blocks. Not safe for concurrent threads.

    :param dimensions: Number of values that each row must have. 0: do not check the values.
    :param limits: Limits of Cloudflare.
    """

    def __init__(self, dimensions: int, limits: Limits) -> None:
        self._dimensions = dimensions
        self._limits = limits
        self._parser: Any = simdjson.Parser() if simdjson else None
        self._valid_keys: set[str] = set()  # Metadata keys that were already checked.
        self._metadata_only = False  # Whether the last row had id, values, metadata and no other key.
        self._arrays_are_flat = self._has_large_row = False

    def parse(self, data: bytes, ends: list[int]) -> Parsed | None:
        """Return the rows of a block, or ``None`` if each line must be checked alone.

        :param data: Whole lines, each with its ``\\n``. Bytes after the last end are not part of the block.
        :param ends: Where each line ends.
        """
        if ends[-1] > PARSED_BYTES:
            return None
        # Values are checked for nested arrays, and metadata for its size, only in blocks that may contain such rows.
        self._arrays_are_flat = not self._dimensions or _has_flat_arrays(data, ends)
        self._has_large_row = max(map(sub, ends, (0, *ends))) > self._limits.metadata_bytes
        try:
            parsed = self._parse(data, ends)
            return parsed if len(parsed.ids) == len(ends) and self._ids_fit(parsed.ids) else None
        except (ValueError, TypeError, LookupError, RuntimeError, AttributeError):
            return None  # The parser refused the JSON, or a value has another type.

    def _parse(self, data: bytes, ends: list[int]) -> Parsed:
        # The rows become one array, with a 0 for each newline. A newline inside of a row breaks the JSON or leaves a 0
        # out between two rows. Two rows on one line have no 0 between them.
        text = memoryview(data.replace(b"\n", b",0,", len(ends)))[: ends[-1] + 2 * len(ends)]
        document: Iterator[Any] = iter(self._parser.parse(b"".join((b"[", text, b"0]"))))
        ids: list[str] = []
        values: list[Any] = []
        for row in document:
            if row == 0:  # The 0 after the last newline.
                break
            ids.append(row["id"])
            if self._dimensions:
                values.append(self._values(row["values"]))
            if len(row) != 2:
                self._check_other_keys(row)
            if next(document) != 0:
                raise _UnusualError
        if next(document, None) is not None:
            raise _UnusualError
        return Parsed(ids, values)

    def _values(self, array: Any) -> Any:
        if len(array) != self._dimensions:
            raise _UnusualError
        # as_buffer() would also accept nested arrays and take their values.
        if not self._arrays_are_flat and not all(type(value) in _NUMBERS for value in array):
            raise _UnusualError
        return array.as_buffer(of_type="d")

    def _check_other_keys(self, row: Any) -> None:
        """Check namespace and metadata of a row that has other keys than id and values."""
        # Looking up a missing key is the slowest step, and listing the keys takes as long as listing those of the
        # metadata. Both are avoided if the row, like the one before, has no other keys than id, values and metadata.
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
            if not self._valid_keys.issuperset(names) and not self._check_metadata_keys(names):
                raise _UnusualError
            if self._has_large_row and len(metadata.mini) > self._limits.metadata_bytes:
                raise _UnusualError

    def _check_metadata_keys(self, names: list[str]) -> bool:
        """Return whether all keys are valid, and remember them."""
        if not all(isinstance(name, str) and is_valid_metadata_key(name) for name in names):
            return False
        if len(self._valid_keys) < REMEMBERED_KEYS:
            self._valid_keys.update(names)
        return True

    def _namespace_fits(self, namespace: Any) -> bool:
        return namespace is None or len(namespace.encode()) <= self._limits.namespace_bytes

    def _ids_fit(self, ids: list[str]) -> bool:
        try:
            text = "".join(ids)
        except TypeError:  # One of the ids is not a string.
            return False
        limit = self._limits.id_bytes
        return max(map(len, ids)) <= (limit if text.isascii() else limit // 4)


def _has_flat_arrays(data: bytes, ends: list[int]) -> bool:
    """Return whether certainly no array contains another one. Brackets in strings count as brackets of arrays."""
    size = ends[-1]
    if np.count_nonzero(np.frombuffer(data, np.uint8, size) == ord("[")) == len(ends):
        return True  # Each row has only the bracket of its values.
    find, at = data.find, 0
    while at := find(b"[", at, size) + 1:
        last = find(b"]", at, size)
        if find(b"[", at, last) >= 0:
            return False
        at = last
    return True


def is_valid_metadata_key(key: str) -> bool:
    """Return whether Vectorize accepts a key in metadata."""
    return bool(key) and key[0] != "$" and "." not in key and '"' not in key
