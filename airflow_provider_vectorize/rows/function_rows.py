"""Write the rows that a function yields to a temporary file, which is loaded like any other object."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

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
    """Write rows to a temporary file, and return its path. The file is deleted at the end of the context.

    A row with a NaN or an infinity is written as invalid JSON, so the load rejects it like any other bad row.

    :param rows: Iterable of dicts. It is consumed once, and no row is kept in memory.
    :param function: Name of the function that yielded the rows, for messages.
    :raises ConfigError: The rows are not an iterable of dicts, or one of them cannot be written as JSON.
    """
    uri = function_uri(function)
    if not isinstance(rows, Iterable) or isinstance(rows, (str, bytes, dict)):
        raise ConfigError(
            f"`{uri}` must yield rows (dicts with id and values), but it returned an object of type "
            f"{type(rows).__name__}."
        )
    with tempfile.NamedTemporaryFile(prefix=f"{_PREFIX}{function}-", suffix=".ndjson") as file:
        count = 0
        for count, row in enumerate(rows, 1):
            if not isinstance(row, dict):
                raise ConfigError(
                    f"{row_place(uri, count)} is of type {type(row).__name__}. Yield dicts with id and values."
                )
            try:
                file.write(encode_row(row, keep_nan=True))
            except EncodingError as error:
                raise ConfigError(f"{row_place(uri, count)} cannot be written as JSON: {error}.") from None
        file.flush()
        size = format_size(os.path.getsize(file.name))
        log.info("Wrote %s that `%s` yielded to a temporary file (%s).", pluralize(count, "row"), uri, size)
        yield file.name


class FunctionRows:
    """The temporary file of a function's rows as a source object that is named by the function.

    :param file: Source object of the file.
    :param function: Name of the function that yielded the rows.
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

    def open_file(self, block_bytes: int | None = None) -> AbstractContextManager[IO[bytes]]:
        """Open the file for random access."""
        return self._file.open_file(block_bytes)

    def read(self, start: int, end: int) -> bytes:
        """Return a few bytes of the file."""
        return self._file.read(start, end)

    def current_version(self) -> str:
        """Return the current version of the file."""
        return self._file.current_version()


def with_function_names(objects: Sequence[SourceObject]) -> list[SourceObject]:
    """Return the objects of a source. Temporary files of function rows get the names of the functions."""
    functions = [_function_name(source_object.uri) for source_object in objects]
    return [
        FunctionRows(source_object, function) if function else source_object
        for source_object, function in zip(objects, functions, strict=True)
    ]


def is_function_rows(uri: str) -> bool:
    """Return whether an object holds function rows. Its file is temporary, so it does not belong in the lineage.

    :param uri: URI of the object: the function's name or the temporary file.
    """
    return is_function(uri) or bool(_function_name(uri))


def _function_name(uri: str) -> str:
    """Return the name of the function whose rows are in a temporary file, or an empty string for any other object."""
    path = Path(uri.removeprefix("file://"))
    if not path.name.startswith(_PREFIX) or path.parent != Path(tempfile.gettempdir()):
        return ""
    return path.name.removeprefix(_PREFIX).rpartition("-")[0]
