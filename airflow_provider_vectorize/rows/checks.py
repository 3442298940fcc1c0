"""Check whether Vectorize accepts a row. Only rows that Vectorize is known to refuse are refused here."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.rows.float32 import rounds_twice, to_float32
from airflow_provider_vectorize.rows.float32_text import BEFORE_VALUES, find_values, shorten_values
from airflow_provider_vectorize.rows.hashing import HashingRowParser, RowHasher
from airflow_provider_vectorize.rows.parsing import PARSED_BYTES, RowParser
from airflow_provider_vectorize.sources.fields import is_valid_metadata_key


class CheckedBlock(NamedTuple):
    """A block of which all rows are good, as columns.

    :param ids: Ids of the vectors, ``None`` for each id that is not known.
    :param ends: Where each row ends in the text to send.
    :param body: Text to send, each row with its ``\\n``. ``None``: the block itself.
    :param hashes: Hash of each row, if the check calculates hashes.
    :param values: Values of each row as float32, a row for each, if the check parses them.
    :param shorten: Whether the values are still to be written as their shortest text.
    """

    ids: Sequence[str | None]
    ends: list[int]
    body: bytes | None = None
    hashes: list[int] | None = None
    values: np.ndarray | None = None
    shorten: bool = False


_NULL = msgspec.Raw(b"null")


class Row(msgspec.Struct):
    """The keys of a row that are checked here. Vectorize checks the others."""

    id: str
    values: list[float]
    namespace: str | None = None
    metadata: msgspec.Raw = _NULL


class _LongRow(msgspec.Struct):
    """A row with values that stay JSON text."""

    id: msgspec.Raw
    values: msgspec.Raw
    namespace: msgspec.Raw = _NULL
    metadata: msgspec.Raw = _NULL


_decode = msgspec.json.Decoder(Row).decode
_decode_long = msgspec.json.Decoder(_LongRow).decode
_decode_values = msgspec.json.Decoder(list[float]).decode
_decode_metadata = msgspec.json.Decoder(dict[str, Any] | None).decode

#: A longer line is checked as text first, because its parsed values or metadata could take twenty times its bytes.
LONG_BYTES = 1 << 20
#: Average bytes of a row up to which parsing its values takes less time than to find them and leave them out.
SHORT_BYTES = 1 << 10
#: Maximum number of characters of a metadata key in a message.
_SHOWN_CHARACTERS = 64


class RowProblem(Exception):  # noqa: N818 - a verdict on a row, which never leaves the checks
    """The reason why a row with the right JSON types is refused."""


class FullCheck:
    """Parses every row: JSON, id, dimensions, finite float32, namespace, metadata.

    :param dimensions: Dimensions of the index.
    :param limits: Limits of Cloudflare.
    :param hasher: Calculates the hashes of rows in whole blocks. ``None`` (default): no hashes.
    """

    def __init__(self, dimensions: int, limits: Limits = LIMITS, hasher: RowHasher | None = None) -> None:
        self._dimensions = dimensions
        self._limits = limits
        self._hasher = hasher
        self._pack = struct.Struct(f"<{dimensions}f").pack
        self._short_id_characters = limits.id_bytes // 4  # A character has at most 4 bytes.
        self._parser = HashingRowParser(dimensions, limits) if hasher else RowParser(dimensions, limits)

    def check_block(self, data: bytes, ends: list[int]) -> CheckedBlock | None:
        """Parse all rows of a block. Return ``None`` if each line must be checked alone."""
        parsed = self._parse_block(data, ends)
        return CheckedBlock(parsed[0], ends, None, self._hash(parsed[1]), parsed[1]) if parsed else None

    def _parse_block(self, data: bytes, ends: list[int]) -> tuple[list[str], np.ndarray] | None:
        """Return the ids and the float32 values of all rows of a block, or ``None``."""
        parsed = self._parser.parse(data, ends)
        values = to_float32(parsed.values) if parsed else None
        return None if parsed is None or values is None else (parsed.ids, values.reshape(len(ends), -1))

    def _hash(self, values: np.ndarray) -> list[int] | None:
        """Return the hashes of the rows that were parsed last, or ``None``."""
        parser, hasher = self._parser, self._hasher
        return hasher.hash_block(values, parser.others) if hasher and isinstance(parser, HashingRowParser) else None

    def __call__(self, text: bytes) -> tuple[str, bytes]:
        """Check one line, and return the vector's id and the text to send.

        :raises msgspec.DecodeError: The line is not a valid JSON vector.
        :raises RowProblem: Vectorize would refuse the vector.
        """
        row, _ = self._parse(text)
        return row.id, text

    def _parse(self, text: bytes) -> tuple[Row, bytes]:
        """Return a good row and its values as bytes of float32."""
        if len(text) > LONG_BYTES:
            self._check_long(text)
        row = _decode(text)
        self.check(row, len(row.values))
        try:
            return row, self._pack(*row.values)
        except OverflowError:
            raise RowProblem("a value is beyond the range of float32") from None

    def _check_long(self, text: bytes) -> None:
        """Refuse a long row by the lengths of its JSON texts, before it is parsed."""
        row = _decode_long(text)
        for key, raw, limit in (
            ("id", row.id, self._limits.id_bytes),
            ("namespace", row.namespace, self._limits.namespace_bytes),
        ):
            if len(memoryview(raw)) > 6 * limit + 2:  # Two quotes, and up to six characters (\u0061) for one byte.
                raise RowProblem(f"the {key} has more than {limit} bytes, but at most {limit} are allowed")
        if len(memoryview(row.values)) > LONG_BYTES:
            count = _count(row.values, b",") + 1
            if count > self._dimensions:
                raise RowProblem(f"{count} values, but the index has {self._dimensions} dimensions")
        limit = self._limits.metadata_bytes
        size = len(memoryview(row.metadata))
        if size > max(LONG_BYTES, limit):
            size -= _count(row.metadata, b" \t\r")
            if size > max(LONG_BYTES, limit):
                raise RowProblem(f"the metadata has {size} bytes of compact JSON, but at most {limit} are allowed")

    def check(self, row: Row, dimensions: int) -> None:
        """Check everything except for the values themselves.

        :param dimensions: Number of values.
        :raises RowProblem: Vectorize would refuse the vector.
        """
        if dimensions != self._dimensions:
            raise RowProblem(f"{dimensions} values, but the index has {self._dimensions} dimensions")
        if len(row.id) > self._short_id_characters:
            _check_size("id", row.id, self._limits.id_bytes)
        if row.namespace is not None:
            _check_size("namespace", row.namespace, self._limits.namespace_bytes)
        if row.metadata is not _NULL:
            self._check_metadata(row.metadata)

    def _check_metadata(self, raw: msgspec.Raw) -> None:
        metadata = _decode_metadata(raw)
        for key in metadata or ():
            if not is_valid_metadata_key(key):
                raise RowProblem(
                    f"the metadata key {key[:_SHOWN_CHARACTERS]!r} is invalid: it is empty, begins with $, "
                    "or has a dot or a double quote"
                )
        if len(memoryview(raw)) > self._limits.metadata_bytes:
            size, limit = len(msgspec.json.encode(metadata)), self._limits.metadata_bytes
            if size > limit:
                raise RowProblem(f"the metadata has {size} bytes of compact JSON, but at most {limit} are allowed")


def _count(raw: msgspec.Raw, characters: bytes) -> int:
    """Count the bytes of a long text that are among ``characters``, in constant memory."""
    view = memoryview(raw)
    pieces = (bytes(view[at : at + LONG_BYTES]) for at in range(0, len(view), LONG_BYTES))
    return sum(len(piece) - len(piece.translate(None, characters)) for piece in pieces)


def _check_size(key: str, text: str, limit: int) -> None:
    size = len(text.encode())
    if size > limit:
        raise RowProblem(f"the {key} has {size} bytes, but at most {limit} are allowed")


class Float32Check(FullCheck):
    """:class:`FullCheck` that also rewrites the values as the shortest text of the same float32.

    Vectorize stores float32, so nothing is lost, and 40 % fewer bytes are sent.
    """

    def check_block(self, data: bytes, ends: list[int]) -> CheckedBlock | None:
        """Parse all rows of a block, and rewrite their values. Return ``None`` if each line must be checked alone."""
        parsed = self._parse_block(data, ends)
        if not parsed or rounds_twice(parsed[1]):
            return None
        ids, values = parsed
        body, sent_ends = shorten_values(data, ends, values)
        return CheckedBlock(ids, sent_ends, body, self._hash(values), values)

    def __call__(self, text: bytes) -> tuple[str, bytes]:
        """Check one line, and return the vector's id and the line with its values rewritten."""
        row, packed = self._parse(text)
        first = text.find(b"[")
        if not BEFORE_VALUES.fullmatch(text, 0, first):
            return row.id, text  # The order of the keys is unusual.
        last = text.find(b"]", first)
        values = np.frombuffer(packed, np.float32)
        if rounds_twice(values) or not _are_the_values(text, first, last, row.values):
            return row.id, text
        short = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
        if len(short) > last - first:  # The values are already shorter, as whole numbers are.
            return row.id, text
        return row.id, b"%b%b%b" % (text[:first], short, text[last + 1 :])


class SelectiveFloat32Check(Float32Check):
    """:class:`Float32Check` for a sync, which sends few rows: it rewrites the values of a block after it chose them."""

    def check_block(self, data: bytes, ends: list[int]) -> CheckedBlock | None:
        """Parse all rows of a block. Return ``None`` if each line must be checked alone."""
        checked = FullCheck.check_block(self, data, ends)
        return checked._replace(shorten=True) if checked else None


def _are_the_values(text: bytes, first: int, last: int, values: list[float]) -> bool:
    """Return whether an array in a row is the parsed one. A key may occur twice, or be written with escapes."""
    if text.count(b'"values"') == 1 and b"\\" not in text:
        return True
    return _decode_values(text[first : last + 1]) == values


class LightCheck(FullCheck):
    """Parses everything except for the values, which are only counted. Vectorize checks their types and NaN."""

    def __init__(self, dimensions: int, limits: Limits = LIMITS) -> None:
        super().__init__(dimensions, limits)
        self._light_parser = RowParser(0, limits)

    def check_block(self, data: bytes, ends: list[int]) -> CheckedBlock | None:
        """Parse the rows of a block without their values. Return ``None`` if each line must be checked alone."""
        if ends[-1] <= SHORT_BYTES * len(ends) and (full := self._parse_block(data, ends)):
            return CheckedBlock(full[0], ends)
        # The parser does not see the values, so all text is checked for UTF-8 here. The test for ASCII comes first,
        # because the slice copies the block.
        if self._dimensions < 2 or ends[-1] > PARSED_BYTES or not (data.isascii() or _is_utf8(data[: ends[-1]])):
            return None
        commas = np.frombuffer(data, np.uint8) == ord(",")
        pieces: list[bytes] = []
        ends_without_values: list[int] = []
        size = 0
        for start, first, last, end in find_values(data, ends):
            if first == last or np.count_nonzero(commas[first:last]) != self._dimensions - 1:
                return None
            pieces += data[start : first + 1], data[last - 1 : end]
            size += end - start - (last - first) + 2
            ends_without_values.append(size)
        parsed = self._light_parser.parse(b"".join(pieces), ends_without_values)
        return CheckedBlock(parsed.ids, ends) if parsed else None

    def __call__(self, text: bytes) -> tuple[str, bytes]:
        """Check one line, and return the vector's id and the line itself."""
        if len(text) > LONG_BYTES:
            self._check_long(text)
        first = text.find(b"[")
        if not BEFORE_VALUES.fullmatch(text, 0, first):
            return super().__call__(text)
        last = text.find(b"]", first)
        row = _decode(text[: first + 1] + text[last:])
        dimensions = text.count(b",", first, last) + 1
        self.check(row, dimensions if dimensions > 1 or text[first + 1 : last].strip() else 0)
        return row.id, text


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
