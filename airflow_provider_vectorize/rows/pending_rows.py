"""Rows for which work is left that this process or another one can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.sources.source_file import SourceFile

#: Does the work in another process. It takes bytes and a short message, and returns a short answer and the text of the
#: rows, or ``None`` if these are the bytes themselves.
Work: TypeAlias = Callable[[bytes, Any], tuple[Any, bytes | None]]


class Task(NamedTuple):
    """What another process needs to do the work for some rows.

    :param message: A short message.
    :param data: Bytes.
    :param file: File that has the bytes instead, from ``start`` to ``end``, which is exclusive. The other process reads
        them.
    :param start: See ``file``.
    :param end: See ``file``.
    """

    message: Any
    data: bytes | memoryview = b""
    file: SourceFile | None = None
    start: int = 0
    end: int = 0


class WorkSettings(Protocol):
    """Describes the work, so that another process does it in the same way. It can be pickled."""

    @property
    def is_slow(self) -> bool:
        """Return whether the work takes longer than reading, so that more than one process makes a load faster."""
        ...

    def make_work(self) -> Work:
        """Return the work, for one thread."""
        ...


class PendingRows(Protocol):
    """Rows for which work is left."""

    @property
    def size(self) -> int:
        """Return about how many bytes of text the rows have."""
        ...

    def task(self) -> Task | None:
        """Return what another process needs, or ``None`` if this process must do the work."""
        ...

    def finish(self) -> Rows | None:
        """Do the work in this process. ``None``: the caller does it otherwise."""
        ...

    def finish_with(self, answer: Any, text: memoryview | None) -> Rows | None:
        """Return the rows with the work of another process. The text is valid during this call only.

        ``None``: the other process cannot do it.
        """
        ...
