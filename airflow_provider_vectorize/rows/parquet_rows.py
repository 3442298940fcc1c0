"""Decoded rows of a Parquet object → rows of ndjson that are checked like those of any other source.

The values are checked as one array and never become Python numbers. Most of the time is spent on writing them as text.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import orjson

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.rows.block_rows import BadRow, Rows
from airflow_provider_vectorize.rows.checks import FullCheck, Row, RowProblem
from airflow_provider_vectorize.rows.encoding import EncodingError, encode_row
from airflow_provider_vectorize.rows.float32 import rounds_twice
from airflow_provider_vectorize.rows.parquet_columns import VectorColumns, take
from airflow_provider_vectorize.rows.parquet_values import UnreadableValue, python_values, text_values
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sources.parquet import DecodedRows

if TYPE_CHECKING:
    import pyarrow as pa

_NULL = msgspec.Raw(b"null")
#: Maximum number of metadata keys, and of namespaces, to remember. The keys of a struct are the same in all rows.
_REMEMBERED = 1_000
#: Types of metadata that JSON has. A NaN or an infinity becomes null.
_PLAIN = frozenset({str, int, bool, float, type(None)})


class ParquetRows:
    """Makes checked rows of the decoded rows of one object.

    :param columns: Where the fields of a vector are.
    :param dimensions: Of the index.
    :param limits: Cloudflare's limits.
    :param float32_text: Whether float64 values are written as the shortest text of the same float32.
    """

    def __init__(self, columns: VectorColumns, dimensions: int, limits: Limits, *, float32_text: bool = True) -> None:
        self._found = columns
        self._dimensions = dimensions
        self._float32_text = float32_text
        self._limits = limits
        self._check = FullCheck(dimensions, limits).check
        #: Keys of metadata that passed the checks.
        self._known_keys: set[str] = set()
        #: Namespaces that passed the checks, as a field of a row.
        self._known_namespaces: dict[str | None, bytes] = {None: b""}
        #: Names of the top-level columns to decode.
        self.columns = columns.names

    def check(self, decoded: DecodedRows, number: int) -> Rows:
        """Return decoded rows as rows of ndjson, and the bad ones with the reason.

        A position has the number of the row in the object, from 1, as its line, and the number of the row group as its
        offset.

        :param number: Number of the object in the source.
        """
        batch, group, first = decoded
        ids = text_values(take(batch, self._found.id))
        namespaces = text_values(take(batch, self._found.namespace)) if self._found.namespace else None
        metadata = self._metadata(batch)
        lists = take(batch, self._found.values)
        values, problems = _matrix(lists, self._dimensions)
        tails: dict[int, bytes] = {}
        ids_fit = self._ids_fit(ids)
        for row, vector_id in enumerate(ids):
            if row not in problems:
                namespace = namespaces[row] if namespaces else None
                tail = self._plain_tail(namespace, metadata[row]) if ids_fit else None
                try:
                    tails[row] = tail or self._tail(vector_id, namespace, metadata[row])
                except (RowProblem, EncodingError) as error:
                    problems[row] = str(error)
        pieces = _pieces(ids, _number_texts(values, self._float32_text), tails)
        bad = []
        for row, reason in sorted(problems.items()):
            text = _row_text(ids[row], lists[row], namespaces[row] if namespaces else None, metadata[row])
            bad.append(BadRow(Position(number, first + row + 1, group), text, reason))
        return Rows(
            object=number,
            body=b"".join(pieces),
            ends=list(accumulate(map(len, pieces)))[2::3],
            ids=[str(ids[row]) for row in tails],
            lines=[first + row + 1 for row in tails],
            base=group,
            offsets=[0] * len(tails),
            bad=bad,
            end=Position(number, first + len(batch) + 1, group),
            values=values if len(tails) == len(ids) else None,
        )

    def _ids_fit(self, ids: Sequence[Any]) -> bool:
        """Return whether all IDs are certainly short enough."""
        try:
            return "".join(ids).isascii() and max(map(len, ids)) <= self._limits.id_bytes
        except TypeError:  # One of them is null, or cannot be read.
            return False

    def _plain_tail(self, namespace: Any, metadata: Any) -> bytes | None:
        """Return what follows the values of a usual row, or ``None`` if the row must be checked in full."""
        if metadata is None:
            raw = b""
        elif (
            type(metadata) is dict
            and _PLAIN.issuperset(map(type, metadata.values()))
            and metadata.keys() <= self._known_keys
        ):
            try:
                raw = orjson.dumps(metadata)
                if b"null" in raw:
                    raw = orjson.dumps({key: value for key, value in metadata.items() if value is not None})
            except TypeError:  # Text that is not Unicode, or a number of more than 64 bits.
                return None
            if b"null" in raw or len(raw) > self._limits.metadata_bytes:  # It may stand for a NaN.
                return None
            raw = b',"metadata":' + raw
        else:
            return None
        spaced = None if isinstance(namespace, UnreadableValue) else self._known_namespaces.get(namespace)
        return None if spaced is None else spaced + raw + b"}\n"

    def _tail(self, vector_id: Any, namespace: Any, metadata: Any) -> bytes:
        """Check everything but the values, and return what follows them in the row."""
        if vector_id is None:
            raise RowProblem("the id is null")
        _require_readable("id", vector_id)
        _require_readable("namespace", namespace)
        raw = _encode_metadata(metadata)
        unchecked = msgspec.Raw(raw) if raw and not self._has_known_keys(metadata, raw) else _NULL
        self._check(Row(vector_id, [], namespace, unchecked), self._dimensions)
        if isinstance(metadata, dict) and len(self._known_keys) < _REMEMBERED:
            self._known_keys.update(key for key, value in metadata.items() if value is not None)
        spaced = b"" if namespace is None else b',"namespace":' + orjson.dumps(namespace)
        if len(self._known_namespaces) < _REMEMBERED:
            self._known_namespaces[namespace] = spaced
        return spaced + (b',"metadata":' + raw if raw else b"") + b"}\n"

    def _has_known_keys(self, metadata: Any, raw: bytes) -> bool:
        """Return whether metadata needs no check, because it is small and earlier rows had the same keys."""
        return (
            isinstance(metadata, dict)
            and metadata.keys() <= self._known_keys
            and len(raw) <= self._limits.metadata_bytes
        )

    def _metadata(self, batch: pa.RecordBatch) -> list[Any]:
        """Return the metadata of each row: a dict, JSON text, or ``None``."""
        source = self._found.metadata
        if source is None:
            return [None] * len(batch)
        if not isinstance(source, Mapping):
            return python_values(take(batch, source))
        columns = {key: python_values(take(batch, column)) for key, column in source.items()}
        return [{key: column[row] for key, column in columns.items()} for row in range(len(batch))]


def _require_readable(name: str, value: Any) -> None:
    if isinstance(value, UnreadableValue):
        raise RowProblem(f"the {name} cannot be read: {value.reason}")


def _pieces(ids: Sequence[Any], numbers: list[bytes], tails: Mapping[int, bytes]) -> list[bytes]:
    """Return the text of each good row in three pieces, so that its values are copied only once more."""
    pieces: list[bytes] = []
    for row, tail in tails.items():
        pieces += b'{"id":%b,"values":' % orjson.dumps(ids[row]), numbers[row], tail
    return pieces


def _matrix(lists: pa.Array, dimensions: int) -> tuple[np.ndarray, dict[int, str]]:
    """Return the values of all rows as an array, with zeros for bad rows, and what is wrong with those.

    :param lists: A list of numbers for each row.
    """
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    if pa.types.is_null(lists.type):
        return np.zeros((len(lists), dimensions)), dict.fromkeys(range(len(lists)), "the values are null")
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    fitting = np.flatnonzero(lengths == dimensions)  # a null has no length
    problems: dict[int, str] = {}
    for row in np.flatnonzero(lengths != dimensions).tolist():
        valid = lists[row].is_valid
        count = len(lists[row]) if valid else 0
        problems[row] = f"{count} values, but the index has {dimensions} dimensions" if valid else "the values are null"
    flat = (lists if len(fitting) == len(lists) else lists.take(pa.array(fitting))).flatten()
    numbers = flat.to_numpy(zero_copy_only=False)
    if numbers.dtype not in (np.float32, np.float64):
        numbers = numbers.astype(np.float32 if numbers.dtype == np.float16 else np.float64)
    numbers = numbers.reshape(len(fitting), dimensions)
    values = numbers
    if len(fitting) != len(lists):
        values = np.zeros((len(lists), dimensions), numbers.dtype)
        values[fitting] = numbers
    nulls = flat.is_null().to_numpy(zero_copy_only=False).reshape(len(fitting), dimensions) if flat.null_count else None
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(numbers.astype(np.float32, copy=False)).all(axis=1)
    for at in np.flatnonzero(~finite if nulls is None else ~finite | nulls.any(axis=1)):
        row = int(fitting[at])
        problems[row] = _value_problem(numbers[at], None if nulls is None else nulls[at])
        values = values if values.flags.writeable else values.copy()
        values[row] = 0
    return values, problems


def _value_problem(numbers: np.ndarray, nulls: np.ndarray | None) -> str:
    if nulls is not None and nulls.any():
        return f"values[{int(nulls.argmax())}] is null"
    finite = np.isfinite(numbers)
    if finite.all():
        return "a value is beyond the range of float32"
    place = int((~finite).argmax())
    return f"values[{place}] is {'NaN' if np.isnan(numbers[place]) else 'infinite'}"


def _number_texts(values: np.ndarray, float32_text: bool) -> list[bytes]:
    """Return the values of each row as a JSON array."""
    if float32_text or values.dtype == np.float32:
        short = values.astype(np.float32, copy=False)
        values = short if not rounds_twice(short) else short.astype(np.float64)
    # Small texts are faster than a large one, whose memory the operating system would have to clear each time.
    return [orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in np.ascontiguousarray(values)]


def _encode_metadata(value: Any) -> bytes:
    """Return metadata as JSON, without fields that are null; nothing where there is none.

    :raises RowProblem: It is text, and no JSON object.
    :raises EncodingError: JSON has no such type. The text names the field.
    """
    if value is None:
        return b""
    _require_readable("metadata", value)
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise RowProblem(f"the metadata is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise RowProblem("the metadata is not a JSON object")
        return orjson.dumps(value)
    for key, item in value.items():
        _require_readable(f"metadata key {key}", item)
    return encode_row({key: item for key, item in value.items() if item is not None}).rstrip(b"\n")


def _row_text(vector_id: Any, values: pa.Scalar, namespace: Any, metadata: Any) -> bytes:
    """Return a bad row as a row of ndjson, for the dead-letter file."""
    row = {"id": vector_id, "values": values.as_py()}
    if isinstance(metadata, str):
        with contextlib.suppress(orjson.JSONDecodeError):  # Text that is not JSON is kept as text.
            metadata = orjson.loads(metadata)
    row |= {key: value for key, value in (("namespace", namespace), ("metadata", metadata)) if value is not None}
    try:
        return encode_row(row, keep_nan=True).rstrip(b"\n")
    except EncodingError:
        return json.dumps(row, default=_json_or_refused).encode()


def _json_or_refused(value: Any) -> Any:
    """Return a value as JSON. One that JSON does not have becomes an object that Vectorize refuses, not wrong text."""
    try:
        return json.loads(encode_row({"value": value}))["value"]
    except EncodingError:
        return {"$unreadable": repr(value)}
