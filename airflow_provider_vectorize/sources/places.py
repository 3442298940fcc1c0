"""Name places in a source for messages: a line of an object, or a row that a function yielded."""

from __future__ import annotations

from airflow_provider_vectorize.sources.parts import object_offset


def function_uri(function: str) -> str:
    """Return what replaces the URI of an object if a function yielded the rows: ``embed()``."""
    return f"{function}()"


def is_function(uri: str) -> bool:
    """Return whether a URI is that of a function. URIs of objects have a scheme."""
    return uri.endswith("()") and "://" not in uri


def row_place(uri: str, line: int, offset: int = 0) -> str:
    """Name a row at the beginning of a sentence.

    :param uri: URI of the object that holds the row.
    :param line: Line of the row, from 1, or its number if a function yielded it.
    :param offset: Byte at which the row begins in the object or in the part of it that the URI names.
    """
    if is_function(uri):
        return f"Row {line} that `{uri}` yielded"
    return f"Line {line} of {uri} (byte {object_offset(uri, offset):,})"


def row_label(uri: str, line: int) -> str:
    """Name a row within a sentence."""
    return f"row {line} that `{uri}` yielded" if is_function(uri) else f"line {line} of {uri}"
