"""Find the fields of a vector among the columns of a Parquet object, and take them out of decoded rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.sources.fields import FieldPath, Fields, is_partitioned_by, path_text

if TYPE_CHECKING:
    import pyarrow as pa

#: Number of columns that an error names.
_NAMED_COLUMNS = 12


class Column(NamedTuple):
    """A column of a Parquet object, or a field inside one.

    :param name: Name of the top-level column.
    :param steps: Names of struct fields and numbers of list elements below it.
    :param type: Its type.
    """

    name: str
    steps: tuple[str | int, ...]
    type: pa.DataType


@dataclass(frozen=True)
class VectorColumns:
    """The columns of which vectors are made.

    :param metadata: A column that holds the whole metadata, or one for each metadata key, or ``None``.
    """

    id: Column
    values: Column
    namespace: Column | None
    metadata: Column | Mapping[str, Column] | None

    @property
    def names(self) -> list[str]:
        """Names of the top-level columns, each once."""
        metadata = self.metadata.values() if isinstance(self.metadata, Mapping) else (self.metadata,)
        columns = (self.id, self.values, self.namespace, *metadata)
        return list(dict.fromkeys(column.name for column in columns if column))


def find_columns(schema: pa.Schema, fields: Fields, uri: str) -> VectorColumns:
    """Return the columns of the fields of a vector.

    With the default fields, ``namespace`` and ``metadata`` are optional, unless the name of a folder has them.

    :raises SourceError: A column is missing, comes twice, or has a type from which no vector can be made.
    """

    def find(path: FieldPath) -> Column:
        return _find(schema, path, uri)

    def find_optional(path: FieldPath) -> Column | None:
        is_expected = not fields.is_default or is_partitioned_by(uri, path[0])
        return find(path) if is_expected or path[0] in schema.names else None

    metadata: Column | Mapping[str, Column] | None = None
    if isinstance(fields.metadata, Mapping):
        metadata = {key: find(path) for key, path in fields.metadata.items()}
    elif fields.metadata:
        metadata = find_optional(fields.metadata)
    found = VectorColumns(
        find(fields.id), find(fields.values), find_optional(fields.namespace) if fields.namespace else None, metadata
    )
    _check_types(found, uri)
    return found


def take(batch: pa.RecordBatch, column: Column) -> pa.Array:
    """Return a column of decoded rows. A field of a null struct, and an element beyond the end of a list, is null."""
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    array = batch.column(column.name)
    for step in column.steps:
        array = pc.struct_field(array, step) if isinstance(step, str) else _elements(array, step)
    if _is_wrapped(array.type):
        array = array.storage
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _elements(lists: pa.Array, number: int) -> pa.Array:
    """Return the element with a number of each list, counted from 0, or null if the list has fewer."""
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    if pa.types.is_fixed_size_list(lists.type):
        starts = (lists.offset + np.arange(len(lists))) * lists.type.list_size
    else:
        starts = lists.offsets.to_numpy()[:-1]
    return lists.values.take(pa.array(starts + number, mask=lengths <= number))


def _find(schema: pa.Schema, path: FieldPath, uri: str) -> Column:
    """Return the column of a path, or the field inside one. As in ndjson, a name with dots comes after a field inside.

    :raises SourceError: There is none, or more than one.
    """
    refusals = []
    for length in (1, *range(len(path), 1, -1)):
        try:
            if column := _find_below(schema, path, length, uri):
                return column
        except SourceError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
    names = ", ".join(schema.names[:_NAMED_COLUMNS]) + (", …" if len(schema.names) > _NAMED_COLUMNS else "")
    if is_partitioned_by(uri, name := path[0]):
        raise _unusable(
            f"{uri} has no column {name}, which is only in the name of the folder {name}=…, and names of folders are "
            "not read: write the column into the objects as well, or set fields without it",
            uri,
        )
    if not names:
        raise _unusable(f"{uri} has no columns: write it again with its data", uri)
    raise _unusable(f"{uri} has no column {path_text(path)} (its columns are {names}): name it with fields", uri)


def _find_below(schema: pa.Schema, path: FieldPath, length: int, uri: str) -> Column | None:
    """Return the field at the end of a path whose first names are the name of a column, or ``None`` without a column.

    :param length: Number of these names.
    :raises SourceError: The column comes twice, or does not have the field.
    """
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it

    name, whole = path_text(path[:length]), path_text(path)
    indices = schema.get_all_field_indices(name)
    if len(indices) > 1:
        raise _unusable(f"{uri} has {len(indices)} columns with the name {name}: rename one", uri)
    if not indices:
        return None
    kind = schema.field(indices[0]).type
    steps: list[str | int] = []
    for step in path[length:]:
        if count := len(kind.get_all_field_indices(step)) if pa.types.is_struct(kind) else 0:
            if count > 1:
                raise _unusable(f"The column {name} of {uri} has {count} fields with the name {step} (of {whole})", uri)
            steps.append(step)
            kind = kind.field(step).type
        elif _is_list(kind) and step.isdecimal():
            steps.append(int(step))
            kind = kind.value_type
        else:
            raise _unusable(f"The column {name} of {uri} has no field {step} (of {whole}): it is {kind}", uri)
    return Column(name, tuple(steps), kind)


def _check_types(columns: VectorColumns, uri: str) -> None:
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it

    types = pa.types

    def check(field: str, column: Column | None, good: Sequence[Any], wanted: str) -> None:
        if column and not any(test(_decoded_type(column.type)) for test in good):
            where = ".".join(map(str, (column.name, *column.steps)))
            raise _unusable(
                f"The column {where} of {uri} cannot be the {field}: it is {column.type}, not {wanted}. Convert it, or "
                "name another column with fields",
                uri,
            )

    texts = (types.is_string, types.is_large_string, types.is_string_view)
    ids = (*texts, types.is_integer, _is_whole_decimal, _is_uuid, types.is_null)
    check("id", columns.id, ids, "text, whole numbers or UUIDs")
    check("values", columns.values, (_is_list_of_numbers, types.is_null), "lists of numbers")
    check("namespace", columns.namespace, (*texts, types.is_null), "text")
    if not isinstance(columns.metadata, Mapping):
        objects = (*texts, types.is_struct, types.is_map, types.is_null)
        check("metadata", columns.metadata, objects, "a struct, a map or JSON text (name single columns with fields)")


def _decoded_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it

    kind = kind.storage_type if _is_wrapped(kind) else kind
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_uuid(kind: pa.DataType) -> bool:
    return getattr(kind, "extension_name", "") == "arrow.uuid"


def _is_wrapped(kind: pa.DataType) -> bool:
    """Return whether a type is another one with a label, such as text that is JSON. Only UUIDs are read differently."""
    return hasattr(kind, "storage_type") and not _is_uuid(kind)


def _is_whole_decimal(kind: pa.DataType) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it

    return bool(pa.types.is_decimal(kind)) and kind.scale == 0


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it

    return any(test(kind) for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it

    tests = (pa.types.is_floating, pa.types.is_integer, pa.types.is_null)
    return _is_list(kind) and any(test(kind.value_type) for test in tests)


def _unusable(text: str, uri: str) -> SourceError:
    return SourceError(f"{text}.", uri=uri, permanent=True)
