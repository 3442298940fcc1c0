"""Files of this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from airflow_provider_vectorize.storage.names import Location
from airflow_provider_vectorize.storage.store import Answer, Entry

_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class LocalStore:
    """Files by their absolute paths."""

    def stat(self, bucket: str, key: str, version: str | None = None) -> Entry | None:
        """The file, or the folder, that a path leads to."""
        try:
            found = os.stat(key)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _entry(key, found)

    def level(self, bucket: str, prefix: str, start: str) -> Iterator[Entry]:
        """What a folder holds."""
        try:
            with os.scandir(prefix) as entries:
                names = sorted(entry.name for entry in entries if entry.name.startswith(start))
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            path = f"{prefix}{name}"
            found = self.stat("", path) or Entry(path, problem="is a link that leads nowhere: correct it")
            yield found._replace(key=f"{path}/") if found.is_folder else found

    def below(self, bucket: str, prefix: str) -> Iterator[Entry]:
        """All files below a folder. Links to folders are not followed, which could go round for ever."""
        for entry in self.level("", prefix, ""):
            if not entry.is_folder:
                yield entry
            elif not os.path.islink(entry.key.rstrip("/")):
                yield from self.below("", entry.key)

    def fetch(self, location: Location, entry: Entry, start: int, end: int) -> Answer:
        """Bytes of a file."""
        with open(location.key, "rb", buffering=0) as file:
            return Answer(os.pread(file.fileno(), end - start, start), entry.size)


def _entry(path: str, found: os.stat_result) -> Entry:
    if kind := _SPECIAL.get(stat.S_IFMT(found.st_mode)):
        return Entry(
            path, problem=f"is {kind}, and a load has to be able to read its source again: write it to a file first"
        )
    if stat.S_ISDIR(found.st_mode):
        return Entry(path, is_folder=True)
    return Entry(path, found.st_size, str(found.st_mtime_ns))
