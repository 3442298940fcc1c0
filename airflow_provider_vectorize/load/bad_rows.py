"""What happens to a row that cannot be loaded: the load goes on without it, or fails and names it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from airflow_provider_vectorize.errors import BadRowError
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.rows.block_rows import BadRow
from airflow_provider_vectorize.sources.parts import object_offset
from airflow_provider_vectorize.sources.places import row_place


class BadRows:
    """Judges and counts bad rows, for the reader and all senders of a load.

    :param options: of the load.
    :param uris: the source's objects.
    :param before: bad rows that an earlier attempt has counted.
    """

    def __init__(self, options: LoadOptions, uris: Sequence[str], before: int) -> None:
        self._options = options
        self._uris = uris
        self._count = before
        self._lock = threading.Lock()

    def judge_all(self, rows: Iterable[BadRow]) -> None:
        """Return if the load may go on without these rows.

        :raises BadRowError: it may not, or no longer.
        """
        for row in rows:
            self.judge(row)

    def judge(self, row: BadRow) -> None:
        """Return if the load may go on without this row.

        :raises BadRowError: it may not, or no longer.
        """
        options = self._options
        if not options.dead_letters and not (row.unparsable and options.unparsable_behavior == "discard"):
            others = "set on_bad_row='dead_letter' with a dead_letter_path to load the others without it"
            raise self._error(row, f"Correct it, or {others}.")
        with self._lock:
            self._count += 1
            if self._count <= options.max_bad_rows:
                return
        raise self._error(
            row, f"It is one more than max_bad_rows={options.max_bad_rows} allows: correct the rows at their source."
        )

    def _error(self, row: BadRow, advice: str) -> BadRowError:
        uri = self._uris[row.position.object]
        return BadRowError(
            f"{row_place(uri, row.position.line, row.position.offset)} cannot be loaded: {row.reason}. {advice}",
            uri=uri,
            line=row.position.line,
            offset=object_offset(uri, row.position.offset),
            reason=row.reason,
        )
