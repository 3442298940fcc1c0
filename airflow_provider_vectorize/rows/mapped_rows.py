"""Check rows of ndjson whose fields have other names or places than those of Vectorize."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from airflow_provider_vectorize.rows.checks import CheckedBlock, RowProblem
from airflow_provider_vectorize.rows.validation import Check
from airflow_provider_vectorize.sources.fields import VECTOR_FIELDS, FieldPath, Fields, path_text

_MISSING = object()
_decode = msgspec.json.Decoder().decode


class MappedCheck:
    """Turns each line into a row in the format of Vectorize, and checks that.

    :param check: Checks the row.
    :param fields: Where the fields of a vector are.
    """

    def __init__(self, check: Check, fields: Fields) -> None:
        self._check = check
        self._fields = fields

    def __call__(self, text: bytes) -> tuple[str | None, bytes]:
        """Check one line, and return the id and the row in the format of Vectorize.

        :raises msgspec.DecodeError: The line is not JSON.
        :raises RowProblem: A field is missing, or Vectorize would refuse the row.
        """
        return self._check(map_row(text, self._fields))

    def check_dead_letter(self, text: bytes) -> tuple[str | None, bytes]:
        """Check the row in a dead letter, see :func:`map_dead_letter`. Raises the errors of :meth:`__call__`."""
        return self._check(map_dead_letter(text, self._fields))

    def check_block(self, data: bytes, ends: list[int]) -> CheckedBlock | None:
        """Return ``None``: mapped rows are checked line by line."""
        return None


def map_row(text: bytes, fields: Fields) -> bytes:
    """Return a line as a row in the format of Vectorize.

    :raises msgspec.DecodeError: The line is not JSON.
    :raises RowProblem: A field is missing. The text names its path.
    """
    return _encode(vector_of(_decode(text), fields))


def map_dead_letter(text: bytes, fields: Fields) -> bytes:
    """Return the row in a dead letter in the format of Vectorize.

    The row has the fields of the source or those of a vector. It has those of a vector if Vectorize refused the row, or
    if the row came from Parquet. Raises the errors of :func:`map_row`.
    """
    row = _decode(text)
    try:
        return _encode(vector_of(row, fields))
    except RowProblem:
        if isinstance(row, dict) and {"id", "values"} <= row.keys() <= set(VECTOR_FIELDS):
            return text
        raise


def vector_of(row: Any, fields: Fields) -> dict[str, Any]:
    """Return the vector that a row of the source describes.

    The id may be a whole number, as BigQuery and Snowflake write keys: it becomes decimal text. A namespace or a mapped
    metadata field that is null is left out.

    :raises RowProblem: A field is missing. The text names its path.
    """
    vector_id = _find(row, fields.id, "id")
    if isinstance(vector_id, int) and not isinstance(vector_id, bool):
        vector_id = str(vector_id)
    vector: dict[str, Any] = {"id": vector_id, "values": _find(row, fields.values, "values")}
    if fields.namespace and (namespace := _find(row, fields.namespace, "namespace")) is not None:
        vector["namespace"] = namespace
    if isinstance(fields.metadata, Mapping):
        found = {key: _find(row, path, f"metadata key {key}") for key, path in fields.metadata.items()}
        vector["metadata"] = {key: value for key, value in found.items() if value is not None}
    elif fields.metadata:
        vector["metadata"] = _find(row, fields.metadata, "metadata")
    return vector


def _find(row: Any, path: FieldPath, what: str) -> Any:
    value = row
    for depth, name in enumerate(path):
        value = _inside(value, name)
        if value is _MISSING:
            return _find_dotted(row, path, depth, what)
    return value


def _find_dotted(row: Any, path: FieldPath, depth: int, what: str) -> Any:
    """Return a field whose own name has dots, or a field inside it.

    :param depth: Number of the first name of the path that was not found.
    :raises RowProblem: There is none.
    """
    for length in range(len(path), 1, -1):
        value = _inside(row, path_text(path[:length]))
        for name in path[length:]:
            value = _inside(value, name)
        if value is not _MISSING:
            return value
    missing = path_text(path[: depth + 1])
    whole = "" if depth + 1 == len(path) else f" (of {path_text(path)})"
    raise RowProblem(f"the row has no field {missing}{whole}, which `fields` maps to the {what}")


def _inside(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name, _MISSING)
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    return _MISSING


def _encode(vector: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(vector)
    except TypeError:  # an integer of more than 64 bits
        return json.dumps(vector, ensure_ascii=False, separators=(",", ":")).encode()
