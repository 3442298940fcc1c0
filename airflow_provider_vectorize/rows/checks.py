"""A line → a vector that can be sent. Only what Vectorize is known to refuse is refused here."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.rows.float32 import rounds_twice
from airflow_provider_vectorize.rows.parsing import PARSED_BYTES, RowParser, metadata_key_fits


class Checked(NamedTuple):
    """The rows of a block that are all good, as columns.

    :param ids: the vectors' ids, ``None`` where it is not known.
    :param ends: where each ends in what is sent.
    :param body: what is sent, each with its ``\\n``; ``None``: they stand as they are.
    """

    ids: Sequence[str | None]
    ends: list[int]
    body: bytes | None = None


_NULL = msgspec.Raw(b"null")


class Row(msgspec.Struct):
    """One line of ndjson, as far as it is looked at. Other keys are left to Vectorize."""

    id: str
    values: list[float]
    namespace: str | None = None
    metadata: msgspec.Raw = _NULL


class _LongRow(msgspec.Struct):
    """A row whose parts stay text."""

    id: msgspec.Raw
    values: msgspec.Raw
    namespace: msgspec.Raw = _NULL
    metadata: msgspec.Raw = _NULL


_decode = msgspec.json.Decoder(Row).decode
_decode_long = msgspec.json.Decoder(_LongRow).decode
_decode_values = msgspec.json.Decoder(list[float]).decode
_decode_metadata = msgspec.json.Decoder(dict[str, Any] | None).decode

#: A line longer than this is looked at as text first: parsed, its values or metadata could take twenty times its bytes.
LONG_BYTES = 1 << 20
#: Characters of a metadata key that are named.
_NAMED_CHARACTERS = 64


class RowProblem(Exception):  # noqa: N818 - a verdict on a row; nobody outside of a check sees it
    """What is wrong with a row that is JSON of the right shape."""


class FullCheck:
    """Parses every row: JSON, id, dimensions, finite float32, namespace, metadata.

    :param dimensions: the index's.
    :param limits: Cloudflare's limits.
    """

    def __init__(self, dimensions: int, limits: Limits = LIMITS) -> None:
        self._dimensions = dimensions
        self._limits = limits
        self._pack = struct.Struct(f"<{dimensions}f").pack
        # An id of so few characters cannot be too long in bytes, so that its bytes need not be counted.
        self._short = limits.id_bytes // 4
        self._parser = RowParser(dimensions, limits)

    def block(self, data: bytes, ends: list[int]) -> Checked | None:
        """Parse all rows of a block."""
        parsed = self._parser.parse(data, ends)
        return Checked(parsed.ids, ends) if parsed and _float32(parsed.values) is not None else None

    def __call__(self, text: bytes) -> tuple[str, bytes]:
        """Check one line.

        :raises msgspec.DecodeError: it is no vector in JSON.
        :raises RowProblem: it is one that Vectorize refuses.
        """
        row, _ = self._parse(text)
        return row.id, text

    def _parse(self, text: bytes) -> tuple[Row, bytes]:
        """A line that can be sent, and its values as float32."""
        if len(text) > LONG_BYTES:
            self._check_long(text)
        row = _decode(text)
        self.check(row, len(row.values))
        try:
            return row, self._pack(*row.values)
        except OverflowError:
            raise RowProblem("a value is beyond the range of float32") from None

    def _check_long(self, text: bytes) -> None:
        """Refuse what is too long to be parsed, by its bytes alone."""
        row = _decode_long(text)
        for what, raw, most in (
            ("id", row.id, self._limits.id_bytes),
            ("namespace", row.namespace, self._limits.namespace_bytes),
        ):
            if len(memoryview(raw)) > 6 * most + 2:  # quotes, and \u0061 is one byte
                raise RowProblem(f"the {what} has more than {most} bytes, at most {most} are allowed")
        if len(memoryview(row.values)) > LONG_BYTES:
            count = _count(row.values, b",") + 1
            if count > self._dimensions:
                raise RowProblem(f"{count} values, but the index has {self._dimensions} dimensions")
        most = self._limits.metadata_bytes
        size = len(memoryview(row.metadata))
        if size > max(LONG_BYTES, most):
            size -= _count(row.metadata, b" \t\r")
            if size > max(LONG_BYTES, most):
                raise RowProblem(f"the metadata has {size} bytes of compact JSON, at most {most} are allowed")

    def check(self, row: Row, dimensions: int) -> None:
        """Everything but the values themselves."""
        if dimensions != self._dimensions:
            raise RowProblem(f"{dimensions} values, but the index has {self._dimensions} dimensions")
        if len(row.id) > self._short:
            _fits("id", row.id, self._limits.id_bytes)
        if row.namespace is not None:
            _fits("namespace", row.namespace, self._limits.namespace_bytes)
        if row.metadata is not _NULL:
            self._check_metadata(row.metadata)

    def _check_metadata(self, raw: msgspec.Raw) -> None:
        metadata = _decode_metadata(raw)
        for key in metadata or ():
            if not metadata_key_fits(key):
                raise RowProblem(
                    f'the metadata key {key[:_NAMED_CHARACTERS]!r} is empty, begins with $, or has a "." or a quote'
                )
        if len(memoryview(raw)) > self._limits.metadata_bytes:
            size, most = len(msgspec.json.encode(metadata)), self._limits.metadata_bytes
            if size > most:
                raise RowProblem(f"the metadata has {size} bytes of compact JSON, at most {most} are allowed")


def _count(raw: msgspec.Raw, characters: bytes) -> int:
    """How many of a long text's characters are among these."""
    view = memoryview(raw)
    pieces = (bytes(view[at : at + LONG_BYTES]) for at in range(0, len(view), LONG_BYTES))
    return sum(len(piece) - len(piece.translate(None, characters)) for piece in pieces)


def _fits(what: str, text: str, most: int) -> None:
    size = len(text.encode())
    if size > most:
        raise RowProblem(f"the {what} has {size} bytes, at most {most} are allowed")


def _float32(values: Sequence[Any]) -> np.ndarray | None:
    """Float64 values as float32, or ``None`` where one is beyond its range."""
    try:
        with np.errstate(over="raise"):
            return np.frombuffer(b"".join(values), np.float64).astype(np.float32)
    except FloatingPointError:
        return None


#: What stands before the values in most rows: one brace, the row's own, and at the end the key "values". Its first
#: quote follows a comma, a brace or a space. So in valid JSON it begins a text: it does not end one, nor stand in one.
_BEFORE_VALUES = re.compile(rb'[ \t\r]*\{(?:[^{]*,)?[ \t\r]*"values"[ \t\r]*:[ \t\r]*')


def _values_in(data: bytes, ends: list[int]) -> Iterator[tuple[int, int, int, int]]:
    """Of each row: where it begins, its values begin and end, and it ends. Values that are not found have no length."""
    find, usual = data.find, _BEFORE_VALUES.fullmatch
    start = 0
    for end in ends:
        first = find(b"[", start, end)
        if usual(data, start, first):
            yield start, first, find(b"]", first, end) + 1, end
        else:  # an unusual order of keys
            yield start, end, end, end
        start = end


class Float32Check(FullCheck):
    """:class:`FullCheck`, and the values are written anew as the shortest text of the same float32.

    Vectorize stores float32, so nothing is lost, and 40 % fewer bytes travel.
    """

    def block(self, data: bytes, ends: list[int]) -> Checked | None:
        """Parse all rows of a block, and write them anew."""
        parsed = self._parser.parse(data, ends)
        values = _float32(parsed.values) if parsed else None
        if parsed is None or values is None or rounds_twice(values):
            return None
        texts = orjson.dumps(values.reshape(len(ends), -1), option=orjson.OPT_SERIALIZE_NUMPY)
        pieces: list[bytes] = []
        sent: list[int] = []
        at, size = 1, 0
        for start, first, last, end in _values_in(data, ends):
            after = texts.find(b"]", at) + 1
            if after - at < last - first:
                pieces += data[start:first], texts[at:after], data[last:end]
                size += after - at - (last - first)
            else:  # not found; or shorter as they stand, as whole numbers are
                pieces.append(data[start:end])
            size += end - start
            sent.append(size)
            at = after + 1
        return Checked(parsed.ids, sent, b"".join(pieces))

    def __call__(self, text: bytes) -> tuple[str, bytes]:
        """Check one line, and give it back shorter."""
        row, packed = self._parse(text)
        first = text.find(b"[")
        if not _BEFORE_VALUES.fullmatch(text, 0, first):
            return row.id, text  # an unusual order of keys: sent as it stands
        last = text.find(b"]", first)
        values = np.frombuffer(packed, np.float32)
        if rounds_twice(values) or not _are_the_values(text, first, last, row.values):
            return row.id, text
        short = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
        if len(short) > last - first:  # whole numbers, for instance, are shorter as they stand
            return row.id, text
        return row.id, b"%b%b%b" % (text[:first], short, text[last + 1 :])


def _are_the_values(text: bytes, first: int, last: int, values: list[float]) -> bool:
    """Whether an array in a row is the one that was parsed: a key may come twice, or be written with escapes."""
    if text.count(b'"values"') == 1 and b"\\" not in text:
        return True
    return _decode_values(text[first : last + 1]) == values


class LightCheck(FullCheck):
    """Parses everything but the values, and only counts those: NaN or a word among them is left to Vectorize."""

    def __init__(self, dimensions: int, limits: Limits = LIMITS) -> None:
        super().__init__(dimensions, limits)
        self._parser = RowParser(0, limits)

    def block(self, data: bytes, ends: list[int]) -> Checked | None:
        """Parse what is left of a block's rows without their values."""
        # The parser sees the rest only. A cut copies the block, so what is usual comes first.
        if self._dimensions < 2 or ends[-1] > PARSED_BYTES or not (data.isascii() or _utf8(data[: ends[-1]])):
            return None
        commas = np.frombuffer(data, np.uint8) == ord(",")
        pieces: list[bytes] = []
        rest: list[int] = []
        size = 0
        for start, first, last, end in _values_in(data, ends):
            if first == last or np.count_nonzero(commas[first:last]) != self._dimensions - 1:
                return None
            pieces += data[start : first + 1], data[last - 1 : end]
            size += end - start - (last - first) + 2
            rest.append(size)
        parsed = self._parser.parse(b"".join(pieces), rest)
        return Checked(parsed.ids, ends) if parsed else None

    def __call__(self, text: bytes) -> tuple[str, bytes]:
        """Check one line."""
        if len(text) > LONG_BYTES:
            self._check_long(text)
        first = text.find(b"[")
        if not _BEFORE_VALUES.fullmatch(text, 0, first):
            return super().__call__(text)
        last = text.find(b"]", first)
        row = _decode(text[: first + 1] + text[last:])
        dimensions = text.count(b",", first, last) + 1
        self.check(row, dimensions if dimensions > 1 or text[first + 1 : last].strip() else 0)
        return row.id, text


def _utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
