"""Arrow arrays → Python values.

A value that Python cannot hold makes its row bad. It does not make the whole object unreadable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_vectorize.rows.encoding import UnreadableValue

if TYPE_CHECKING:
    import pyarrow as pa

#: What conversions to Python raise: years below 1 and above 9999, text that is not UTF-8, unknown time zones, and lists
#: or structs as keys of maps.
_CONVERSION_ERRORS = (ValueError, OverflowError, KeyError, TypeError)


def python_values(array: pa.Array) -> list[Any]:
    """Return values of any type as Python values. Of times in nanoseconds, the microseconds are kept.

    A value that Python cannot hold becomes an :class:`UnreadableValue`.
    """
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it

    kind = _in_microseconds(array.type)
    plain = array if kind == array.type else array.cast(kind, safe=False)
    names = [field.name for field in plain.type] if pa.types.is_struct(plain.type) else []
    if names and len(set(names)) == len(names):
        return _struct_values(plain, names)
    try:
        found: list[Any] = plain.to_pylist(maps_as_pydicts="lossy")
    except _CONVERSION_ERRORS:
        return [_python_value(value) for value in plain]
    return found


def _struct_values(structs: pa.Array, names: list[str]) -> list[Any]:
    """Return a dict for each struct. A field at a time is several times faster than a struct at a time."""
    fields = [python_values(field) for field in structs.flatten()]
    found = [dict(zip(names, items, strict=True)) for items in zip(*fields, strict=True)]
    if not structs.null_count:
        return found
    return [value if valid else None for value, valid in zip(found, structs.is_valid().to_pylist(), strict=True)]


def text_values(array: pa.Array) -> list[str | UnreadableValue | None]:
    """Return text as it is, and whole numbers and UUIDs as text."""
    keep = (str, UnreadableValue, type(None))
    return [value if isinstance(value, keep) else str(value) for value in python_values(array)]


def _python_value(value: pa.Scalar) -> Any:
    try:
        return value.as_py(maps_as_pydicts="lossy")
    except KeyError as error:
        return UnreadableValue(f"the time zone {error} is unknown")
    except TypeError:
        return UnreadableValue("a map has keys that are not text, but keys of JSON are strings")
    except _CONVERSION_ERRORS as error:
        return UnreadableValue(" ".join(str(error).split()))


def _in_microseconds(kind: pa.DataType) -> pa.DataType:
    """Return a type with microseconds in place of nanoseconds, which Python's times do not have."""
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it

    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    return _with_children_in_microseconds(kind)


def _with_children_in_microseconds(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it

    def child(field: pa.Field) -> pa.Field:
        return field.with_type(_in_microseconds(field.type))

    if pa.types.is_struct(kind):
        return pa.struct([child(field) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_in_microseconds(kind.key_type), child(kind.item_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(child(kind.value_field), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(child(kind.value_field))
    return pa.list_(child(kind.value_field)) if pa.types.is_list(kind) else kind
