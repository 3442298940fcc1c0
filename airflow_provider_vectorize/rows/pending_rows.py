"""Rows for which work is left that this process or another one can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from airflow_provider_vectorize.rows.block_rows import Rows

#: Does the work in another process. It takes bytes and a short message, and returns a short answer and the text of the
#: rows, or ``None`` if these are the bytes themselves.
Work: TypeAlias = Callable[[bytes, Any], tuple[Any, bytes | None]]


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

    def task(self) -> tuple[bytes | memoryview, Any] | None:
        """Return what another process needs: bytes and a short message. ``None``: this process must do the work."""
        ...

    def finish(self) -> Rows:
        """Do the work in this process."""
        ...

    def finish_with(self, answer: Any, text: memoryview | None) -> Rows:
        """Return the rows with the work of another process. The text is valid during this call only."""
        ...
