"""Replace a file of this machine, without touching anything else: not what a link leads to, and no stranger's file."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from typing import IO

from airflow_provider_vectorize.errors import ConfigError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
#: Bytes of one copy.
_PIECE_BYTES = 1 << 20


def regular_file(path: str) -> os.stat_result | None:
    """Return what is known of a regular file, or ``None`` if nothing has the name.

    A link at the end of the path is refused, because it would be replaced by a file. Folders on the way may be links.

    :raises ConfigError: The path leads to something else.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        advice = "Name the file that it leads to" if kind == "a link" else "Name a file"
        raise ConfigError(f"{path} is {kind}, and a dead-letter file has to be a regular file. {advice} instead.")
    return found


def replace_file(path: str, content: IO[bytes]) -> None:
    """Replace a file, or create it with its folder. Its readers find the old or the new content, and always all of it.

    The new content is written to a file of a random name in the same folder first (``.vectorize-….part``). It is
    created exclusively and removed on failure. A killed process may leave it behind.

    :param path: An absolute path. An existing file keeps its mode and, where possible, its owner. A new one gets the
        mode that the process gives to all its files.
    :raises ConfigError: The path leads to something that is not a regular file.
    :raises OSError: It cannot be written.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    before = regular_file(path)
    beside = os.path.join(folder, f".vectorize-{secrets.token_hex(8)}.part")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with open(fd, "wb") as stream:
            if before:
                with contextlib.suppress(PermissionError):
                    os.fchown(fd, before.st_uid, before.st_gid)
                os.fchmod(fd, stat.S_IMODE(before.st_mode))
            shutil.copyfileobj(content, stream, _PIECE_BYTES)
            stream.flush()
            os.fsync(fd)
        regular_file(path)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def same_file(one: str, other: str) -> bool:
    """Whether two paths lead to the same file: by links, hard links, other spellings or another case."""
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them does not exist
        return os.path.realpath(one) == os.path.realpath(other)
