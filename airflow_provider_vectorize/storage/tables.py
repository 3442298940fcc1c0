"""Recognize folders of Delta, Iceberg and Hudi tables, which also have objects of earlier versions."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.storage.data_objects import fixed_folder
from airflow_provider_vectorize.storage.names import Location
from airflow_provider_vectorize.storage.store import Entry, Store

log = logging.getLogger(__name__)

#: The folder that marks a table, and what the key of an object in it looks like, by the format of the table.
_MARKERS = {
    "Delta": ("_delta_log/", re.compile(r"(^|/)_delta_log/")),
    "Iceberg": ("metadata/", re.compile(r"(^|/)metadata/[^/]*\.metadata\.json$")),
    "Hudi": (".hoodie/", re.compile(r"(^|/)\.hoodie/")),
}
_DANGER = (
    "it also has objects of earlier versions, with rows that have been deleted. Export the table and load the export."
)


def refuse_table(location: Location, entries: Iterable[Entry]) -> None:
    """Raise if the objects of a folder include those that mark a table.

    :raises SourceError: They do.
    """
    keys = [entry.key for entry in entries]
    for name, (_, marker) in _MARKERS.items():
        if any(map(marker.search, keys)):
            raise SourceError(
                f"{location.uri} is a table of the format {name}: {_DANGER} If you are sure that all objects are "
                "current, name them with a pattern, for instance one that ends in *.parquet.",
                uri=location.uri,
            )


def warn_of_table(store: Store, location: Location, entries: Sequence[Entry]) -> None:
    """Log a warning if a pattern selects Parquet objects of a table.

    The folder of the pattern and the one above it are searched, with at most six listings.
    """
    if not any(entry.key.endswith(".parquet") for entry in entries):
        return
    folder = fixed_folder(location.key)
    for candidate in dict.fromkeys((folder, folder[: folder.rfind("/", 0, -1) + 1])):
        for name, (marked_folder, marker) in _MARKERS.items():
            if any(marker.search(entry.key) for entry in _list(store, location.bucket, candidate + marked_folder)):
                log.warning("%s selects objects of a table of the format %s: %s", location.uri, name, _DANGER)
                return


def _list(store: Store, bucket: str, folder: str) -> Iterator[Entry]:
    try:
        yield from store.list_level(bucket, folder, "")
    except Exception:  # noqa: BLE001 - the connection may list only the objects, and this is only a warning
        return
