"""Read files of this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from airflow_provider_vectorize.storage.names import Location
from airflow_provider_vectorize.storage.store import Entry, FetchedRange

_SPECIAL_FILES = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class LocalStore:
    """A store of local files, whose keys are absolute paths. It ignores the bucket."""

    def get_entry(self, bucket: str, key: str, version: str | None = None) -> Entry | None:
        """Return the file or folder that a path leads to, or ``None`` if it does not exist."""
        try:
            status = os.stat(key)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _entry(key, status)

    def list_level(self, bucket: str, prefix: str, start: str) -> Iterator[Entry]:
        """Yield the files and folders of a folder."""
        try:
            with os.scandir(prefix) as entries:
                names = sorted(entry.name for entry in entries if entry.name.startswith(start))
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            path = f"{prefix}{name}"
            entry = self.get_entry("", path) or Entry(path, problem="is a dangling link: correct or remove it")
            yield entry._replace(key=f"{path}/") if entry.is_folder else entry

    def list_all(self, bucket: str, prefix: str) -> Iterator[Entry]:
        """Yield all files below a folder. Links to folders are skipped, because they may form a loop."""
        for entry in self.list_level("", prefix, ""):
            if not entry.is_folder:
                yield entry
            elif not os.path.islink(entry.key.rstrip("/")):
                yield from self.list_all("", entry.key)

    def fetch_range(self, location: Location, entry: Entry, start: int, end: int) -> FetchedRange:
        """Return bytes of a file."""
        with open(location.key, "rb", buffering=0) as file:
            return FetchedRange(os.pread(file.fileno(), end - start, start), entry.size)


def _entry(path: str, status: os.stat_result) -> Entry:
    if kind := _SPECIAL_FILES.get(stat.S_IFMT(status.st_mode)):
        return Entry(path, problem=f"is {kind}, which a retry cannot read again: write its content to a file first")
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, is_folder=True)
    return Entry(path, status.st_size, str(status.st_mtime_ns))
