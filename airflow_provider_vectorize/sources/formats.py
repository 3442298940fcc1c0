"""Detect the format of the objects of a source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.parameters import one_of
from airflow_provider_vectorize.sources.compression import compression_suffix
from airflow_provider_vectorize.sources.parquet import ENCRYPTED_MAGIC, MAGIC
from airflow_provider_vectorize.sources.source_object import SourceObject

Format = Literal["ndjson", "parquet"]
FormatSetting = Literal["auto", "ndjson", "parquet"]
FORMAT = one_of(*get_args(FormatSetting))

#: Bytes of an object that :func:`is_parquet` needs.
HEAD_BYTES = 64
#: First bytes of a Parquet object.
_MAGICS = (MAGIC, ENCRYPTED_MAGIC)
_NDJSON_SUFFIXES = (".ndjson", ".jsonl", ".json", ".gz", ".zst")


def detect_format(objects: Iterable[SourceObject], setting: FormatSetting = "auto") -> Format:
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


def is_parquet(head: bytes) -> bool:
    """Return whether an object is Parquet, also if text could begin with the same letters.

    :param head: The first :data:`HEAD_BYTES` of the object.
    """
    # What follows the letters in Parquet has bytes that text does not have.
    return head.startswith(_MAGICS) and any(byte < ord(" ") and byte not in b"\t\r\n" for byte in head)


def refuse_parquet(head: bytes, uri: str) -> None:
    """Raise if an object that is read as ndjson is Parquet.

    :param head: First bytes of the object.
    :raises SourceError: They are those of a Parquet object, and no line of JSON begins with them.
    """
    if not head.startswith(_MAGICS):
        return
    if compression_suffix(uri):
        raise SourceError(
            f"{uri} is Parquet inside of a compressed object: decompress it, and load the result.",
            uri=uri,
            permanent=True,
        )
    raise SourceError(
        f"{uri} is Parquet, but it is read as ndjson because of its name or of format: set format='parquet', or "
        "rename it to end in .parquet.",
        uri=uri,
        permanent=True,
    )


def _format_of(item: SourceObject) -> Format:
    key = item.key.lower()
    if key.endswith(".parquet"):
        return "parquet"
    if key.endswith(_NDJSON_SUFFIXES):
        return "ndjson"
    return "parquet" if item.read(0, len(MAGIC)).startswith(_MAGICS) else "ndjson"
