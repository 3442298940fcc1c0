"""Detect the format of the objects of a source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol, get_args

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.parameters import one_of
from airflow_provider_vectorize.sources.parquet import MAGIC

Format = Literal["ndjson", "parquet"]
FormatSetting = Literal["auto", "ndjson", "parquet"]
FORMAT = one_of(*get_args(FormatSetting))

_NDJSON_SUFFIXES = (".ndjson", ".jsonl", ".json", ".gz", ".zst")


class NamedObject(Protocol):
    """An object whose format can be detected."""

    @property
    def uri(self) -> str: ...

    @property
    def key(self) -> str: ...

    def read(self, start: int, end: int) -> bytes:
        """Return a few bytes of the object as they are stored."""
        ...


def detect_format(objects: Iterable[NamedObject], setting: FormatSetting = "auto") -> Format:
    """Return the format that all objects of a source have.

    The suffix of a key decides. Of an object whose key has no known suffix, the first bytes are read.

    :param setting: ``auto``, or the format that the caller knows.
    :raises ConfigError: The objects have different formats. The message names one object of each.
    :raises SourceError: An object cannot be read.
    """
    if setting != "auto":
        return setting
    first: dict[Format, str] = {}
    for item in objects:
        first.setdefault(_format_of(item), item.uri)
        if len(first) > 1:
            raise ConfigError(
                f"The source has two formats: {first['parquet']} is Parquet and {first['ndjson']} is not. Load them "
                "with two tasks, or set format if the names mislead."
            )
    return next(iter(first))


def _format_of(item: NamedObject) -> Format:
    key = item.key.lower()
    if key.endswith(".parquet"):
        return "parquet"
    if key.endswith(_NDJSON_SUFFIXES):
        return "ndjson"
    return "parquet" if item.read(0, len(MAGIC)) == MAGIC else "ndjson"
