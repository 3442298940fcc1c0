"""Keep bad rows on disk until their batch is processed, so that neither their number nor their size takes memory."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable, Iterator

from airflow_provider_vectorize.load.bodies import temporary_file_errors
from airflow_provider_vectorize.rows.block_rows import BadRow
from airflow_provider_vectorize.sources.lines import Position

#: Bytes of bad rows that stay in memory before they go to disk.
MEMORY_BYTES = 256 << 10
#: Precedes each row: its position, whether it is unparsable, the lengths of its reason and of its text.
_HEADER = struct.Struct("<QQQ?QQ")


class BadRowFile:
    """Store bad rows in a temporary file, and yield them in the order in which they were added.

    One thread at a time may use it. Rows are added first. After that, they can be read any number of times.
    """

    def __init__(self) -> None:
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[BadRow]:
        with temporary_file_errors():
            if self._file:
                self._file.seek(0)
            for _ in range(self._count):
                yield self._read()

    def add(self, rows: Iterable[BadRow]) -> None:
        """Append rows.

        :raises VectorizeError: The temporary directory cannot be used.
        """
        with temporary_file_errors():
            for row in rows:
                # The file is closed together with this object, which lives no longer than its batch.
                self._file = self._file or tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115
                if len(row.text) > MEMORY_BYTES:
                    self._file.rollover()
                reason = row.reason.encode("utf-8", "surrogatepass")
                header = _HEADER.pack(*row.position, row.unparsable, len(reason), len(row.text))
                self._file.writelines((header, reason, row.text))
                self._count += 1

    def _read(self) -> BadRow:
        assert self._file
        *position, unparsable, reason_bytes, text_bytes = _HEADER.unpack(self._file.read(_HEADER.size))
        reason = self._file.read(reason_bytes).decode("utf-8", "surrogatepass")
        return BadRow(Position(*position), self._file.read(text_bytes), reason, unparsable)
