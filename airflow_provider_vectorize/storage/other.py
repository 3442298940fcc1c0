"""Read and write any other file system that Airflow can open, through its own functions.

Keys are only as exact as these functions read names.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import IO, Any

from airflow_provider_vectorize.storage.names import Location
from airflow_provider_vectorize.storage.store import Entry, FetchedRange

#: Fields by which file systems report a change, the most reliable ones first.
_REVISION_FIELDS = (
    "generation",
    "ETag",
    "etag",
    "content_md5",
    "LastModified",
    "last_modified",
    "updated",
    "mtime",
    "created",
)
#: Bytes copied at a time.
_COPY_BYTES = 1 << 20


class OtherStore:
    """A store that calls a file system of fsspec.

    :param fs: A file system with the connection's credentials.
    """

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def get_entry(self, bucket: str, key: str, version: str | None = None) -> Entry | None:
        """Return the object of this key, or ``None`` if it does not exist."""
        self._fs.invalidate_cache()
        try:
            return self._entry(self._fs.info(f"{bucket}/{key}"), key)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def list_level(self, bucket: str, prefix: str, start: str) -> Iterator[Entry]:
        """Yield the objects and folders directly below a prefix."""
        self._fs.invalidate_cache()
        try:
            infos = self._fs.ls(f"{bucket}/{prefix}", detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return
        for info in sorted(infos, key=lambda info: str(info["name"])):
            name = str(info["name"]).rstrip("/").rpartition("/")[2]
            if name.startswith(start):
                entry = self._entry(info, f"{prefix}{name}")
                yield entry._replace(key=f"{entry.key}/") if entry.is_folder else entry

    def list_all(self, bucket: str, prefix: str) -> Iterator[Entry]:
        """Yield all objects below a prefix."""
        for entry in self.list_level(bucket, prefix, ""):
            if entry.is_folder:
                yield from self.list_all(bucket, entry.key)
            else:
                yield entry

    def fetch_range(self, location: Location, entry: Entry, start: int, end: int) -> FetchedRange:
        """Return bytes of the object, without a check of its version: these file systems offer none."""
        size = entry.size if entry.size is not None else end
        if start >= size:
            return FetchedRange(b"", start)
        data: bytes = self._fs.cat_file(f"{location.bucket}/{location.key}", start=start, end=min(end, size))
        return FetchedRange(data, entry.size)

    def write(self, bucket: str, key: str, content: IO[bytes]) -> None:
        """Create or overwrite the object."""
        with self._fs.open(f"{bucket}/{key}", "wb") as stream:
            shutil.copyfileobj(content, stream, _COPY_BYTES)

    def delete(self, bucket: str, key: str) -> None:
        """Delete the object, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(f"{bucket}/{key}")

    @staticmethod
    def _entry(info: dict[str, Any], key: str) -> Entry:
        revision = next((str(info[name]) for name in _REVISION_FIELDS if info.get(name)), "")
        size = int(info["size"]) if info.get("size") is not None else None
        return Entry(key, size, revision, is_folder=info.get("type") == "directory")
