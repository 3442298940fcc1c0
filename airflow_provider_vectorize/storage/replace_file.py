"""Replace a file of this machine without changing any other file, such as the target of a link."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from typing import IO

from airflow_provider_vectorize.errors import ConfigError

_FILE_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
#: Bytes copied at a time.
_COPY_BYTES = 1 << 20


def regular_file(path: str) -> os.stat_result | None:
    """Return the status of a regular file, or ``None`` if the path does not exist.

    A link at the end of the path is refused, because the file would replace the link. Parent folders may be links.

    :raises ConfigError: The path exists but is not a regular file.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        kind = _FILE_KINDS.get(stat.S_IFMT(status.st_mode), "not a file")
        advice = "Give the path of the link's target" if kind == "a link" else "Give the path of a file"
        raise ConfigError(f"{path} is {kind}, but only a regular file can be written there. {advice} instead.")
    return status


def replace_file(path: str, content: IO[bytes]) -> None:
    """Replace a file atomically, or create it with its folder. Readers see all of the old or all of the new content.

    The new content is first written to a file with a random name in the same folder (``.vectorize-….part``). This file
    is created exclusively and removed on failure. A killed process may leave it behind.

    :param path: An absolute path. An existing file keeps its mode and, where possible, its owner. A new one gets the
        mode that the process gives to all its files.
    :raises ConfigError: The path leads to something that is not a regular file.
    :raises OSError: The file cannot be written.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    old_status = regular_file(path)
    temporary_path = os.path.join(folder, f".vectorize-{secrets.token_hex(8)}.part")
    fd = os.open(temporary_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with open(fd, "wb") as stream:
            if old_status:
                with contextlib.suppress(PermissionError):
                    os.fchown(fd, old_status.st_uid, old_status.st_gid)
                os.fchmod(fd, stat.S_IMODE(old_status.st_mode))
            shutil.copyfileobj(content, stream, _COPY_BYTES)
            stream.flush()
            os.fsync(fd)
        regular_file(path)
        os.replace(temporary_path, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary_path)
        raise


def same_file(path: str, other: str) -> bool:
    """Return whether two paths lead to the same file: through links, hard links, other spellings or another case."""
    try:
        return os.path.samefile(path, other)
    except OSError:  # One of the files does not exist.
        return os.path.realpath(path) == os.path.realpath(other)
