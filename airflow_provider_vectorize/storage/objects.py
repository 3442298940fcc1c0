"""Resolve a source to the objects that it names, and open their text."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.sources import parts
from airflow_provider_vectorize.sources.compression import is_compressed, open_text, raise_source_errors
from airflow_provider_vectorize.sources.lines import Text
from airflow_provider_vectorize.storage.connections import check_connection, open_store
from airflow_provider_vectorize.storage.data_objects import describe_skipped, split_data_objects
from airflow_provider_vectorize.storage.errors import not_found_error, raise_storage_errors, store_failure
from airflow_provider_vectorize.storage.globs import expand_pattern
from airflow_provider_vectorize.storage.names import Location, Name, parse
from airflow_provider_vectorize.storage.random_access import RandomAccessFile
from airflow_provider_vectorize.storage.store import Entry, FetchedRange, Store
from airflow_provider_vectorize.storage.streams import ObjectStream
from airflow_provider_vectorize.storage.tables import refuse_table, warn_of_table

log = logging.getLogger(__name__)

#: HTTP content encodings that the provider does not decompress.
_UNSUPPORTED_ENCODINGS = ("br", "deflate", "compress")


class StoredObject:
    """An object, or a part of one, in the version that was found.

    :param store: Store of the object.
    :param location: Where the object is in the store.
    :param entry: The store's description of the object.
    :param part: Part of the object, or ``None`` for all of it.
    :raises ConfigError: It is a part of a compressed object, which can only be read from its start.
    """

    def __init__(self, store: Store, location: Location, entry: Entry, part: parts.Part | None = None) -> None:
        self._store = store
        self._entry = entry
        self._part = part
        self.location = location
        self.key = location.key
        self.uri: str = parts.PartName(location.uri, part) if part else location.uri
        self.size = part.end - part.start if part else entry.size
        self.version = entry.version  # of the complete object, for parts too
        self._encoding = entry.encoding
        if part and is_compressed(self.key, self.encoding):
            raise ConfigError(
                f"{self.uri} is a part of a compressed object: compressed objects can only be read whole."
            )

    @property
    def identity(self) -> str:
        """Text that differs for every other object and part."""
        return f"{self.location.identity}{list(self._part) if self._part else ''}"

    @property
    def name(self) -> str:
        """A name that resolves to exactly this object or part, also in another task."""
        return self.location.source(self._part, self._digest if self._part else "")

    def name_of_part(self, part: parts.Part) -> str:
        """Return a name that resolves to a part of the object while the object has this version."""
        return self.location.source(part, self._digest)

    @property
    def encoding(self) -> str:
        """Content encoding in the store's metadata, or empty. If a listing did not report it, the store is asked."""
        if self._encoding is None:
            with raise_storage_errors(self.location.uri):
                entry = self._store.get_entry(self.location.bucket, self.key, self.location.version)
            self._encoding = (entry.encoding if entry else "") or ""
        return self._encoding

    def current_version(self) -> str:
        """Request and return the object's current version, or ``gone`` if it does not exist anymore."""
        with raise_storage_errors(self.location.uri):
            entry = self._store.get_entry(self.location.bucket, self.key, self.location.version)
        return entry.version if entry else "gone"

    @contextmanager
    def open(self, offset: int) -> Iterator[Text]:
        """Open the decompressed text.

        :param offset: Byte of the decompressed text, in the object or part, at which to start.
        :raises SourceError: The object is cut off, damaged, deleted or changed, or the connection cannot read it.
        """
        if self._encoding in _UNSUPPORTED_ENCODINGS:
            raise SourceError(
                f"{self.uri} is stored with the content encoding {self._encoding}, which is not supported: store it as "
                ".gz, .zst or plain text.",
                uri=self.uri,
            )
        with raise_source_errors(self.uri), self._open_stored_bytes() as raw:
            if self._part:
                yield parts.open_part(raw, self.uri, self._part, offset)
            else:
                yield open_text(raw, self.uri, offset, key=self.key, encoding=lambda: self.encoding)

    def read(self, start: int, end: int) -> bytes:
        """Return a few bytes of the complete object as they are stored.

        :param start: First byte.
        :param end: Byte after the last one. Fewer bytes are returned if the object ends before.
        :raises SourceError: As :meth:`open`.
        """
        stream = ObjectStream(lambda first, stop: self._fetch_range(first, min(stop, end)), self.uri)
        stream.seek(start)
        pieces: list[bytes] = []
        while start < end and (piece := stream.read(end - start)):
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    @contextmanager
    def open_file(self, block_bytes: int | None = None) -> Iterator[IO[bytes]]:
        """Open the stored bytes of the complete object for random access.

        :param block_bytes: Bytes of one request to an object store. Default: 4 MB.
        :raises SourceError: As :meth:`open`, or the store does not report the object's size.
        """
        with raise_source_errors(self.uri), raise_storage_errors(self.uri):
            if self.location.is_local:
                with open(self.key, "rb") as file:
                    yield file
            elif self._entry.size is None:
                raise SourceError(f"{self.uri} cannot be read at any byte: its store reports no size.", uri=self.uri)
            elif is_compressed("", self.encoding) or self.encoding in _UNSUPPORTED_ENCODINGS:
                raise SourceError(
                    f"{self.uri} cannot be read at any byte: it is stored with the content encoding {self.encoding}. "
                    "Store it without one.",
                    uri=self.uri,
                )
            else:
                yield io.BufferedReader(RandomAccessFile(self.read, self._entry.size, block_bytes))

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.version.encode()).hexdigest()[:16]

    def _open_stored_bytes(self) -> Any:
        if self.location.is_local:
            return open(self.key, "rb", buffering=0)
        return ObjectStream(self._fetch_range, self.uri, ahead_to=self._part.end if self._part else math.inf)

    def _fetch_range(self, start: int, end: int) -> FetchedRange:
        return self._store.fetch_range(self.location, self._entry, start, end)


def find(source: str | Sequence[str], conn_id: str | None = None) -> list[StoredObject]:
    """Return the objects that a source names, each once: in the order of the list, and matches of a pattern by key.

    :param source: A URI (``s3://``, ``gs://``, ``abfs://``, ``file://``), a path, a pattern, a folder that ends in
        ``/``, or a list of them. An object of exactly this key takes precedence. Only if it does not exist, a name
        that ends in ``#bytes=START-END`` is a part of an uncompressed object (END is exclusive), a name that ends in
        a version is this version, and ``*``, ``?`` and ``[...]`` make a pattern. Of a pattern or folder, only data
        objects are returned: hidden ones (names that start with ``_`` or ``.``), ``.crc`` files and empty ones are
        skipped.
    :param conn_id: Storage connection. A connection in the name (``s3://conn@bucket/key``) takes precedence.
    :raises SourceError: An object does not exist, nothing matches a pattern, or a part belongs to another version.
    :raises ConfigError: The connection does not exist, or no installed provider can open such a URI.
    """
    names = [source] if isinstance(source, str) else list(source)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ConfigError(f"The source is empty: name an object, a pattern or a list of them, not {source!r}.")
    if conn_id:
        check_connection(conn_id, "the source")
    objects: dict[object, StoredObject] = {}
    for name in names:
        parsed = parse(name, conn_id)
        store = open_store(parsed.location)
        with raise_storage_errors(parsed.location.uri):
            for stored in _resolve(store, parsed):
                objects.setdefault((_real_location(stored.location), stored._part), stored)
    return list(objects.values())


def _real_location(location: Location) -> object:
    """Return a value that is equal for all names of one object: two paths may lead to the same file."""
    return os.path.realpath(location.key) if location.is_local else location


def _resolve(store: Store, name: Name) -> Iterator[StoredObject]:
    """Yield the objects of a name, by the first of its meanings that applies."""
    location = name.location
    entry = _get_entry(store, location, forbidden_is_missing=name.is_pattern)
    if entry and not entry.is_folder:
        yield _stored_object(store, location, entry, name)
    elif name.exact:
        raise _missing_object_error(store, location, entry)
    elif part := name.as_part:
        yield from _resolve(store, part)
    elif version := name.as_version:
        yield _versioned_object(store, name, version)
    elif name.is_folder:
        yield from _objects_in_folder(store, location)
    elif name.part or not name.is_pattern:
        raise _missing_object_error(store, location, entry)
    else:
        yield from _matching_objects(store, location)


def _versioned_object(store: Store, name: Name, location: Location) -> StoredObject:
    entry = _get_entry(store, location)
    if not entry:
        text = f"There is no such version of the object {location.uri}. Name another version, or none."
        raise SourceError(text, uri=location.uri)
    return _stored_object(store, location, entry, name)


def _stored_object(store: Store, location: Location, entry: Entry, name: Name) -> StoredObject:
    if entry.problem:
        raise SourceError(f"{location.uri} {entry.problem}.", uri=location.uri)
    stored = StoredObject(store, location, entry, name.part)
    if name.digest and stored._digest != name.digest:
        raise SourceError(
            f"{stored.uri} is not a part of the current object: the object is another version, so it changed after the "
            "load was planned. Plan and load again when it is no longer being written.",
            uri=stored.uri,
        )
    return stored


def _get_entry(store: Store, location: Location, *, forbidden_is_missing: bool = False) -> Entry | None:
    try:
        return store.get_entry(location.bucket, location.key, location.version)
    except Exception as error:
        # A connection that may list a bucket is sometimes not allowed to ask for a key that does not exist.
        if forbidden_is_missing and (isinstance(error, PermissionError) or store_failure(error).status == 403):
            return None
        raise


def _matching_objects(store: Store, location: Location) -> Iterator[StoredObject]:
    entries = list(expand_pattern(store, location.bucket, location.key))
    if folders := [entry for entry in entries if entry.is_folder]:
        log.info("Ignored %d folders that also match %s.", len(folders), location.uri)
    if len(folders) == len(entries):
        hint = f" {len(folders)} folders match: add /* to load the objects in them." if folders else ""
        raise not_found_error(location, f"No object matches {location.uri}, so there is nothing to load.{hint}")
    objects = [entry for entry in entries if not entry.is_folder]
    warn_of_table(store, location, objects)
    yield from _data_objects(store, location, objects)


def _objects_in_folder(store: Store, location: Location) -> Iterator[StoredObject]:
    """Yield all data objects of a folder, at any depth."""
    entries = [entry for entry in store.list_all(location.bucket, location.key) if not entry.is_folder]
    if not entries:
        raise not_found_error(location, f"The folder {location.uri} does not exist or has no objects.")
    yield from _data_objects(store, location, entries)


def _data_objects(store: Store, location: Location, entries: list[Entry]) -> Iterator[StoredObject]:
    refuse_table(location, entries)
    data, skipped = split_data_objects(entries, location.key)
    if skipped:
        count = pluralize(len(skipped), "object")
        what = f"hidden, checksum or empty: {describe_skipped(skipped)}"
        if not data:
            raise not_found_error(location, f"No data object matches {location.uri}. Skipped {count} ({what}).")
        log.info("Skipped %s matching %s (%s).", count, location.uri, what)
    for entry in sorted(data, key=lambda entry: entry.key):
        matched = Location(location.scheme, location.conn_id, location.bucket, entry.key)
        yield _stored_object(store, matched, entry, Name(matched))


def _missing_object_error(store: Store, location: Location, entry: Entry | None) -> SourceError:
    """Return an error that says whether the location is a folder or does not exist at all."""
    if (entry and entry.is_folder) or _has_objects_below(store, location):
        uri = location.uri.rstrip("/")
        return SourceError(
            f"{location.uri} is a folder: name the objects in it, for instance with {uri}/*.ndjson, or add / at the "
            "end to load all of its data objects.",
            uri=location.uri,
        )
    spaces = " Its name begins or ends with a space or a line break." if location.key != location.key.strip() else ""
    return not_found_error(location, f"There is no object {location.uri}.{spaces}")


def _has_objects_below(store: Store, location: Location) -> bool:
    try:
        return any(True for _ in store.list_level(location.bucket, f"{location.key.rstrip('/')}/", ""))
    except Exception:  # noqa: BLE001 - the load fails anyway, and this only chooses the message
        return False
