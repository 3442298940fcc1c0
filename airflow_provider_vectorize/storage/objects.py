"""Upstream storage: the only place that opens it. Names become objects, objects become streams of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, cast
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, ObjectStoragePath

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.load import parts
from airflow_provider_vectorize.load.compressed import explained, reason, text_of
from airflow_provider_vectorize.load.lines import Text

#: Bytes of one request to an object store. fsspec's own default for S3 re-reads 50 MB a line.
BLOCK_BYTES = 8 << 20
_GLOB = frozenset("*?[")
_LOCAL = ("file", "local", "")


class StoredObject:
    """An object, or a part of one, as it was when it was found.

    :param path: where it is; holds the connection's id, never a secret.
    :param conn_id: that connection's id; not every version of Airflow tells it.
    :param part: which part of it.
    """

    def __init__(self, path: ObjectStoragePath, conn_id: str | None = None, part: parts.Part | None = None) -> None:
        self._path = path
        self._conn_id = conn_id
        self._part = part
        self.uri = parts.join(_uri(path), part)
        info = path.fs.info(path.path)
        if info.get("type") == "directory":
            raise SourceError(
                f"{self.uri} is a folder: name the objects in it, for instance with {self.uri.rstrip('/')}/*.ndjson.",
                uri=self.uri,
            )
        self.size = int(info["size"]) if info.get("size") is not None else None
        if part:
            self.size = part.end - part.start
        self.version = _version(info)  # of the whole object, whichever part this is

    @property
    def name(self) -> str:
        """What finds it again, without another connection's name: ``s3://conn@bucket/key``."""
        scheme, _, path = self.uri.partition("://")
        return f"{scheme}://{self._conn_id}@{path}" if self._conn_id and scheme not in _LOCAL else self.uri

    def current_version(self) -> str:
        """The version now: neither fsspec's cache of listings nor this object is believed."""
        self._path.fs.invalidate_cache(self._path.path)
        try:
            return _version(self._path.fs.info(self._path.path))
        except FileNotFoundError:
            return "gone"

    @contextmanager
    def open(self, offset: int) -> Iterator[Text]:
        """Its text from a byte of the decompressed object on.

        :raises SourceError: it is cut off, damaged, gone, or may not be read.
        """
        with _told(self.uri), self._opened() as raw:
            if self._part:
                yield parts.part_of(raw, self.uri, self._part, offset)
            else:
                yield text_of(raw, self.uri, offset)

    def read(self, start: int, end: int) -> bytes:
        """A few of the whole object's bytes as stored, from the first to before the last, by one request.

        :raises SourceError: as :meth:`open`.
        """
        with _told(self.uri):
            return cast(bytes, self._path.fs.cat_file(self._path.path, start=start, end=end))

    def _opened(self) -> IO[bytes]:
        if _is_local(self._path):
            return open(self._path.path, "rb", buffering=0)
        # S3's file objects read a whole block for each line, and again for the next: see to large reads.
        return cast(IO[bytes], self._path.fs.open(self._path.path, "rb", block_size=BLOCK_BYTES))


def find(source: str | Sequence[str], conn_id: str | None = None) -> list[StoredObject]:
    """The objects that a source names, in the order of the list, those of a glob by name, each once.

    :param source: a URI (``s3://``, ``gs://``, ``abfs://``, ``file://``), a path, a glob, or a list of them. A name
        that ends in ``#bytes=START-END`` is a part of a plain object, END exclusive.
    :param conn_id: the storage's connection, unless the URI names one (``s3://conn@bucket/key``).
    :raises SourceError: there is no such object, or nothing matches.
    :raises ConfigError: the connection is not there, or nothing can open such a URI.
    """
    names = [source] if isinstance(source, str) else list(source)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ConfigError(f"The source is empty: name an object, a glob or a list of them, not {source!r}.")
    paths: dict[str, tuple[ObjectStoragePath, str | None, parts.Part | None]] = {}
    for name in names:
        whole, part = parts.split(name)
        for path in [_path(whole, conn_id)] if part else _expand(whole, conn_id):
            # By URI, since a plain path and what a glob makes of it are the same file.
            paths.setdefault(parts.join(_uri(path), part), (path, conn_id or _conn_id_in(whole), part))
    found = []
    for uri, known in paths.items():
        with _told(uri):
            found.append(StoredObject(*known))
    return found


def _expand(name: str, conn_id: str | None) -> list[ObjectStoragePath]:
    path = _path(name, conn_id)
    with _told(name):
        fs = path.fs
        fs.invalidate_cache()
        if not _GLOB & set(path.path) or fs.exists(path.path):
            return [path]
        # fsspec's own glob, not the path's: it lists once instead of walking folder by folder.
        found = fs.glob(path.path, detail=True)
    keys = sorted(key for key, info in found.items() if info.get("type") != "directory")
    if not keys:
        raise SourceError(f"Nothing matches {name}: no object was found, so there is nothing to load.", uri=name)
    return [ObjectStoragePath(f"{_scheme(path)}://{key}", conn_id=conn_id or _conn_id_in(name)) for key in keys]


def _path(name: str, conn_id: str | None) -> ObjectStoragePath:
    used = conn_id or _conn_id_in(name)
    if used:
        # S3's file system quietly takes the machine's own credentials for a connection that is not there.
        try:
            BaseHook.get_connection(used)
        except AirflowNotFoundException:
            raise ConfigError(
                f'There is no connection "{used}" for the storage of {name}: create it under Admin, Connections.'
            ) from None
    try:
        path = ObjectStoragePath(name, conn_id=used) if used else ObjectStoragePath(name)
        path.fs  # noqa: B018 - opens the file system, which is where a missing package shows
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"Nothing here can open {name}: {error}. Install the storage's provider, for instance "
            "apache-airflow-providers-amazon[s3fs], -google or -microsoft-azure."
        ) from error
    return path


def _uri(path: ObjectStoragePath) -> str:
    """A name for people, without the connection. ``as_uri()`` is missing before Airflow 3.2, and quotes plain paths."""
    return f"{_scheme(path)}://{path.path}"


def _is_local(path: ObjectStoragePath) -> bool:
    return path.protocol in _LOCAL


def _scheme(path: ObjectStoragePath) -> str:
    scheme = path.protocol if isinstance(path.protocol, str) else path.protocol[0]
    return scheme or "file"


def _conn_id_in(name: str) -> str | None:
    """The connection in ``s3://conn@bucket/key``."""
    parts = urlsplit(name)
    return parts.username if parts.scheme else None


def _version(info: dict[str, Any]) -> str:
    """Size and ETag, or the time of modification, whatever the store calls them."""
    stamp = next(
        (
            info[key]
            for key in ("ETag", "etag", "content_md5", "LastModified", "last_modified", "updated", "mtime")
            if info.get(key)
        ),
        "",
    )
    return f"{info.get('size')}:{stamp}"


@contextmanager
def _told(uri: str) -> Iterator[None]:
    """Turn what storage raises into one sentence that names the object."""
    with explained(uri):
        try:
            yield
        except Exception as error:
            if type(error).__name__ == "FileExpired":  # s3fs asks for each block of the version that it opened
                raise SourceError(
                    f"{uri} changed while it was read. Load it again when whoever writes it is done.", uri=uri
                ) from error
            # The libraries of the stores have errors of their own, outside of OSError.
            if type(error).__module__.split(".")[0] in ("botocore", "aiobotocore", "google", "azure", "gcsfs"):
                raise SourceError(f"{uri} cannot be read: {reason(error)}.", uri=uri) from error
            raise
