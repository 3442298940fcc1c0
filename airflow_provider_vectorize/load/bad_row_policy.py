"""Decide what happens to a row that cannot be loaded: the load continues without it, or fails and names it."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from airflow_provider_vectorize.errors import BadRowError
from airflow_provider_vectorize.load.load_source import LoadSource
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.rows.block_rows import BadRow


class BadRowPolicy:
    """Count the rejected rows of a load, and fail it at the first row that may not be rejected.

    The reader and all senders of a load share one policy.

    :param options: The options of the load.
    :param source: The source, for the names of rows.
    :param rejected: Number of rows that earlier attempts rejected.
    """

    def __init__(self, options: LoadOptions, source: LoadSource, rejected: int) -> None:
        self._options = options
        self._source = source
        self._rejected = rejected
        self._lock = threading.Lock()

    def reject_all(self, rows: Iterable[BadRow]) -> None:
        """Reject several rows, see :meth:`reject`.

        :raises BadRowError: The load may not continue without one of them.
        """
        for row in rows:
            self.reject(row)

    def reject(self, row: BadRow) -> None:
        """Count a row as rejected.

        :raises BadRowError: The load may not continue without the row, or ``max_bad_rows`` is exceeded.
        """
        options = self._options
        if not options.dead_letters and not (row.unparsable and options.unparsable_behavior == "discard"):
            raise self._error(
                row,
                "Correct the row, or set on_bad_row='dead_letter' and dead_letter_path to load the other rows without "
                "it.",
            )
        with self._lock:
            self._rejected += 1
            if self._rejected <= options.max_bad_rows:
                return
        raise self._error(
            row,
            f"More than max_bad_rows={options.max_bad_rows} rows are bad. Correct the rows in the source, or raise "
            "max_bad_rows.",
        )

    def _error(self, row: BadRow, advice: str) -> BadRowError:
        position = row.position
        place = self._source.dead_letter_keys(position)
        return BadRowError(
            f"{self._source.place(position)} cannot be loaded: {row.reason}. {advice}",
            uri=place.pop("object"),
            reason=row.reason,
            **place,
        )
