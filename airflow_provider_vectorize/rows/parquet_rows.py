"""Decoded rows of a Parquet object → rows of ndjson that are checked like those of any other source.

The values are checked as one array and never become Python numbers. Most of the time is spent on writing them as text.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import orjson

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.rows.block_rows import BadRow, Rows
from airflow_provider_vectorize.rows.encoding import EncodingError, encode_row
from airflow_provider_vectorize.rows.parquet_columns import VectorColumns, take
from airflow_provider_vectorize.rows.parquet_tails import RowTails
from airflow_provider_vectorize.rows.parquet_values import python_values, text_values
from airflow_provider_vectorize.rows.pending_rows import Task
from airflow_provider_vectorize.rows.values_text import VALUE_BYTES, write_values
from airflow_provider_vectorize.rows.worker_process import SLOT_BYTES
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sources.parquet import BATCH_ROWS, DecodedRows

if TYPE_CHECKING:
    import pyarrow as pa


class PendingValues:
    """Rows of which the values are not written as text yet. Implements :class:`~.pending_rows.PendingRows`.

    :param rows: The rows, without their text.
    :param before: The text of each row up to its values.
    :param values: Values of each row, as float32 if they are to be written as float32.
    :param after: The text of each row after its values.
    """

    def __init__(self, rows: Rows, before: Sequence[bytes], values: np.ndarray, after: Sequence[bytes]) -> None:
        self._rows = rows
        self._before = before
        self._values = np.ascontiguousarray(values)
        self._after = after
        self.size = VALUE_BYTES * values.size

    def task(self) -> Task | None:
        """Return the bytes of the values, and what they are."""
        if not self._values.size or self.size > SLOT_BYTES:
            return None
        message = self._values.dtype.str, self._values.shape[1]
        return Task(message, self._values.reshape(-1).view(np.uint8).data)

    def finish(self) -> Rows:
        """Write the values."""
        return self._join(write_values(self._values))

    def finish_with(self, answer: Any, text: memoryview | None) -> Rows:
        """Return the rows with their text.

        :param answer: Where the text of each row's values ends.
        :param text: The text of all values.
        """
        assert text is not None
        return self._join([text[start:end] for start, end in pairwise([0, *answer])])

    def _join(self, texts: Sequence[bytes | memoryview]) -> Rows:
        pieces: list[bytes | memoryview] = []
        for piece in zip(self._before, texts, self._after, strict=True):
            # In pieces, because the text of the values is long and should be copied only once more.
            pieces += piece
        return self._rows._replace(text=b"".join(pieces), ends=list(accumulate(map(len, pieces)))[2::3])


class ParquetRows:
    """Makes checked rows of the decoded rows of one object.

    :param columns: Where the fields of a vector are.
    :param dimensions: Of the index.
    :param limits: Cloudflare's limits.
    :param float32_text: Whether float64 values are written as the shortest text of the same float32.
    :param text_rows: Maximum number of rows that become text at a time.
    """

    def __init__(
        self,
        columns: VectorColumns,
        dimensions: int,
        limits: Limits,
        *,
        float32_text: bool = True,
        text_rows: int = BATCH_ROWS,
    ) -> None:
        self._found = columns
        self._dimensions = dimensions
        self._float32_text = float32_text
        self._text_rows = text_rows
        self._tails = RowTails(columns, dimensions, limits)
        self._encode_lines = msgspec.json.Encoder().encode_lines
        #: Names of the top-level columns to decode.
        self.columns = columns.names

    def check(self, decoded: DecodedRows, number: int) -> Iterator[PendingValues]:
        """Yield decoded rows as rows of ndjson without the text of their values, and the bad ones with the reason.

        A position has the number of the row in the object, from 1, as its line, and the number of the row group as its
        offset.

        :param number: Number of the object in the source.
        """
        batch = decoded.batch
        ids = text_values(take(batch, self._found.id))
        namespaces = text_values(take(batch, self._found.namespace)) if self._found.namespace else None
        metadata = self._metadata(batch)
        lists = take(batch, self._found.values)
        values, problems = _matrix(lists, self._dimensions)
        tails = self._tails.write(ids, namespaces, metadata, problems)
        position = Position(number, decoded.first + 1, decoded.row_group)
        bad = {
            row: BadRow(
                position._replace(line=position.line + row),
                _row_text(ids[row], lists[row], namespaces[row] if namespaces else None, metadata[row]),
                reason,
            )
            for row, reason in problems.items()
        }
        for start in range(0, len(ids), self._text_rows):
            rows = range(start, min(start + self._text_rows, len(ids)))
            yield self._rows(rows, ids, values, tails, bad, position)

    def _rows(
        self,
        rows: range,
        ids: Sequence[Any],
        values: np.ndarray,
        tails: Sequence[bytes],
        bad: Mapping[int, BadRow],
        position: Position,
    ) -> PendingValues:
        """Return some rows of a batch.

        :param position: Of the first row of the batch.
        """
        good: Sequence[int] = [row for row in rows if row not in bad] if bad else rows
        good_ids = [ids[row] for row in good]
        short = values[rows.start : rows.stop]
        if len(good) < len(rows):
            short = short[[row - rows.start for row in good]]
        id_texts = self._encode_lines(good_ids).split(b"\n")
        before = [b'{"id":%b,"values":' % id_text for id_text in id_texts[: len(good)]]
        rows_without_text = Rows(
            object=position.object,
            text=b"",
            ends=[],
            ids=good_ids,
            lines=[position.line + row for row in good],
            base=position.offset,
            offsets=[0] * len(good),
            bad=[bad[row] for row in rows if row in bad],
            end=position._replace(line=position.line + rows.stop),
            values=short,
        )
        written = short.astype(np.float32, copy=False) if self._float32_text else short
        return PendingValues(rows_without_text, before, written, [tails[row] for row in good])

    def _metadata(self, batch: pa.RecordBatch) -> list[Any]:
        """Return the metadata of each row: a dict, JSON text, or ``None``."""
        source = self._found.metadata
        if source is None:
            return [None] * len(batch)
        if not isinstance(source, Mapping):
            return python_values(take(batch, source))
        columns = {key: python_values(take(batch, column)) for key, column in source.items()}
        return [{key: column[row] for key, column in columns.items()} for row in range(len(batch))]


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
        return json.dumps(_json_or_refused(row)).encode()


def _json_or_refused(value: Any) -> Any:
    """Return a value as JSON. What JSON does not have becomes an object that Vectorize refuses, not wrong text."""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _json_or_refused(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_or_refused(item) for item in value]
    try:
        return json.loads(encode_row({"value": value}, keep_nan=True))["value"]
    except EncodingError:
        return {"$unreadable": repr(value)}
