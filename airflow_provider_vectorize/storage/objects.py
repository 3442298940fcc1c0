"""Objects of a store as values, found by their names, and their text."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.sources import parts
from airflow_provider_vectorize.sources.compression import is_compressed, open_text, raise_source_errors
from airflow_provider_vectorize.sources.lines import Text
from airflow_provider_vectorize.storage.connections import check_connection, open_store
from airflow_provider_vectorize.storage.errors import explained, said
from airflow_provider_vectorize.storage.globs import expand
from airflow_provider_vectorize.storage.names import Location, Name, parse
from airflow_provider_vectorize.storage.store import Entry, Store
from airflow_provider_vectorize.storage.streams import ObjectStream

log = logging.getLogger(__name__)

#: Content encodings of HTTP that nothing here unpacks.
_UNREADABLE = ("br", "deflate", "compress")


class StoredObject:
    """An object, or a part of one, as it was when it was found.

    :param store: the one that it is in.
    :param location: where it is there.
    :param entry: what the store said of it.
    :param part: which part of it.
    """

    def __init__(self, store: Store, location: Location, entry: Entry, part: parts.Part | None = None) -> None:
        self._store = store
        self._entry = entry
        self._part = part
        self.location = location
        self.key = location.key
        self.uri: str = parts.PartName(location.uri, part) if part else location.uri
        self.size = part.end - part.start if part else entry.size
        self.version = entry.version  # of the whole object, whichever part this is
        self._encoding = entry.encoding
        if part and is_compressed(self.key, self.encoding):
            raise ConfigError(f"{self.uri} is no part that can be read alone: compressed objects are read whole.")

    @property
    def identity(self) -> str:
        """What tells it from every other object and part."""
        return f"{self.location.identity}{list(self._part) if self._part else ''}"

    @property
    def name(self) -> str:
        """The name that finds exactly this object or part again, also in another task."""
        return self.location.source(self._part, self._digest if self._part else "")

    def name_of_part(self, part: parts.Part) -> str:
        """What finds a part of it again, as long as the object is of this version."""
        return self.location.source(part, self._digest)

    @property
    def encoding(self) -> str:
        """The content encoding in the store's metadata. A listing may not tell it: then the store is asked."""
        if self._encoding is None:
            with explained(self.location.uri):
                entry = self._store.stat(self.location.bucket, self.key, self.location.version)
            self._encoding = (entry.encoding if entry else "") or ""
        return self._encoding

    def current_version(self) -> str:
        """The version now: the store is asked."""
        with explained(self.location.uri):
            entry = self._store.stat(self.location.bucket, self.key, self.location.version)
        return entry.version if entry else "gone"

    @contextmanager
    def open(self, offset: int) -> Iterator[Text]:
        """Its text from a byte of the decompressed object on.

        :raises SourceError: it is cut off, damaged, gone, or may not be read.
        """
        if self._encoding in _UNREADABLE:
            raise SourceError(
                f"{self.uri} is stored with the content encoding {self._encoding}, which is not read: store it as "
                ".gz, .zst or plain text.",
                uri=self.uri,
            )
        with raise_source_errors(self.uri), self._opened() as raw:
            if self._part:
                yield parts.open_part(raw, self.uri, self._part, offset)
            else:
                yield open_text(raw, self.uri, offset, key=self.key, encoding=lambda: self.encoding)

    def read(self, start: int, end: int) -> bytes:
        """A few of the whole object's bytes as stored, from the first to before the last.

        :raises SourceError: as :meth:`open`.
        """
        stream = ObjectStream(lambda at, to: self._fetch(at, min(to, end)), self.uri)
        stream.seek(start)
        pieces: list[bytes] = []
        while start < end and (piece := stream.read(end - start)):
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.version.encode()).hexdigest()[:16]

    def _opened(self) -> Any:
        if self.location.is_local:
            return open(self.key, "rb", buffering=0)
        return ObjectStream(self._fetch, self.uri)

    def _fetch(self, start: int, end: int) -> Any:
        return self._store.fetch(self.location, self._entry, start, end)


def find(source: str | Sequence[str], conn_id: str | None = None) -> list[StoredObject]:
    """The objects that a source names, in the order of the list, those of a pattern by name, each once.

    :param source: a URI (``s3://``, ``gs://``, ``abfs://``, ``file://``), a path, a pattern, or a list of them. An
        object of exactly this key comes first. Only if there is none, a name that ends in ``#bytes=START-END`` is a
        part of a plain object (END exclusive), one that ends in a version is that version, and ``*``, ``?`` and
        ``[...]`` make a pattern.
    :param conn_id: the storage's connection, unless the name holds one (``s3://conn@bucket/key``), which then counts.
    :raises SourceError: there is no such object, or nothing matches, or a part's object is another version.
    :raises ConfigError: the connection does not exist, or nothing can open such a URI.
    """
    names = [source] if isinstance(source, str) else list(source)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ConfigError(f"The source is empty: name an object, a glob or a list of them, not {source!r}.")
    if conn_id:
        check_connection(conn_id, "the source")
    found: dict[object, StoredObject] = {}
    for name in names:
        parsed = parse(name, conn_id)
        store = open_store(parsed.location)
        with explained(parsed.location.uri):
            for item in _resolve(store, parsed):
                found.setdefault((_leads_to(item.location), item._part), item)
    return list(found.values())


def _leads_to(location: Location) -> object:
    """What a location means in the end: two names of one file are the same."""
    return os.path.realpath(location.key) if location.is_local else location


def _resolve(store: Store, name: Name) -> Iterator[StoredObject]:
    """What a name means: the first of its meanings for which there is an object."""
    location = name.location
    entry = _probe(store, location, tolerant=name.is_pattern)
    if entry and not entry.is_folder:
        yield _object(store, location, entry, name)
    elif name.exact:
        raise _missing(store, location, entry)
    elif part := name.as_part:
        yield from _resolve(store, part)
    elif version := name.as_version:
        yield _version(store, name, version)
    elif name.part or not name.is_pattern:
        raise _missing(store, location, entry)
    else:
        yield from _matching(store, location)


def _version(store: Store, name: Name, location: Location) -> StoredObject:
    """The version that a name asks for."""
    found = _probe(store, location)
    if not found:
        raise SourceError(f"There is no such version of the object {location.uri}.", uri=location.uri)
    return _object(store, location, found, name)


def _object(store: Store, location: Location, entry: Entry, name: Name) -> StoredObject:
    if entry.problem:
        raise SourceError(f"{location.uri} {entry.problem}.", uri=location.uri)
    item = StoredObject(store, location, entry, name.part)
    if name.digest and item._digest != name.digest:
        raise SourceError(
            f"{item.uri} is no part of the object as it is now: the object is another version, so it changed since the "
            "load was planned. Plan and load again when it is no longer being written.",
            uri=item.uri,
        )
    return item


def _probe(store: Store, location: Location, *, tolerant: bool = False) -> Entry | None:
    try:
        return store.stat(location.bucket, location.key, location.version)
    except Exception as error:
        if tolerant and (isinstance(error, PermissionError) or said(error).status == 403):
            return None  # who may list, perhaps may not look at an object that does not exist
        raise


def _matching(store: Store, location: Location) -> Iterator[StoredObject]:
    entries = sorted(expand(store, location.bucket, location.key), key=lambda entry: entry.key)
    if folders := [entry for entry in entries if entry.is_folder]:
        log.info("%s also matches %d folders, which are not loaded.", location.uri, len(folders))
    if len(folders) == len(entries):
        hint = f" {len(folders)} folders match: add /* to name what is in them." if folders else ""
        raise SourceError(
            f"Nothing matches {location.uri}: no object was found, so there is nothing to load.{hint}", uri=location.uri
        )
    for entry in entries:
        if not entry.is_folder:
            at = Location(location.scheme, location.conn_id, location.bucket, entry.key)
            yield _object(store, at, entry, Name(at))


def _missing(store: Store, location: Location, entry: Entry | None) -> SourceError:
    """Why there is nothing to read: it is a folder, or nothing at all."""
    if (entry and entry.is_folder) or _has_objects_below(store, location):
        uri = location.uri.rstrip("/")
        return SourceError(
            f"{location.uri} is a folder: name the objects in it, for instance with {uri}/*.ndjson.", uri=location.uri
        )
    spaces = " Its name begins or ends with a space or a line break." if location.key != location.key.strip() else ""
    return SourceError(f"There is no object {location.uri}.{spaces}", uri=location.uri)


def _has_objects_below(store: Store, location: Location) -> bool:
    try:
        return any(True for _ in store.level(location.bucket, f"{location.key.rstrip('/')}/", ""))
    except Exception:  # noqa: BLE001 - it only makes another sentence of an error that is known already
        return False
