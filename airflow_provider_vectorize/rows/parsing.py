"""Parse all rows of a block at once, which is fast but only supports usual rows.

Blocks with unusual rows are parsed line by line by :mod:`~airflow_provider_vectorize.rows.checks`, which reports the
reasons. So this parser may refuse any block, but must never accept a row that the check of its line would refuse.
Without pysimdjson it refuses every block, and loads are correct but slower.
"""

from __future__ import annotations

import secrets
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, pairwise
from operator import itemgetter, sub
from typing import Any, NamedTuple

import numpy as np

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.sources.fields import is_valid_metadata_key

try:
    import simdjson
except ImportError:  # It has no wheel for this Python. Each line is then checked alone.
    simdjson = None  # type: ignore[assignment]

#: Maximum size of a block. The parser keeps as much memory as its largest block took, so it must not get a long line.
#: Without the parser every block is too large.
PARSED_BYTES = 2 << 20 if simdjson else 0
#: Bytes of rows that are parsed at a time. More would not fit in the processor's cache, and their copies would be so
#: large that their memory goes back to the operating system each time. To get it again takes as long as to parse them.
PIECE_BYTES = 128 << 10
#: Minimum number of rows that are parsed at a time, because each time costs as much as a few rows.
PIECE_ROWS = 32
#: Average bytes of a row from which on the lines are copied one by one into the array, because replacing the newlines
#: copies them twice more. Shorter lines take less time to copy than to be found.
LONG_ROW_BYTES = 4 << 10
_NUMBERS = (float, int)
#: Bits of the number that is parsed in place of each newline. No source can guess it.
_NEWLINE_BITS = 62
#: Maximum number of metadata keys to remember. Without a limit, different keys in each row would fill the memory.
REMEMBERED_KEYS = 10_000

_get_id, _get_metadata = itemgetter("id"), itemgetter("metadata")


class Parsed(NamedTuple):
    """The rows of a block as columns.

    :param ids: Ids of the vectors.
    :param values: Values of all vectors, as pieces of bytes of float64.
    """

    ids: list[str]
    values: list[bytes]


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
        self._newline = secrets.randbits(_NEWLINE_BITS)
        self._has_large_row = False

    def parse(self, data: bytes, ends: list[int]) -> Parsed | None:
        """Return the rows of a block, or ``None`` if each line must be checked alone.

        :param data: Whole lines, each with its ``\\n``. Bytes after the last end are not part of the block.
        :param ends: Where each line ends.
        """
        if ends[-1] > PARSED_BYTES:
            return None
        # The size of metadata is checked only in blocks that may contain metadata that is too large.
        self._has_large_row = max(map(sub, ends, (0, *ends))) > self._limits.metadata_bytes
        parsed = Parsed([], [])
        try:
            for bounds in _pieces(ends):
                self._parse(self._array(data, bounds), len(bounds) - 1, parsed)
        except (ValueError, TypeError, LookupError, RuntimeError, AttributeError):
            return None  # The parser refused the JSON, or a value has another type.
        return parsed if self._ids_fit(parsed.ids) else None

    def _array(self, data: bytes, bounds: Sequence[int]) -> bytes:
        """Return lines as one array, with a number after each line, and a zero at the end."""
        # Two rows on one line have no such number between them.
        separator = b",%d," % self._newline
        start, end, count = bounds[0], bounds[-1], len(bounds) - 1
        if end - start < LONG_ROW_BYTES * count:
            return b"".join((b"[", data[start:end].replace(b"\n", separator), b"0]"))
        view = memoryview(data)
        parts: list[bytes | memoryview] = [separator] * (2 * count)
        parts[::2] = [view[first:last] for first, last in pairwise(bounds)]
        return b"".join((b"[", *parts, b"0]"))

    def _parse(self, array: bytes, count: int, parsed: Parsed) -> None:
        """Add the rows of an array to those that were parsed before."""
        document = list(self._parser.parse(array))
        if len(document) != 2 * count + 1 or document[1::2] != [self._newline] * count:
            raise _UnusualError
        rows = document[:-1:2]
        parsed.ids.extend(map(_get_id, rows))
        if self._dimensions:
            parsed.values.append(self._values(rows, _has_flat_arrays(array, count)))
        self._check_other_keys(*self._other_keys(rows))

    def _values(self, rows: list[Any], are_flat: bool) -> bytes:
        """Return the values of rows. Check them for nested arrays unless they certainly ``are_flat``."""
        dimensions = self._dimensions
        buffers = []
        for row in rows:
            array = row["values"]
            if len(array) != dimensions:
                raise _UnusualError
            # as_buffer() would also accept nested arrays and take their values.
            if not are_flat and not all(type(value) in _NUMBERS for value in array):
                raise _UnusualError
            buffers.append(array.as_buffer(of_type="d"))
        return b"".join(buffers)

    def _other_keys(self, rows: list[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Return the namespaces and the metadata of the rows, or nothing if certainly no row has any."""
        lengths = set(map(len, rows))
        if lengths == {2}:
            return (), ()
        # Looking up a missing key is the slowest step, and listing the keys takes as long as listing those of the
        # metadata. Both are avoided if all rows have id, values, metadata and no other key.
        if lengths == {3}:
            with suppress(KeyError):
                return (), list(map(_get_metadata, rows))
        keys = [set(row) for row in rows]
        if list(map(len, keys)) != list(map(len, rows)) or not all("values" in names for names in keys):
            raise _UnusualError
        return _find_all("namespace", rows, keys), _find_all("metadata", rows, keys)

    def _check_other_keys(self, namespaces: Sequence[Any], metadata: Sequence[Any]) -> None:
        """Check the namespaces and the metadata of rows."""
        if not all(self._namespace_fits(namespace) for namespace in namespaces if namespace is not None):
            raise _UnusualError
        objects = [item for item in metadata if item is not None]
        if not {simdjson.Object}.issuperset(map(type, objects)):
            raise _UnusualError
        if not self._valid_keys.issuperset(chain.from_iterable(objects)):
            self._check_metadata_keys(chain.from_iterable(objects))
        if self._has_large_row and any(len(item.mini) > self._limits.metadata_bytes for item in objects):
            raise _UnusualError

    def _check_metadata_keys(self, names: Iterable[str]) -> None:
        """Check whether all keys are valid, and remember them."""
        for name in names:
            if name not in self._valid_keys:
                if not is_valid_metadata_key(name):
                    raise _UnusualError
                if len(self._valid_keys) < REMEMBERED_KEYS:
                    self._valid_keys.add(name)

    def _namespace_fits(self, namespace: Any) -> bool:
        return len(namespace.encode()) <= self._limits.namespace_bytes

    def _ids_fit(self, ids: list[str]) -> bool:
        try:
            text = "".join(ids)
        except TypeError:  # One of the ids is not a string.
            return False
        limit = self._limits.id_bytes
        return max(map(len, ids)) <= (limit if text.isascii() else limit // 4)


def _find_all(key: str, rows: list[Any], keys: list[set[str]]) -> list[Any]:
    """Return the value of a key in each row, or ``None`` where the row does not have it."""
    return [row[key] if key in names else None for row, names in zip(rows, keys, strict=True)]


def _has_flat_arrays(array: bytes, count: int) -> bool:
    """Return whether certainly no array of the rows contains another one. Brackets in strings count as if of arrays.

    :param array: The rows and the numbers between them, as an array.
    :param count: Number of rows.
    """
    is_short = len(array) < LONG_ROW_BYTES * count  # In long rows, finding the brackets is faster than counting them.
    if is_short and np.count_nonzero(np.frombuffer(array, np.uint8) == ord("[")) == count + 1:
        return True  # Each row has only the bracket of its values.
    find, at = array.find, 1
    while at := find(b"[", at) + 1:
        last = find(b"]", at)
        if find(b"[", at, last) >= 0:
            return False
        at = last
    return True


def _pieces(ends: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield pieces of whole lines: where the first line begins, and where each one ends."""
    bounds = (0, *ends)
    first = 0
    while first < len(ends):
        stop = max(bisect_right(bounds, bounds[first] + PIECE_BYTES, first) - 1, first + PIECE_ROWS)
        yield bounds[first : stop + 1]
        first = stop
