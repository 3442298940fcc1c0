"""Any other file system that Airflow can open, by its own functions and as exactly as they read names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import IO, Any

from airflow_provider_vectorize.storage.names import Location
from airflow_provider_vectorize.storage.store import Answer, Entry

_STAMPS = ("generation", "ETag", "etag", "content_md5", "LastModified", "last_modified", "updated", "mtime", "created")


class OtherStore:
    """A file system of fsspec.

    :param fs: with the connection's credentials.
    """

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def stat(self, bucket: str, key: str, version: str | None = None) -> Entry | None:
        """The object of exactly this key."""
        self._fs.invalidate_cache()
        try:
            return self._entry(self._fs.info(f"{bucket}/{key}"), key)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def level(self, bucket: str, prefix: str, start: str) -> Iterator[Entry]:
        """Objects and folders right below a prefix."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(f"{bucket}/{prefix}", detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return
        for info in sorted(found, key=lambda one: str(one["name"])):
            name = str(info["name"]).rstrip("/").rpartition("/")[2]
            if name.startswith(start):
                entry = self._entry(info, f"{prefix}{name}")
                yield entry._replace(key=f"{entry.key}/") if entry.is_folder else entry

    def below(self, bucket: str, prefix: str) -> Iterator[Entry]:
        """All objects below a prefix."""
        for entry in self.level(bucket, prefix, ""):
            if entry.is_folder:
                yield from self.below(bucket, entry.key)
            else:
                yield entry

    def fetch(self, location: Location, entry: Entry, start: int, end: int) -> Answer:
        """Bytes of the object."""
        size = entry.size if entry.size is not None else end
        if start >= size:
            return Answer(b"", start)
        data: bytes = self._fs.cat_file(f"{location.bucket}/{location.key}", start=start, end=min(end, size))
        return Answer(data, entry.size)

    def write(self, bucket: str, key: str, content: IO[bytes]) -> None:
        """Replace the object."""
        with self._fs.open(f"{bucket}/{key}", "wb") as stream:
            shutil.copyfileobj(content, stream, 1 << 20)

    @staticmethod
    def _entry(info: dict[str, Any], key: str) -> Entry:
        stamp = next((str(info[name]) for name in _STAMPS if info.get(name)), "")
        size = int(info["size"]) if info.get("size") is not None else None
        return Entry(key, size, stamp, is_folder=info.get("type") == "directory")
