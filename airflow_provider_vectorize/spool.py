"""Rows that a function yields, as a temporary file that can be loaded like any other object."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.quantities import counted, size

log = logging.getLogger(__name__)

_PREFIX = "vectorize-rows-"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


@contextmanager
def spooled(rows: Any, origin: str) -> Iterator[str]:
    """The path of a file with these rows, for as long as the block runs.

    :param rows: an iterable of dicts; it is gone through once, and nothing is kept of it.
    :param origin: who made them, for messages.
    :raises ConfigError: it is none, or one of them cannot be written as JSON.
    """
    if not isinstance(rows, Iterable) or isinstance(rows, (str, bytes, dict)):
        raise ConfigError(f"{origin} has to yield rows, dicts with id and values, and gave {type(rows).__name__}.")
    with tempfile.NamedTemporaryFile(prefix=f"{_PREFIX}{origin}-", suffix=".ndjson") as file:
        count = 0
        for count, row in enumerate(rows, 1):
            if not isinstance(row, dict):
                raise ConfigError(f"{origin} has to yield rows, dicts with id and values; row {count} is none.")
            try:
                file.write(orjson.dumps(row, option=_OPTIONS))
            except TypeError as error:
                raise ConfigError(f"Row {count} of {origin} cannot be written as JSON: {error}.") from None
        file.flush()
        log.info("%s yielded %s, %s.", origin, counted(count, "row"), size(os.path.getsize(file.name)))
        yield file.name


def is_spooled(uri: str) -> bool:
    """Whether an object is such a file: nobody else can see it, so it is no one's lineage."""
    path = Path(uri.removeprefix("file://"))
    return path.name.startswith(_PREFIX) and path.parent == Path(tempfile.gettempdir())
