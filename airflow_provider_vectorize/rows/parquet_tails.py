"""Write what follows the values in the rows of a Parquet object: namespace and metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.rows.checks import FullCheck, Row, RowProblem
from airflow_provider_vectorize.rows.encoding import EncodingError, UnreadableValue, encode_row
from airflow_provider_vectorize.rows.parquet_columns import VectorColumns

if TYPE_CHECKING:
    import pyarrow as pa

_NULL = msgspec.Raw(b"null")
#: Maximum number of metadata keys, and of namespaces, to remember. The keys of a struct are the same in all rows.
_REMEMBERED = 1_000


class RowTails:
    """Checks everything of a row but its values, and writes what follows them.

    Usual rows are checked and written together: their types follow from the columns, and earlier rows had the same keys
    and namespaces. All others are checked one by one, which finds the reason for a bad one.

    :param columns: Where the fields of a vector are.
    :param dimensions: Number of dimensions of the index.
    :param limits: Cloudflare's limits.
    """

    def __init__(self, columns: VectorColumns, dimensions: int, limits: Limits) -> None:
        self._dimensions = dimensions
        self._limits = limits
        self._check = FullCheck(dimensions, limits).check
        self._encode_lines = msgspec.json.Encoder().encode_lines
        self._is_plain = _has_plain_types(columns)
        #: Keys of metadata that passed the checks.
        self._known_keys: set[str] = set()
        #: Namespaces that passed the checks, as a field of a row.
        self._known_namespaces: dict[str | None, bytes] = {None: b""}

    def write(
        self, ids: Sequence[Any], namespaces: Sequence[Any] | None, metadata: Sequence[Any], problems: dict[int, str]
    ) -> list[bytes]:
        """Return what follows the values of each row, with the end of the line. The text of a bad row has no meaning.

        :param namespaces: The namespace of each row, or ``None`` if the source has none.
        :param problems: What is wrong with a row, by its number. The rows that are found to be bad are added.
        """
        if usual := self._write_usual(ids, namespaces, metadata):
            return usual
        tails = []
        for row, vector_id in enumerate(ids):
            tail = b""
            if row not in problems:
                try:
                    tail = self._write_row(vector_id, namespaces[row] if namespaces else None, metadata[row])
                except (RowProblem, EncodingError) as error:
                    problems[row] = str(error)
            tails.append(tail)
        return tails

    def _write_usual(
        self, ids: Sequence[Any], namespaces: Sequence[Any] | None, metadata: Sequence[Any]
    ) -> list[bytes] | None:
        """Return what follows the values of usual rows, or ``None`` if each row must be checked alone."""
        try:
            if not "".join(ids).isascii() or max(map(len, ids)) > self._limits.id_bytes:
                return None
            spaces = [self._known_namespaces[namespace] for namespace in namespaces] if namespaces else [b""] * len(ids)
            fields = self._write_usual_metadata(metadata)
        except (TypeError, KeyError):  # A null, a value that cannot be read, or a namespace that is new.
            return None
        return [b"%b%b}\n" % pair for pair in zip(spaces, fields, strict=True)] if fields else None

    def _write_usual_metadata(self, metadata: Sequence[Any]) -> list[bytes] | None:
        """Return the metadata of each row as a field. ``None``: each row must be checked alone.

        :raises TypeError: A value cannot be read.
        """
        if all(item is None for item in metadata):
            return [b""] * len(metadata)
        if not self._is_plain or not isinstance(metadata[0], dict) or not metadata[0].keys() <= self._known_keys:
            return None
        texts = self._encode_lines(metadata)
        lines = texts.splitlines()
        if b"null" in texts or max(map(len, lines)) > self._limits.metadata_bytes:  # A field without a value, or a NaN.
            return None
        return [b',"metadata":%b' % line for line in lines]

    def _write_row(self, vector_id: Any, namespace: Any, metadata: Any) -> bytes:
        if vector_id is None:
            raise RowProblem("the id is null")
        _require_readable("id", vector_id)
        _require_readable("namespace", namespace)
        raw = _encode_metadata(metadata)
        unchecked = msgspec.Raw(raw) if raw and not self._has_known_keys(metadata, raw) else _NULL
        self._check(Row(vector_id, [], namespace, unchecked), self._dimensions)
        if isinstance(metadata, dict) and len(self._known_keys) < _REMEMBERED:
            self._known_keys.update(key for key, value in metadata.items() if value is not None)
        space = b"" if namespace is None else b',"namespace":' + orjson.dumps(namespace)
        if len(self._known_namespaces) < _REMEMBERED:
            self._known_namespaces[namespace] = space
        return space + (b',"metadata":' + raw if raw else b"") + b"}\n"

    def _has_known_keys(self, metadata: Any, raw: bytes) -> bool:
        """Return whether metadata needs no check, because it is small and earlier rows had the same keys."""
        return (
            isinstance(metadata, dict)
            and metadata.keys() <= self._known_keys
            and len(raw) <= self._limits.metadata_bytes
        )


def _has_plain_types(columns: VectorColumns) -> bool:
    """Return whether metadata consists of fields whose values JSON has, so that rows of it differ in nothing else."""
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it

    metadata = columns.metadata
    if metadata is None:
        return True
    if isinstance(metadata, Mapping):
        types = [column.type for column in metadata.values()]
    elif pa.types.is_struct(metadata.type):
        types = [field.type for field in metadata.type]
    else:
        return False
    return all(map(_is_plain_type, types))


def _is_plain_type(kind: pa.DataType) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
    )
    return any(test(kind) for test in tests)


def _require_readable(name: str, value: Any) -> None:
    if isinstance(value, UnreadableValue):
        raise RowProblem(f"the {name} cannot be read: {value.reason}")


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
