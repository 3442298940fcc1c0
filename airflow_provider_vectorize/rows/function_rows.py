"""Rows that a function yields, as a temporary file that is loaded like any other object."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.quantities import format_size, pluralize
from airflow_provider_vectorize.rows.encoding import EncodingError, encode_row
from airflow_provider_vectorize.sources.lines import Text
from airflow_provider_vectorize.sources.places import function_uri, is_function, row_place
from airflow_provider_vectorize.sources.source_object import SourceObject

log = logging.getLogger(__name__)

_PREFIX = "vectorize-rows-"


@contextmanager
def write_rows_file(rows: Any, function: str) -> Iterator[str]:
    """Write rows to a temporary file, and return its path for as long as the block runs.

    A row that holds a NaN or an infinity is written so that the load rejects it like any other bad row.

    :param rows: An iterable of dicts. It is consumed once, and no row is kept in memory.
    :param function: Name of the function that made them, for messages.
    :raises ConfigError: These are no rows, or one of them cannot be written as JSON.
    """
    uri = function_uri(function)
    if not isinstance(rows, Iterable) or isinstance(rows, (str, bytes, dict)):
        raise ConfigError(f"{function} has to yield rows, dicts with id and values, and gave {type(rows).__name__}.")
    with tempfile.NamedTemporaryFile(prefix=f"{_PREFIX}{function}-", suffix=".ndjson") as file:
        count = 0
        for count, row in enumerate(rows, 1):
            if not isinstance(row, dict):
                kind = type(row).__name__
                raise ConfigError(f"{row_place(uri, count)} is of the type {kind}: yield dicts with id and values.")
            try:
                file.write(encode_row(row, keep_nan=True))
            except EncodingError as error:
                raise ConfigError(f"{row_place(uri, count)} cannot be written as JSON: {error}.") from None
        file.flush()
        log.info("`%s` yielded %s, %s.", uri, pluralize(count, "row"), format_size(os.path.getsize(file.name)))
        yield file.name


class FunctionRows:
    """A spooled file as a source object that has the function's name instead of the file's.

    :param file: The file.
    :param function: Name of the function that yielded its rows.
    """

    def __init__(self, file: SourceObject, function: str) -> None:
        self._file = file
        self.uri = function_uri(function)
        self.key, self.encoding, self.identity = file.key, file.encoding, file.identity
        self.size = file.size
        self.version = file.version

    def open(self, offset: int) -> AbstractContextManager[Text]:
        """Open the file."""
        return self._file.open(offset)

    def current_version(self) -> str:
        """Return the file's version now."""
        return self._file.current_version()


def with_function_names(objects: Sequence[SourceObject]) -> list[SourceObject]:
    """Return the objects of a source, with spooled files named by the functions that yielded their rows."""
    functions = [_function_of(item.uri) for item in objects]
    return [FunctionRows(item, name) if name else item for item, name in zip(objects, functions, strict=True)]


def is_function_rows(uri: str) -> bool:
    """Whether an object is such a file, or stands for one: it is temporary, so it is no one's lineage."""
    return is_function(uri) or bool(_function_of(uri))


def _function_of(uri: str) -> str:
    """Return the name of the function whose rows a temporary file holds, or nothing for any other object."""
    path = Path(uri.removeprefix("file://"))
    if not path.name.startswith(_PREFIX) or path.parent != Path(tempfile.gettempdir()):
        return ""
    return path.name.removeprefix(_PREFIX).rpartition("-")[0]
